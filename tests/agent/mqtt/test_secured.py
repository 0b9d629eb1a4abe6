"""The agent in the production configuration: the sample mosquitto with TLS, certificates, ids and access rules."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent import settings_file
from edge_agent.tools import doctor
from edge_fleet.link import Link as FleetLink
from edge_fleet.releases.desired import DesiredStates
from edge_fleet.releases.publish import Publisher
from edge_mqtt.address import BrokerAddress

pytest.importorskip("sqlalchemy", reason="the bridge's packages are not installed")

from tests.agent.agent_process import DEVICE, AgentProcess, render_clip
from tests.agent.update.update_bench import ReleaseSide, tiny
from tests.bridge.process import BridgeProcess
from tests.bridge.test_deploy import FleetBroker
from tests.eventually import eventually

pytestmark = pytest.mark.skipif(
    shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None, reason="mosquitto is not installed"
)


def push(side: ReleaseSide, address: BrokerAddress, release: int) -> None:
    """Release and desire a model through a connection with the release side's own certificate."""
    side.releases.add(tiny(release))
    ref = tiny(release).manifest.ref
    with FleetLink(address) as link:
        publisher = Publisher(side.releases, DesiredStates(side.repository, side.now), link)
        publisher.metadata()
        publisher.release(side.releases.find(ref.name, ref.release))
        publisher.states([side.desired.issue("group/shop", ref)])


def test_over_tls_with_one_certificate_a_device_takes_releases_and_its_messages_are_acknowledged(
    tmp_path: Path,
) -> None:
    clip = tmp_path / "clip.avi"
    render_clip(clip, 1.0)
    (tmp_path / "mosquitto").mkdir()
    broker = FleetBroker(tmp_path / "mosquitto")
    ca = broker.authority.certificate
    try:
        certificate, key = broker.authority.issue(DEVICE)
        tls = "".join(
            f"{name} = {json.dumps(str(path))}\n"
            for name, path in (("ca", ca), ("certificate", certificate), ("key", key))
        )
        release_certificate, release_key = broker.authority.issue("edgewise-release")
        address = BrokerAddress(port=broker.port, tls=True, ca=ca, certificate=release_certificate, key=release_key)
        bridge_certificate, bridge_key = broker.authority.issue("edgewise-bridge")
        config = f'[broker]\nca = "{ca}"\ncertificate = "{bridge_certificate}"\nkey = "{bridge_key}"\n'
        (tmp_path / "bridge").mkdir()
        side = ReleaseSide(tmp_path / "fleet", broker.port)
        (tmp_path / "root.json").write_bytes(next((tmp_path / "fleet").rglob("1.root.json")).read_bytes())
        agent = AgentProcess(
            tmp_path, broker.port, clip, extra="loop = true\n[telemetry]\ninterval_s = 1\n",
            model="trust_root = 'root.json'", broker=f"tls = true\n{tls}",
        )  # fmt: skip
        with BridgeProcess(tmp_path / "bridge", broker.port, config=config, scheme="mqtts"), agent:
            for release in (1, 2):
                push(side, address, release)
                eventually(running(tmp_path / "state", release), lambda: agent.log)
            eventually(lambda: rows(tmp_path / "state" / "spool.db") == 0, lambda: agent.log)
            while_running = doctor.broker(settings_file.load(agent.config, {}))
            status, summary = agent.stop()
        assert status == 0
        assert [name.rpartition(" ")[0] for name in summary["releases"]] == ["tiny 1", "tiny 2"]
        assert summary["connects"] == 1  # nothing of the device's own threw it out
        assert while_running.outcome == "ok"
        alone = doctor.broker(settings_file.load(agent.config, {}))
        assert (alone.outcome, "over TLS" in alone.text) == ("ok", True)
    finally:
        broker.process.terminate()
        broker.process.wait(10)


def running(state_dir: Path, release: int) -> Callable[[], bool]:
    """Whether this release is committed on the device's own disk."""

    def committed() -> bool:
        current = state_dir / "current"
        with closing(sqlite3.connect(f"file:{state_dir / 'state.db'}?mode=ro", uri=True, timeout=10)) as database:
            row = database.execute("SELECT value FROM one WHERE key = 'update'").fetchone()
        phase = json.loads(row[0])["phase"] if row else ""
        return phase == "committed" and current.is_symlink() and current.readlink().name.startswith(f"tiny-{release}-")

    def asked() -> bool:
        try:
            return committed()
        except sqlite3.Error:
            return False

    return asked


def rows(spool: Path) -> int:
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True, timeout=10)) as database:
        return int(database.execute("SELECT count(*) FROM message").fetchone()[0])

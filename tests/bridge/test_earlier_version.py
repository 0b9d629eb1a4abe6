"""A bridge started on what version 0.1.0 left behind: its devices are shown, and its log goes on without a gap."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from edge_simulator.broker import Broker
from tests import earlier_version
from tests.agent.agent_process import AgentProcess, render_clip
from tests.bridge.process import REPOSITORY, BridgeProcess
from tests.eventually import eventually

LABELS = f'site="{earlier_version.SITE}",device="{earlier_version.DEVICE}"'


def test_devices_of_retained_messages_alone_are_shown(broker: Broker, bridge: BridgeProcess) -> None:
    earlier_version.publish_all(broker.port, earlier_version.retained())
    bridge.wait_for("/metrics", f"edgewise_up{{{LABELS}}} 0")
    command = ["-c", "from edge_fleet.cli import main; main()", "fleet", "ls", "--json"]
    address = f"mqtt://127.0.0.1:{broker.port}"
    done = subprocess.run(
        [sys.executable, *command, "--broker", address], cwd=REPOSITORY, capture_output=True, check=True
    )
    (device,) = json.loads(done.stdout)["devices"]
    left = earlier_version.retained_json("device/cam-1/reported")
    assert device["device"] == earlier_version.DEVICE
    assert device["reported"]["active"] == left["active"]
    assert (device["reported"]["state"], device["reported"]["revision"]) == ("committed", left["revision"])


def test_the_log_and_the_counts_go_on_where_the_bridge_before_ended(broker: Broker, tmp_path: Path) -> None:
    clip = tmp_path / "clip.avi"
    render_clip(clip, 2.0)
    earlier_version.publish_all(broker.port, earlier_version.retained())
    database = Path(shutil.copy(earlier_version.FOLDER / "predictions.db", tmp_path))
    earlier_version.copy_state(tmp_path)
    left = {(each.session, each.sequence) for each in earlier_version.spooled() if each.kind == "prediction"}
    model = f"trust_root = {json.dumps(str(earlier_version.ROOT))}"
    with BridgeProcess(tmp_path, broker.port, config="[log]\nretention_days = 36500\n") as bridge:
        counted = _frames(bridge.metrics())
        assert counted > 0
        agent = AgentProcess(tmp_path, broker.port, clip, extra="loop = true\n[spool]\nmax_age_s = 1e12\n", model=model)
        with agent:
            bridge.wait_for("/metrics", f"edgewise_up{{{LABELS}}} 1")
            bridge.wait_for("/metrics", f'edgewise_device_model_info{{{LABELS},model="tiny-2"')
            eventually(lambda: left <= _stored(database).keys(), bridge.log)
            code, _ = agent.stop()
        assert code == 0, agent.log
        assert _frames(bridge.metrics()) > counted
        assert bridge.stop() == 0
    stored = _stored(database)
    assert earlier_version.stored() <= stored.keys()
    assert left <= stored.keys()
    assert set(stored.values()) == {1}


def _stored(database: Path) -> Counter[tuple[int, int]]:
    """How often the log holds each prediction, by session and sequence."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        return Counter(connection.execute("SELECT session, sequence FROM predictions").fetchall())


def _frames(metrics: str) -> float:
    """Frames that the site's devices ever worked on, under any model."""
    pattern = f'^edgewise_stage_duration_seconds_count{{site="{earlier_version.SITE}".*stage="whole".*}} (.*)$'
    return sum(float(count) for count in re.findall(pattern, metrics, re.MULTILINE))

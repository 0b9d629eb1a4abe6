"""The `edgewise` command of the release side: what it prints, its exit codes, and a broker with narrow limits."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from demo.broker import Broker
from edge_contract import package, topics
from edge_contract.errors import EdgewiseError, GateRefusedError, MessageError, TrustError, UsageError
from edge_contract.manifest import GateResult
from edge_contract.messages import Availability, Info, ModelRef, Reported, encode
from edge_fleet.cli import app
from edge_fleet.devices import Device, Fleet
from edge_fleet.link import Arrived, BrokerAddress, Link

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
EDGEWISE = (sys.executable, "-c", "from edge_fleet.cli import main; main()")
TINY = FIXTURES / "tiny-1.ewm"


class Command:
    """`edgewise` in one folder."""

    def __init__(self, folder: Path, broker: str = "mqtt://127.0.0.1:1") -> None:
        self._environment = {"EDGEWISE_REPOSITORY": str(folder / "fleet"), "EDGEWISE_BROKER": broker}

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=self._environment)

    def __call__(self, *arguments: str) -> str:
        result = self.run(*arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def edgewise(tmp_path: Path) -> Command:
    command = Command(tmp_path)
    command("keys", "init")
    return command


@pytest.fixture
def online(tmp_path: Path, broker: Broker) -> Command:
    command = Command(tmp_path, f"mqtt://127.0.0.1:{broker.port}")
    command("keys", "init")
    return command


@pytest.fixture
def link(broker: Broker) -> Iterator[Link]:
    with Link(BrokerAddress(port=broker.port)) as link:
        yield link


def test_keys_init_names_the_root_keys_to_take_away(tmp_path: Path) -> None:
    said = Command(tmp_path)("keys", "init")
    assert said.count("root-") == 3
    assert "2 must sign" in said
    assert (tmp_path / "fleet" / "root.json").is_file()


def test_releasing_twice_is_once_and_a_package_alone_means_add(edgewise: Command) -> None:
    assert json.loads(edgewise("release", str(TINY), "--json"))["added"] is True
    assert json.loads(edgewise("release", "add", str(TINY), "--json"))["added"] is False
    (listed,) = json.loads(edgewise("release", "ls", "--json"))["releases"]
    assert (listed["name"], listed["release"]) == ("tiny", 1)


def test_a_release_number_is_not_used_for_two_models(tmp_path: Path, edgewise: Command) -> None:
    edgewise("release", str(TINY))
    other = package.read_file(FIXTURES / "tiny-2.ewm")
    file = tmp_path / "other.ewm"
    file.write_bytes(package.write(other._replace(manifest=replace(other.manifest, release=1))))
    with pytest.raises(UsageError, match="higher release number"):
        edgewise("release", str(file))


def test_a_package_that_the_gate_refused_is_not_released(tmp_path: Path, edgewise: Command) -> None:
    model = package.read_file(TINY)
    gate = GateResult(passed=False, reasons=("int8 lost 3 points",))
    file = tmp_path / "refused.ewm"
    file.write_bytes(package.write(model._replace(manifest=replace(model.manifest, gate=gate))))
    with pytest.raises(GateRefusedError, match="int8 lost 3 points"):
        edgewise("release", str(file))
    assert json.loads(edgewise("release", "ls", "--json"))["releases"] == []


@pytest.mark.parametrize("spoil", [lambda data: data[:-100], lambda data: data.replace(b"TFL3", b"TFL4", 1)])
def test_a_damaged_package_is_not_released(tmp_path: Path, edgewise: Command, spoil: "type[bytes]") -> None:
    file = tmp_path / "damaged.ewm"
    file.write_bytes(spoil(TINY.read_bytes()))
    with pytest.raises((TrustError, UsageError)):
        edgewise("release", str(file))
    assert json.loads(edgewise("release", "ls", "--json"))["releases"] == []


@pytest.mark.parametrize("kind", ["tflite", "json"])
def test_a_truncated_file_is_not_pushed_and_is_mended_by_the_same_package(
    tmp_path: Path, online: Command, link: Link, kind: str
) -> None:
    online("release", str(TINY))
    (file,) = (tmp_path / "fleet" / "models").glob(f"*.{kind}")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(TrustError, match="missing or damaged; release the package of tiny 1 again"):
        online("push", "tiny", "1", "--group", "g")
    assert link.retained(f"{topics.PREFIX}/#") == {}
    assert json.loads(online("release", str(TINY), "--json"))["added"] is False
    online("push", "tiny", "1", "--group", "g")


def test_a_withdrawn_release_cannot_be_pushed_and_leaves_the_broker(online: Command, link: Link) -> None:
    online("release", str(TINY))
    online("push", "tiny", "1", "--group", "g")
    assert "group/g" in online("release", "withdraw", "tiny", "1")
    online("fleet", "heal")
    assert link.retained(f"{topics.PREFIX}/blob/+/+") == {}
    with pytest.raises(UsageError, match="not released"):
        online("push", "tiny", "1", "--group", "g")


def test_push_publishes_everything_and_only_once(online: Command, link: Link) -> None:
    online("release", str(TINY))
    online("push", "tiny", "1", "--group", "g")
    held = link.retained(f"{topics.PREFIX}/#")
    model = package.read_file(TINY)
    assert held[topics.blob(model.manifest.digest, 0)] == model.model
    assert {topic.rpartition("/")[2] for topic in held} >= {"1.root.json", "timestamp.json", "index.json", "desired"}
    assert json.loads(online("fleet", "heal", "--json"))["published"] == 0


def test_superseded_metadata_leave_the_broker_but_for_one_version(online: Command, link: Link) -> None:
    for _ in range(4):
        online("release", "refresh")
        online("fleet", "heal")
    names = {topic.rpartition("/")[2] for topic in link.retained(f"{topics.PREFIX}/trust/+")}
    assert names == {
        "1.root.json",
        "1.targets.json",
        "4.snapshot.json",
        "5.snapshot.json",
        "index.json",
        "timestamp.json",
    }


def test_after_a_rotation_desired_states_are_signed_by_the_new_key(online: Command) -> None:
    online("release", str(TINY))
    online("push", "tiny", "1", "--group", "g")
    online("keys", "rotate", "online")
    online("fleet", "heal")
    assert json.loads(online("release", "ls", "--json"))["releases"][0]["desired_by"] == ["group/g"]


def test_revisions_grow_even_when_the_clock_stands_still(online: Command) -> None:
    online("release", str(TINY))
    revisions = [json.loads(online("push", "tiny", "1", "--group", "g", "--json"))["revision"] for _ in range(3)]
    assert revisions == sorted(set(revisions))


@pytest.mark.parametrize(
    "arguments",
    [
        ("push", "tiny", "1"),
        ("push", "tiny", "1", "--group", "g", "--device", "d"),
        ("push", "tiny", "1", "--group", "g", "--follow-group"),
        ("push", "tiny", "1", "--group", "Not An Id"),
        ("push", "tiny", "1", "--device", "d", "--broker", "http://x"),
        ("push", "tiny", "1", "--device", "d", "--broker", "mqtt://u:secret@x"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_and_publishes_nothing(
    online: Command, link: Link, arguments: tuple[str, ...]
) -> None:
    online("release", str(TINY))
    result = online.run(*arguments)
    assert isinstance(result.exception, UsageError)
    assert "secret" not in str(result.exception)
    assert link.retained(f"{topics.PREFIX}/#") == {}


def test_a_broker_with_a_smaller_packet_limit_is_respected_before_anything_is_sent(tmp_path: Path) -> None:
    with Broker(tmp_path / "narrow", extra="max_packet_size 20000") as broker:
        edgewise = Command(tmp_path, f"mqtt://127.0.0.1:{broker.port}")
        edgewise("keys", "init")
        edgewise("release", str(TINY))
        with pytest.raises(MessageError, match="this broker takes 20000"):
            edgewise("push", "tiny", "1", "--group", "g")
        with Link(BrokerAddress(port=broker.port)) as link:
            assert link.retained(f"{topics.PREFIX}/#") == {}


def test_a_broker_that_is_not_there_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    command = [*EDGEWISE, "fleet", "ls", "--broker", "mqtt://127.0.0.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("edgewise: the broker 127.0.0.1:1 cannot be reached")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code"), [(["release", "ls"], 2), (["release", "absent.ewm"], 2), (["push", "a"], 2)]
)
def test_exit_codes_are_the_contracts(tmp_path: Path, arguments: list[str], code: int) -> None:
    command = [*EDGEWISE, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert ended.returncode == code, ended.stderr


REF = ModelRef(name="tiny", release=1, digest="1" * 64)


def _said(device: str, session: int = 1, **reported: object) -> list[Arrived]:
    info = Info(
        device=device, site="s", groups=("g",), session=session, agent="1", board="b", os="o", python="3", runtime="r",
        camera="c", started=0,
    )  # fmt: skip
    state = Reported(device=device, session=session, active=None, state="idle", time=0)
    return [
        Arrived(topics.device(device, "availability"), encode(Availability(state="online", session=session))),
        Arrived(topics.device(device, "info"), encode(info)),
        Arrived(topics.device(device, "reported"), encode(replace(state, **reported))),
    ]


@pytest.mark.parametrize(
    ("reported", "outcome"),
    [
        ({}, "pending"),
        ({"state": "committed", "active": REF, "revision": 4}, "pending"),
        ({"state": "probation", "active": REF, "revision": 5}, "pending"),
        ({"state": "committed", "active": REF, "revision": 5}, "done"),
        ({"state": "committed", "active": REF, "revision": 6}, "done"),
        ({"state": "committed", "active": replace(REF, digest="2" * 64), "revision": 5}, "refused"),
        ({"state": "rejected", "revision": 5}, "refused"),
        ({"state": "rolled-back", "revision": 5}, "refused"),
    ],
)
def test_how_far_a_device_has_come(reported: dict[str, object], outcome: str) -> None:
    fleet = Fleet()
    for arrived in _said("cam", **reported):
        fleet.apply(*arrived)
    assert fleet.devices["cam"].outcome(REF, 5) == outcome
    assert fleet.in_scope("group/g") == fleet.in_scope("device/cam") == [fleet.devices["cam"]]
    assert fleet.in_scope("group/other") == []


def test_an_old_sessions_will_does_not_bury_a_new_session() -> None:
    fleet = Fleet()
    for arrived in _said("cam", session=2):
        fleet.apply(*arrived)
    will = encode(Availability(state="offline", session=1))
    assert fleet.apply(topics.device("cam", "availability"), will) is None
    assert fleet.devices["cam"].online


def test_malformed_words_are_noted_and_change_nothing() -> None:
    fleet = Fleet()
    for payload in (b"{}", b"\x00", b"[]"):
        assert fleet.apply(topics.device("cam", "reported"), payload) is None
    assert list(fleet.malformed) == [topics.device("cam", "reported")]
    assert fleet.devices.get("cam", Device("cam")).reported is None


def test_fleet_ls_shows_each_device(online: Command, link: Link) -> None:
    link.publish(_said("cam-1", state="committed", active=REF, target=REF, progress=1.0))
    said = online("fleet", "ls")
    assert "cam-1" in said
    assert "tiny 1" in said
    (row,) = json.loads(online("fleet", "ls", "--json"))["devices"]
    assert row["reported"]["state"] == "committed"


def test_push_wait_ends_with_a_device_that_refused(online: Command, link: Link) -> None:
    online("release", str(TINY))
    link.publish(_said("cam-1", state="rejected", revision=2**50, reason="too large."))
    with pytest.raises(EdgewiseError, match="1 refused"):
        online("push", "tiny", "1", "--group", "g", "--wait", "20", "--json")

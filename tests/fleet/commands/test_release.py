"""The `edgewise` command of the release side: what it prints, its exit codes, and a broker with narrow limits."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import to_builtins
from msgspec.structs import replace
from tuf.api.metadata import TargetFile
from typer.testing import CliRunner, Result

from edge_contract import limits, package, topics
from edge_contract.errors import EdgewiseError, GateRefusedError, MessageError, TrustError, UsageError
from edge_contract.manifest import FACES_FOUND, GateResult
from edge_contract.manifest import encode as encode_manifest
from edge_contract.messages import Availability, Info, ModelRef, Reported, encode
from edge_contract.package import ModelPackage
from edge_contract.scope import Scope
from edge_contract.trust import Chunks, Release, model_path, release_path
from edge_fleet.cli import app
from edge_fleet.commands import context
from edge_fleet.devices.view import Device, Fleet
from edge_fleet.link import Arrived, Link
from edge_fleet.releases import releases as releases_module
from edge_fleet.releases import repository
from edge_fleet.releases.releases import Releases
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
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


@pytest.mark.parametrize(
    ("found", "around", "warned"), [(0.02, "face", True), (0.02, "frame", False), (0.7, "face", False)]
)
def test_a_release_that_faces_are_searched_for_and_whose_pictures_showed_none_is_said_to(
    edgewise: Command, tmp_path: Path, *, found: float, around: str, warned: bool
) -> None:
    tiny = package.read_file(TINY)
    gate = GateResult(passed=True, checks={FACES_FOUND: found})
    manifest = replace(tiny.manifest, gate=gate, crop=replace(tiny.manifest.crop, around=around))
    (tmp_path / "x.ewm").write_bytes(package.write(tiny._replace(manifest=manifest)))
    result = edgewise.run("release", "add", str(tmp_path / "x.ewm"))
    assert result.exit_code == 0
    assert ("hardly show faces" in result.stderr) == warned


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


def test_a_root_that_expires_soon_is_said_while_there_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = Command(tmp_path)
    with monkeypatch.context() as long_ago:
        long_ago.setattr(repository, "ROOT_LIFE", timedelta(days=59))
        command("keys", "init")
    assert "run `edgewise keys rotate root`" in command("release", "refresh")
    command("keys", "rotate", "root")
    assert "keys rotate root" not in command("release", "refresh")


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
    assert fleet.in_scope(Scope("group", "g")) == fleet.in_scope(Scope("device", "cam")) == [fleet.devices["cam"]]
    assert fleet.in_scope(Scope("group", "other")) == []


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


def test_fleet_ls_shows_that_two_devices_have_one_id(online: Command, link: Link) -> None:
    for device, taken_over in (("twin", time.time() - 60), ("alone", 0.0), ("mended", time.time() - 86400)):
        said = Availability(state="online", session=5, taken_over=taken_over)
        link.publish([Arrived(topics.device(device, "availability"), encode(said))])
    shown = " ".join(online("fleet", "ls").split())  # a terminal's width breaks the reason in lines
    assert "twin online none another device most likely has this id" in shown
    assert shown.count("most likely") == 1
    rows = json.loads(online("fleet", "ls", "--json"))["devices"]
    assert {row["device"]: row["id_shared"] for row in rows} == {"twin": True, "alone": False, "mended": False}


def test_push_wait_ends_with_a_device_that_refused(online: Command, link: Link) -> None:
    online("release", str(TINY))
    link.publish(_said("cam-1", state="rejected", revision=2**50, reason="too large."))
    with pytest.raises(EdgewiseError, match="was refused by 1 and"):
        online("push", "tiny", "1", "--group", "g", "--wait", "20", "--json")


def _numbered(release: int, name: str = "tiny") -> ModelPackage:
    model = package.read_file(TINY)
    return model._replace(manifest=replace(model.manifest, name=name, release=release))


def _list_size(folder: Path) -> int:
    newest = max((folder / "fleet" / "metadata").glob("*.targets.json"), key=lambda path: int(path.name.split(".")[0]))
    return newest.stat().st_size


def test_two_hundred_releases_fit_a_packet_of_128_kilobytes(tmp_path: Path, edgewise: Command) -> None:
    releases, _ = context.open_releases(context.open_repository(tmp_path / "fleet", None, None))
    one = TargetFile.from_data("x", b"x", ["sha256"])
    with releases.repository.editing() as targets:  # at once: each by itself would be signed two hundred times
        for number in range(200):
            manifest = _numbered(number + 1, "a-name-as-long-as-people-choose-them").manifest
            file = releases.keep_release_file(Release(manifest=manifest, chunks=Chunks.of(b"m")))
            targets |= {file.path: file, model_path(manifest.ref): replace_path(one, model_path(manifest.ref))}
    assert _list_size(tmp_path) < limits.METADATA_BYTES < 128_000


def replace_path(file: TargetFile, path: str) -> TargetFile:
    return TargetFile(length=2**24, hashes=dict(file.hashes), path=path)


def test_a_list_that_would_not_fit_is_refused_by_name_and_stays_as_it_was(
    tmp_path: Path, edgewise: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    edgewise("release", str(TINY))
    monkeypatch.setattr(limits, "METADATA_BYTES", _list_size(tmp_path) + 100)
    with pytest.raises(UsageError, match="withdraw releases that no device runs"):
        edgewise("release", str(FIXTURES / "tiny-2.ewm"))
    assert [row["release"] for row in json.loads(edgewise("release", "ls", "--json"))["releases"]] == [1]
    edgewise("release", "withdraw", "tiny", "1")
    edgewise("release", str(FIXTURES / "tiny-2.ewm"))


@pytest.fixture
def aged(tmp_path: Path, online: Command) -> Command:
    """A repository whose list carries whole manifests, as the first versions of this command signed it."""
    online("release", str(TINY), "--notes", "the first")
    (release,) = Releases(context.open_repository(tmp_path / "fleet", None, None)).listed()
    with context.open_repository(tmp_path / "fleet", None, None).editing() as targets:
        del targets[release_path(release.manifest.ref)]
        targets[model_path(release.manifest.ref)].unrecognized_fields["custom"] = {
            "manifest": encode_manifest(release.manifest).decode(),
            "chunks": to_builtins(release.chunks),
            "notes": release.notes,
        }
    (file,) = (tmp_path / "fleet" / "models").glob("*.json")
    file.unlink()
    return online


def test_a_list_of_the_first_form_is_told_what_mends_it(aged: Command) -> None:
    with pytest.raises(UsageError, match="released by an earlier version; run `edgewise release refresh`"):
        aged("release", "ls")


@pytest.mark.parametrize(
    "command",
    [("push", "tiny", "1", "--group", "g"), ("release", "refresh"), ("release", str(FIXTURES / "tiny-2.ewm")),
     ("release", str(TINY)), ("fleet", "heal")],
)  # fmt: skip
def test_any_command_that_signs_moves_such_a_list_to_the_form_of_today(
    tmp_path: Path, aged: Command, command: tuple[str, ...]
) -> None:
    before = _list_size(tmp_path)
    aged(*command)
    (row, *_) = json.loads(aged("release", "ls", "--json"))["releases"]
    assert (row["release"], row["notes"]) == (1, "the first")
    assert _list_size(tmp_path) < before / 4


def test_a_retry_is_bound_to_its_revision_and_survives_a_renewal(tmp_path: Path, online: Command) -> None:
    online("release", str(TINY))
    online("push", "tiny", "1", "--group", "g")
    _, desired = context.open_releases(context.open_repository(tmp_path / "fleet", None, None))
    assert desired.all()[0].state.retry == 0
    online("push", "tiny", "1", "--group", "g", "--retry")
    (asked,) = desired.all()
    assert asked.state.retry == asked.state.revision
    (renewed,) = desired.reissue([asked])
    assert renewed.state.revision > asked.state.revision
    assert renewed.state.retry == asked.state.retry
    online("push", "tiny", "1", "--group", "g")
    assert desired.all()[0].state.retry == 0
    with pytest.raises(UsageError, match="--retry"):
        online("push", "tiny", "1", "--device", "d", "--follow-group", "--retry")


HOSTILE = "[/] [bold]x :smile: \x1b[2J\x1b]0;owned\x07 \x9b31m\r\nall devices run it."


def test_a_device_writes_no_markup_and_no_control_characters_to_the_terminal(online: Command, link: Link) -> None:
    online("release", str(TINY))
    model = ModelRef(name="tiny", release=1, digest=package.read_file(TINY).manifest.digest)
    link.publish(_said("cam-1", active=None, state="rejected", target=model, revision=2**53, reason=HOSTILE))
    link.publish([Arrived(topics.device("cam-2", "info"), b'{"\x1b[2J": 1')])
    listed = online.run("fleet", "ls")
    pushed = online.run("push", "tiny", "1", "--group", "g", "--wait", "20")
    assert (listed.exit_code, pushed.exit_code) == (0, 1), (listed.output, pushed.output)
    for result in (listed, pushed):
        assert "[/] [bold]x :smile:" in result.output
        assert "\n" + "all devices run it." not in result.output
        assert result.output.replace("\n", "").isprintable()


def test_notes_of_a_release_are_one_line(edgewise: Command) -> None:
    edgewise("release", "add", str(TINY), "--notes", "first\x1b[31m\n[/]second")
    said = edgewise("release", "ls")
    assert "first\\x1b[31m\\n[/]second" in said
    assert len(said.splitlines()) == 1


def test_notes_that_no_device_could_read_are_refused_before_anything_is_signed(edgewise: Command) -> None:
    refused = edgewise.run("release", "add", str(TINY), "--notes", "x" * 1500)
    assert isinstance(refused.exception, UsageError), refused.output
    assert "give shorter --notes" in str(refused.exception)
    assert "Nothing is released yet" in edgewise("release", "ls")
    edgewise("release", "add", str(TINY), "--notes", "x" * 1024)


def test_a_listed_release_that_cannot_be_read_is_withdrawn(edgewise: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier version signed notes of any length."""
    with monkeypatch.context() as earlier:
        earlier.setattr(releases_module, "_check_readable", lambda *_: None)
        edgewise("release", "add", str(TINY), "--notes", "x" * 1500)
    unread = edgewise.run("release", "ls")
    assert "edgewise release withdraw tiny 1" in str(unread.exception)
    assert "Withdrew tiny 1" in edgewise("release", "withdraw", "tiny", "1")
    assert "Nothing is released yet" in edgewise("release", "ls")


def test_pushes_at_once_get_a_revision_each(edgewise: Command, tmp_path: Path) -> None:
    edgewise("release", "add", str(TINY))
    _, desired = context.open_releases(context.open_repository(tmp_path / "fleet", None, None))
    model = package.read_file(TINY).manifest.ref
    with ThreadPoolExecutor(8) as pool:
        issued = list(pool.map(lambda _: desired.issue("group/all", model), range(16)))
    revisions = sorted(one.state.revision for one in issued)
    assert len(set(revisions)) == 16
    (kept,) = desired.all()
    assert kept.state.revision == revisions[-1]

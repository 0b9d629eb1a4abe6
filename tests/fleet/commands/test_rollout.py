"""`edgewise rollout`, `fleet serve`, `push` beside them and `why`: what they print, refuse and end with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from edge_contract import topics
from edge_contract.errors import EdgewiseError, GateRefusedError, RolloutHaltedError, UsageError
from edge_fleet.cli import app
from edge_fleet.link import Arrived, Link
from edge_fleet.rollout.intake import LEAVES
from edge_fleet.rollout.serving import is_served, serving
from edge_fleet.rollout.store import FILE, RolloutStore
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import FIXTURES, ReleaseSide, tiny
from tests.bridge.test_deploy import FleetBroker
from tests.fleet.rollout.scripted import Behaviour, ScriptedDevice, eventually

ID = "lab-1"
QUICK = ("--shadow", "0", "--waves", "1,100%", "--soak", "0s", "--plan")


class Side:
    """A release side by its command line; a group runs tiny 1."""

    def __init__(self, folder: Path, port: int, group: str = "lab") -> None:
        self.folder, self.port = folder, port
        self.directory = folder / "fleet"
        self.environment = {
            "EDGEWISE_REPOSITORY": str(self.directory), "EDGEWISE_BROKER": f"mqtt://127.0.0.1:{port}"
        }  # fmt: skip
        self.plan = folder / "plan.toml"
        self.plan.write_text("behaves = false\n[installed]\nminimum = 1\n")
        self("keys", "init")
        for release in (1, 2):
            self("release", str(FIXTURES / f"tiny-{release}.ewm"))
        self("push", "tiny", "1", "--group", group)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=self.environment)

    def __call__(self, *arguments: str) -> str:
        result = self.run(*arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def refuses(self, *arguments: str) -> EdgewiseError:
        error = self.run(*arguments).exception
        assert isinstance(error, EdgewiseError), error
        return error

    def start(self, *more: str) -> str:
        return self("rollout", "start", "tiny", "2", "--group", "lab", *QUICK, str(self.plan), *more)

    def status(self, *more: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self("rollout", "status", *more, "--json"))
        return found

    @contextmanager
    def served(self) -> Iterator[subprocess.Popen[bytes]]:
        """`edgewise fleet serve`, in a process of its own."""
        script = "import sys\nfrom edge_fleet.rollout import controller\ncontroller.JUDGE_EVERY_S = 0.05\n"
        script += "from edge_fleet.cli import main\nsys.argv = ['edgewise', 'fleet', 'serve']\nmain()\n"
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, env=os.environ | self.environment, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: is_served(self.directory) or process.poll() is not None, "it serves")
                yield process
            finally:
                process.send_signal(signal.SIGTERM)


@pytest.fixture
def side(tmp_path: Path, broker: Broker) -> Side:
    return Side(tmp_path, broker.port)


@pytest.fixture
def devices(side: Side) -> Iterator[list[ScriptedDevice]]:
    with with_devices(side, "takes it") as found:
        yield found


@contextmanager
def with_devices(side: Side, behaviour: Behaviour) -> Iterator[list[ScriptedDevice]]:
    with ExitStack() as stack:
        found = [
            stack.enter_context(ScriptedDevice(side.port, f"cam-{number}", tiny(1).manifest.ref, behaviour=behaviour))
            for number in (1, 2, 3)
        ]
        eventually(lambda: side("fleet", "ls", "--json").count('"reported": {') == 3, "they have reported")
        yield found


def test_a_rollout_from_start_to_everyone(side: Side, devices: list[ScriptedDevice]) -> None:
    with side.served():
        assert "lab-1: tiny 2 goes to the 3 devices of group lab in wave 1, wave 2." in side.start()
        side("rollout", "status", "--wait")
        shown = side.status()
    assert (shown["phase"], shown["rollout"], shown["waits_for"]) == ("completed", ID, "")
    eventually(lambda: {device.active.release for device in devices} == {2}, "everyone runs it")
    lines = [line["action"] for line in json.loads(side("rollout", "history", "--json"))["ledger"]]
    assert lines == ["start", "begin", "pass", "begin", "pass", "complete"]
    assert "All of group lab is to run tiny 2." in side("rollout", "history", ID)
    assert "completed" in side("rollout", "status")
    assert 'soak = "0s"' in side("rollout", "show")


def test_one_that_fails_ends_with_5_and_says_why(side: Side) -> None:
    with with_devices(side, "rolls back"), side.served():
        side.start()
        error = side.refuses("rollout", "status", "--wait")
        assert isinstance(error, RolloutHaltedError)
        assert error.exit_code == 5
        assert "In wave 1: 1 of 1 failed" in str(error)


def test_who_waits_is_told_when_a_person_is_needed(side: Side, devices: list[ScriptedDevice]) -> None:
    assert len(devices) == 3
    with side.served():
        side.start("--approve", "100%")
        error = side.refuses("rollout", "status", "--wait")
        assert str(error) == "lab-1 waits for a person; run `edgewise rollout approve lab-1`, or abort it."
        assert "wave 2 may begin" in side("rollout", "approve").lower()
        side("rollout", "status", "--wait")
    assert side.status()["phase"] == "completed"


def test_what_a_person_decides_is_kept_and_said_where_nothing_serves_it(
    side: Side, devices: list[ScriptedDevice]
) -> None:
    assert len(devices) == 3
    side.start()
    for words, said in (
        (("pause", "--reason", "lunch"), "Paused: lunch."),
        (("resume",), "Goes on."),
        (("abort", "--revert"), "Aborted: everyone runs tiny 1 again."),
    ):
        result = side.run("rollout", *words)
        assert result.exit_code == 0
        assert said in result.stdout
    assert "No `edgewise fleet serve` runs on this folder" in result.stderr
    assert side.status(ID)["phase"] == "aborted"


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (("tiny", "9", "--group", "lab"), UsageError, "tiny 9 is not released"),
        (("tiny", "1", "--group", "lab"), UsageError, "group lab is to run tiny 1 already; name another release."),
        (("tiny", "2", "--group", "attic"), UsageError, "group attic has no release yet that it could go back to"),
        (("tiny", "2", "--group", "Lab"), UsageError, "group 'Lab' is not usable"),
        (("tiny", "2", "--group", "lab", "--waves", "110%"), UsageError, "a wave of 110% is more than everyone"),
        (("tiny", "2", "--group", "lab", "--waves", "50%,10%"), UsageError, "does not grow"),
        (("tiny", "2", "--group", "lab", "--soak", "soon"), UsageError, "soon is no duration"),
        (("tiny", "2", "--group", "lab", "--approve", "7"), UsageError, "the plan has no such wave"),
        (("tiny", "2", "--group", "lab", "--window", "night"), UsageError, "the window night is none"),
        (("poor", "1", "--group", "lab"), GateRefusedError, "poor 1 did not pass the gate"),
    ],
)
def test_what_cannot_be_rolled_out_is_one_sentence_and_nothing_begins(
    side: Side, devices: list[ScriptedDevice], arguments: tuple[str, ...], kind: type[EdgewiseError], text: str
) -> None:
    assert len(devices) == 3
    if arguments[0] == "poor":
        package = tiny(1)._replace(manifest=replace(tiny(1).manifest, name="poor", gate=None))
        ReleaseSide(side.directory, side.port).releases.add(package)
    error = side.refuses("rollout", "start", *arguments)
    assert isinstance(error, kind)
    assert text in str(error)
    assert not (side.directory / FILE).exists() or side("rollout", "history") == "No rollout was started here yet.\n"


@pytest.mark.parametrize(
    ("plan", "text"),
    [("faces = 3", "plan.toml: faces is no key of a plan"), ("waves = [", "plan.toml is no TOML")],
)
def test_a_plan_that_cannot_be_read_is_one_sentence(side: Side, plan: str, text: str) -> None:
    side.plan.write_text(plan)
    error = side.refuses("rollout", "start", "tiny", "2", "--group", "lab", "--plan", str(side.plan))
    assert text in str(error)
    assert error.exit_code == 2


def test_without_keys_nothing_is_started(side: Side, devices: list[ScriptedDevice]) -> None:
    assert len(devices) == 3
    (side.directory / "keys").rename(side.folder / "stick")
    assert "key" in str(side.refuses("rollout", "start", "tiny", "2", "--group", "lab"))
    assert "key" in str(side.refuses("fleet", "serve"))
    with RolloutStore(side.directory) as store:
        assert store.all() == []


def test_verbs_without_a_rollout_say_what_there_is(side: Side, devices: list[ScriptedDevice]) -> None:
    assert len(devices) == 3
    for verb in (("status",), ("approve",), ("pause",), ("resume",), ("abort", "--keep"), ("history",), ("show",)):
        assert str(side.refuses("rollout", *verb)).startswith("no rollout was started in ")
        assert not (side.directory / FILE).exists()  # by looking
    side.start()
    for words, text in (
        (("show", "attic-7"), "there is no rollout attic-7 (there are: lab-1); name one."),
        (("resume",), "lab-1 is not paused; see `edgewise rollout status lab-1`."),
        (("approve",), "lab-1 waits for nothing (still to be approved: none); see `edgewise rollout status lab-1`."),
        (("approve", "--wave", "2"), "lab-1 waits for no approval of wave 2"),
        (("abort",), "an abort says what becomes of the devices that run the release; give --keep or --revert."),
        (("abort", "--keep", "--revert"), "give --keep or --revert."),
    ):
        error = side.refuses("rollout", *words)
        assert text in str(error)
        assert error.exit_code == 2
    side("rollout", "pause", "lab")
    assert "is paused already by" in str(side.refuses("rollout", "pause", ID))
    side("rollout", "abort", ID, "--keep")
    assert "lab-1 has ended (aborted)" in str(side.refuses("rollout", "abort", "--keep"))


def test_a_push_to_a_group_with_a_rollout_is_refused_or_ends_it(side: Side, devices: list[ScriptedDevice]) -> None:
    assert len(devices) == 3
    side.start()
    assert "runs in group lab; wait for it" in str(side.refuses("push", "tiny", "2", "--group", "lab"))
    assert "runs in group lab" in str(side.refuses("rollout", "start", "tiny", "2", "--group", "lab"))
    side("push", "tiny", "2", "--device", "cam-1")  # one device is nobody else's business
    assert "--supersede ends a group's rollout" in str(
        side.refuses("push", "tiny", "2", "--device", "cam-1", "--supersede")
    )
    side("push", "tiny", "2", "--group", "lab", "--supersede")
    assert side.status(ID)["phase"] == "superseded"
    side("push", "tiny", "1", "--group", "lab")


def test_the_serving_certificate_of_the_sample_rules_hears_what_it_judges_by_and_commands_nobody(
    tmp_path: Path,
) -> None:
    (tmp_path / "mosquitto").mkdir()
    broker = FleetBroker(tmp_path / "mosquitto")
    try:
        certificate, key = broker.authority.issue("edgewise-serve")
        address = BrokerAddress(
            port=broker.port, tls=True, ca=broker.authority.certificate, certificate=certificate, key=key
        )
        device = broker.device("cam-1")
        heard: list[str] = []
        with Link(address) as link:
            for leaf in (*LEAVES, "need"):
                link.subscribe(topics.all_devices(leaf), lambda arrived: heard.append(arrived.topic.rpartition("/")[2]))
            for leaf in (*LEAVES, "need"):
                device._client.publish(topics.device("cam-1", leaf), b"{}", qos=1)
            eventually(lambda: set(heard) >= {*LEAVES, "need"}, "all of it is heard")
            link.publish([Arrived(topics.group_desired("lab"), b"x"), Arrived(topics.trust("index.json"), b"x")])
            with pytest.raises(EdgewiseError, match="refuses edgewise/v1/device/cam-1/command/1"):
                link.publish([Arrived(topics.command("cam-1", "1"), b"x")], retain=False)
    finally:
        broker.stop()


def test_a_folder_is_served_once(side: Side) -> None:
    with serving(side.directory):
        assert "another `edgewise fleet serve` works on" in str(side.refuses("fleet", "serve"))
    assert not is_served(side.directory)


def test_why_says_it_in_a_sentence(side: Side, devices: list[ScriptedDevice]) -> None:
    eventually(lambda: all(device.told for device in devices), "they have taken up what they run")
    eventually(lambda: "as it is to" in side("why", "cam-1"), "and said so")
    assert side("why", "cam-1") == "cam-1 runs tiny 1, as it is to, like all of group lab.\n"
    assert "no device cam-9 is known on this broker" in str(side.refuses("why", "cam-9"))
    assert json.loads(side("why", "cam-2", "--json"))["group"] == "lab"

"""The controller with a real repository and a real broker, and devices that speak the wire."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_contract import topics
from edge_contract.errors import GateRefusedError, UsageError
from edge_contract.manifest import GateResult
from edge_contract.messages import ModelRef
from edge_contract.trust import DesiredState
from edge_fleet.devices.watch import read_fleet
from edge_fleet.link import Link
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout import machine
from edge_fleet.rollout.controller import Controller
from edge_fleet.rollout.events import Aborted, Approved, Paused
from edge_fleet.rollout.machine import Phase, State
from edge_fleet.rollout.plans.plan import BehavesGate, HealthyGate, InstalledGate, Plan, ShadowGate, WaveSize
from edge_fleet.rollout.start import Started, start
from edge_fleet.rollout.store import RolloutStore
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import ReleaseSide, tiny
from tests.fleet.rollout.scripted import Behaviour, ScriptedDevice, eventually

OLD, NEW = tiny(1).manifest.ref, tiny(2).manifest.ref
IDS = tuple(f"cam-{number}" for number in range(1, 7))
QUICK = Plan(
    waves=(WaveSize(devices=1), WaveSize(share=0.5), WaveSize(share=1.0)),
    shadow=None,
    installed=InstalledGate(failed=0.1, minimum=1),
    healthy=HealthyGate(soak=0.0),
    behaves=None,
)


class Fleet:
    """A release side whose group `lab` runs tiny 1, with devices, and a controller that is turned by hand."""

    def __init__(self, directory: Path, port: int, stack: ExitStack) -> None:
        self.port, self.stack = port, stack
        self.side = ReleaseSide(directory, port)
        self.side.push(tiny(1), "group/lab")
        self.side.releases.add(tiny(2))
        self.link = stack.enter_context(Link(BrokerAddress(port=port)))
        self.reader = stack.enter_context(Link(BrokerAddress(port=port)))  # what is read once ends a subscription to it
        self.store = stack.enter_context(RolloutStore(directory))
        self.publisher = Publisher(self.side.releases, self.side.desired, self.link)
        self.said: list[str] = []
        self.offset = 0.0
        self.controller = self.another_controller()
        self.devices: dict[str, ScriptedDevice] = {}

    def another_controller(self) -> Controller:
        return Controller(self.publisher, self.store, self.said.append, lambda: self.side.now() + self.offset)

    def join(self, ids: tuple[str, ...] = IDS, behaviour: Behaviour = "takes it", **more: str) -> None:
        for id_ in ids:
            device = ScriptedDevice(self.port, id_, OLD, behaviour=behaviour, **more)  # type: ignore[arg-type]
            self.devices[id_] = self.stack.enter_context(device)
        eventually(lambda: set(ids) <= set(self._known()), "the devices are known to the broker")

    def _known(self) -> list[str]:
        return [one.id for one in read_fleet(self.reader).devices.values() if one.info and one.reported]

    def start(self, plan: Plan = QUICK, *, group: str = "lab", supersede: bool = False, retry: bool = False) -> Started:
        known = read_fleet(self.reader)
        return start(
            self.publisher, self.store, known, "tiny", 2, group, plan, by="maria", supersede=supersede, retry=retry
        )

    def until(self, condition: Callable[[State], object], rollout: str = "lab-1") -> State:
        def state() -> State:
            found = self.store.get(rollout)
            assert found is not None
            return found

        eventually(lambda: condition(state()), f"it came so far; it is {state()}; {self.said}", self.controller.turn)
        return state()

    def on_broker(self, group: str = "lab") -> DesiredState:
        found = self.side.desired.of(f"group/{group}")
        assert found is not None
        assert self.reader.retained(topics.group_desired(group)) == {found.topic: found.envelope}
        return found.state

    def actions(self, rollout: str = "lab-1") -> list[str]:
        return [line.action for line in self.store.ledger(rollout)]

    def runs(self, model: ModelRef) -> set[str]:
        return {id_ for id_, device in self.devices.items() if device.active == model}


@pytest.fixture
def fleet(tmp_path: Path, broker: Broker) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path / "fleet", broker.port, stack)


def ended(state: State) -> bool:
    return not machine.is_open(state)


def test_a_good_release_reaches_everyone_one_signed_message_a_stage(fleet: Fleet) -> None:
    fleet.join()
    plan = replace(QUICK, shadow=ShadowGate(faces=50, share=0.5))
    assert fleet.start(plan).devices == len(IDS)
    fleet.until(lambda state: state.phase is Phase.SHADOW and not machine.due(state))
    assert fleet.runs(OLD) == set(IDS)

    def compare() -> None:
        for device in fleet.devices.values():
            device.look(2000)
        fleet.controller.turn()

    eventually(lambda: fleet.store.get("lab-1").phase is not Phase.SHADOW, "the shadow passes", compare)  # type: ignore[union-attr]
    assert fleet.until(ended).phase is Phase.COMPLETED
    eventually(lambda: fleet.runs(NEW) == set(IDS), "everyone runs it")
    assert (fleet.on_broker().model, fleet.on_broker().wave) == (NEW, None)
    assert fleet.actions() == ["start", *["begin", "pass"] * 4, "complete"]
    told = {state.revision for device in fleet.devices.values() for state in device.told}
    assert len(told) == 6  # the push before, the shadow, three waves, and everyone


def test_what_is_refused_in_the_first_wave_halts_and_everyone_goes_back(fleet: Fleet) -> None:
    fleet.join(behaviour="rolls back")
    fleet.start()
    state = fleet.until(ended)
    assert (state.phase, state.returning) == (Phase.HALTED, False)
    assert "rolled back" in state.reason.lower()
    assert (fleet.on_broker().model, fleet.on_broker().wave) == (OLD, None)
    assert fleet.actions() == ["start", "begin", "halt", "returned"]
    assert fleet.runs(OLD) == set(IDS)


def test_a_release_that_is_refused_in_shadow_halts_there(fleet: Fleet) -> None:
    fleet.join(behaviour="rejects it")
    fleet.start(replace(QUICK, shadow=ShadowGate(share=1.0)))
    assert fleet.until(ended).phase is Phase.HALTED
    assert fleet.actions() == ["start", "begin", "halt"]


def test_a_device_that_falls_silent_with_the_release_is_a_failure_and_one_that_is_away_is_none(fleet: Fleet) -> None:
    fleet.join(behaviour="dies with it")
    fleet.start(replace(QUICK, healthy=HealthyGate(soak=60.0, silent=30.0)))
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state))
    eventually(lambda: fleet.runs(NEW), "one took it", fleet.controller.turn)

    def later() -> None:
        fleet.offset += 5
        fleet.controller.turn()

    eventually(lambda: fleet.store.running("lab") is None, "silence is noticed", later)
    state = fleet.store.all()[0]
    assert (state.phase, "silent since activation" in state.reason.lower()) == (Phase.HALTED, True)


def test_devices_that_are_away_hold_nothing_up_and_are_no_failures(fleet: Fleet) -> None:
    fleet.join(IDS[:3])
    fleet.join(IDS[3:], behaviour="sleeps")
    for id_ in IDS[3:]:
        fleet.devices[id_].drop()
    eventually(lambda: not _online(fleet, *IDS[3:]), "they are away")
    fleet.start(replace(QUICK, waves=(WaveSize(share=1.0),)))
    assert fleet.until(ended).phase is Phase.COMPLETED
    (passed,) = (line.text for line in fleet.store.ledger("lab-1") if line.action == "pass")
    assert "0 of 3 failed" in passed


def test_a_device_that_joins_late_is_in_the_wave_by_its_own_reckoning(fleet: Fleet) -> None:
    fleet.join(IDS[:1])
    fleet.start(replace(QUICK, waves=(WaveSize(share=1.0),), healthy=HealthyGate(soak=60.0)))
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state))
    fleet.join(IDS[1:])
    eventually(lambda: fleet.runs(NEW) == set(IDS), "they take it up")
    fleet.until(lambda state: state.verdict is not None and "of 6 devices soaked" in state.verdict.text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "phase", "begun"), [("takes it", Phase.COMPLETED, 3), ("rolls back", Phase.HALTED, 1)]
)
def test_a_server_that_is_killed_wherever_it_changes_anything_goes_on(
    fleet: Fleet, behaviour: Behaviour, phase: Phase, begun: int
) -> None:
    fleet.join(behaviour=behaviour)
    fleet.start()
    command = [sys.executable, str(Path(__file__).with_name("killed_server.py")), str(fleet.side.directory)]
    done = subprocess.run([*command, str(fleet.port)], capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 10
    (state,) = fleet.store.all()
    assert (state.phase, len(state.begun)) == (phase, begun)
    told = [line.text for line in fleet.store.ledger() if line.action == "begin"]
    assert len(told) == len(set(told)) == begun  # none skipped, none begun twice
    model = NEW if phase is Phase.COMPLETED else OLD
    eventually(lambda: fleet.runs(model) == set(IDS), "everyone runs it")
    assert (fleet.on_broker().model, fleet.on_broker().wave) == (model, None)
    waves = [each.wave for each in fleet.devices[IDS[0]].told]
    assert len({wave for wave in waves if wave is not None}) == begun
    assert [wave for wave, _ in itertools.groupby(waves)] == list(dict.fromkeys(waves)) + waves[-1:]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}


def test_agents_from_before_there_were_waves_are_said_and_hold_nothing_up(fleet: Fleet) -> None:
    fleet.join(IDS[:1], camera_kind="")
    with pytest.raises(UsageError, match="no agent in group lab knows waves"):
        fleet.start()
    fleet.join(IDS[1:])
    (note,) = fleet.start().notes
    assert note.startswith("1 of the devices have an agent that knows no waves, and run tiny 1 until all")
    assert fleet.until(ended).phase is Phase.COMPLETED
    eventually(lambda: fleet.runs(NEW) == set(IDS), "and they run it in the end")


def test_without_a_shadow_nothing_begins_before_there_is_something_to_compare_with(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(replace(QUICK, behaves=BehavesGate(windows=2)))
    state = fleet.until(lambda state: state.verdict is not None)
    assert (state.phase, state.begun, fleet.on_broker().wave) == (Phase.WAITING, (), None)
    assert "0 of 2 stretches" in state.verdict.text  # type: ignore[union-attr]


def test_a_damaged_desired_state_is_said_and_ends_nothing(fleet: Fleet) -> None:
    fleet.join()
    fleet.start()
    (fleet.side.directory / "desired" / "group-attic.json").write_text("{")
    for _ in range(3):
        fleet.controller.turn()
    assert [text for text in fleet.said if "group-attic.json is not signed" in text] == fleet.said
    (fleet.side.directory / "desired" / "group-attic.json").unlink()
    assert fleet.until(ended).phase is Phase.COMPLETED


def test_telemetry_that_nobody_acknowledges_is_said(fleet: Fleet) -> None:
    fleet.join(IDS[:2])
    fleet.start(replace(QUICK, shadow=ShadowGate(share=1.0)))
    fleet.until(lambda state: state.phase is Phase.SHADOW and not machine.due(state))
    fleet.devices[IDS[0]].look(1)

    def repeat() -> None:
        for _ in range(20):
            fleet.devices[IDS[0]].repeat()
        fleet.controller.turn()

    eventually(lambda: "trouble" in fleet.actions(), "it is said", repeat)
    assert len([text for text in fleet.said if "start `edgewise-bridge`" in text]) == 1


def test_an_operator_decides_while_it_runs(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(replace(QUICK, approve=(2,)))
    fleet.until(lambda state: state.phase is Phase.WAITING and state.position == 1)
    now = fleet.side.now()
    fleet.store.transition("lab-1", Paused("joe", "", now), now)
    fleet.store.transition("lab-1", Approved(2, "maria", now), now)
    for _ in range(3):
        fleet.controller.turn()
    assert fleet.store.get("lab-1").phase is Phase.WAITING  # type: ignore[union-attr]
    fleet.store.transition("lab-1", Aborted("revert", "joe", now), now)
    state = fleet.until(ended)
    assert (state.phase, fleet.on_broker().wave, fleet.on_broker().model) == (Phase.ABORTED, None, OLD)
    eventually(lambda: fleet.runs(OLD) == set(IDS), "everyone is back")


def test_an_abort_that_keeps_leaves_the_wave_as_it_stands(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(replace(QUICK, healthy=HealthyGate(soak=600.0)))
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state))
    eventually(lambda: len(fleet.runs(NEW)) == 1, "one runs it", fleet.controller.turn)
    now = fleet.side.now()
    fleet.store.transition("lab-1", Aborted("keep", "joe", now), now)
    assert fleet.until(ended).phase is Phase.ABORTED
    assert fleet.on_broker().wave is not None
    assert len(fleet.runs(NEW)) == 1


def test_a_rollout_that_asks_to_retry_asks_once_and_in_all_its_waves(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(retry=True)
    fleet.until(ended)
    told = [state for device in fleet.devices.values() for state in device.told if state.wave or state.model == NEW]
    first = min(state.revision for state in told)
    assert {state.retry for state in told} == {first}
    assert all(state.retry == 0 for device in fleet.devices.values() for state in device.told if state not in told)


def test_it_asks_to_retry_also_where_its_first_wave_stands_there_already(fleet: Fleet) -> None:
    fleet.join()
    slow = replace(QUICK, healthy=HealthyGate(soak=600.0))
    fleet.start(slow)
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state))
    now = fleet.side.now()
    fleet.store.transition("lab-1", Aborted("keep", "joe", now), now)
    before = fleet.on_broker()
    fleet.start(slow, retry=True)
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state), "lab-2")
    after = fleet.on_broker()
    assert after.wave == before.wave
    assert after.retry == after.revision > before.revision
    fleet.controller.turn()
    assert fleet.on_broker() == after


def test_a_withdrawn_release_halts_its_rollout(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(replace(QUICK, healthy=HealthyGate(soak=600.0)))
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state))
    fleet.side.releases.withdraw("tiny", 2)
    state = fleet.until(ended)
    assert (state.phase, state.reason, fleet.on_broker().wave) == (Phase.HALTED, "tiny 2 was withdrawn.", None)


def test_what_somebody_issued_by_hand_supersedes_it_and_stands(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(replace(QUICK, healthy=HealthyGate(soak=600.0)))
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state))
    pushed = fleet.publisher.push(lambda: fleet.side.desired.issue("group/lab", OLD)).state
    state = fleet.until(ended)
    assert (state.phase, fleet.on_broker()) == (Phase.SUPERSEDED, pushed)


def test_a_renewed_state_is_no_other_wish(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(replace(QUICK, healthy=HealthyGate(soak=600.0)))
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state))
    fleet.publisher.states(fleet.side.desired.reissue(fleet.side.desired.all()))
    for _ in range(3):
        fleet.controller.turn()
    assert fleet.store.get("lab-1").phase is Phase.WAVE  # type: ignore[union-attr]


def test_groups_are_rolled_out_to_side_by_side(fleet: Fleet) -> None:
    fleet.side.push(tiny(1), "group/attic")
    fleet.join(IDS[:3])
    fleet.join(IDS[3:], "rolls back", group="attic")
    fleet.start()
    fleet.start(group="attic")
    assert fleet.until(ended).phase is Phase.COMPLETED
    assert fleet.until(ended, "attic-2").phase is Phase.HALTED
    assert (fleet.on_broker().model, fleet.on_broker("attic").model) == (NEW, OLD)


def test_a_newer_rollout_takes_over_from_one_that_is_stuck(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(replace(QUICK, approve=(2,)))
    fleet.until(lambda state: state.phase is Phase.WAITING and state.position == 1)
    with pytest.raises(UsageError, match=r"lab-1 of tiny 2 runs in group lab; .*--supersede"):
        fleet.start()
    fleet.start(supersede=True)
    assert fleet.until(ended, "lab-2").phase is Phase.COMPLETED
    assert fleet.actions()[-1] == "supersede"


def test_a_controller_that_was_away_blames_no_device_for_that(fleet: Fleet) -> None:
    fleet.join()
    fleet.start(replace(QUICK, healthy=HealthyGate(soak=100_000.0, silent=30.0)))
    fleet.until(lambda state: state.phase is Phase.WAVE and not machine.due(state))
    eventually(lambda: fleet.runs(NEW), "one took it", fleet.controller.turn)
    fleet.offset = 4000.0  # the machine slept, and nothing could be heard
    for _ in range(3):
        fleet.controller.turn()
    assert fleet.store.get("lab-1").phase is Phase.WAVE  # type: ignore[union-attr]


def test_what_the_disk_refuses_is_said_and_tried_again(fleet: Fleet) -> None:
    fleet.join()
    fleet.start()
    keys = fleet.side.directory / "keys"
    keys.rename(fleet.side.directory / "away")
    for _ in range(3):
        fleet.controller.turn()
    assert len([text for text in fleet.said if text.startswith("lab-1: ") and "key" in text]) == 1
    assert fleet.actions()[-1] == "trouble"
    (fleet.side.directory / "away").rename(keys)
    assert fleet.until(ended).phase is Phase.COMPLETED


def test_a_rollout_knows_how_often_its_release_agrees_with_the_one_before_on_the_gates_pictures(fleet: Fleet) -> None:
    fleet.join(IDS[:2])
    assert fleet.start().state.agreement is None
    passed = GateResult(passed=True, checks={"agreement_with_champion": 0.8, "champion_digest": OLD.digest})
    compared = tiny(2)._replace(manifest=replace(tiny(2).manifest, name="compared", gate=passed))
    fleet.side.releases.add(compared)
    known = read_fleet(fleet.reader)
    found = start(fleet.publisher, fleet.store, known, "compared", 2, "lab", QUICK, by="maria", supersede=True)
    assert found.state.agreement == 0.8


def test_what_stands_against_a_rollout_is_said_before_anything_began(fleet: Fleet) -> None:
    with pytest.raises(UsageError, match="no device of group lab has reported on this broker"):
        fleet.start()
    fleet.join(IDS[:2])
    with pytest.raises(UsageError, match=r"group attic has no release yet .*edgewise push NAME RELEASE --group attic"):
        fleet.start(group="attic")
    bad = tiny(2)._replace(manifest=replace(tiny(2).manifest, name="poor", gate=None))
    fleet.side.releases.add(bad)
    known = read_fleet(fleet.reader)
    with pytest.raises(GateRefusedError, match="poor 2 did not pass the gate"):
        start(fleet.publisher, fleet.store, known, "poor", 2, "lab", QUICK, by="maria")
    with pytest.raises(UsageError, match="group lab is to run tiny 1 already"):
        start(fleet.publisher, fleet.store, known, "tiny", 1, "lab", QUICK, by="maria")
    fleet.side.push(tiny(2), "device/cam-1")
    fleet.side.push(tiny(2), "device/cam-2")
    with pytest.raises(UsageError, match="every device of group lab follows another desired state"):
        fleet.start()
    assert fleet.store.all() == []


def _online(fleet: Fleet, *ids: str) -> list[str]:
    known = read_fleet(fleet.reader).devices
    return [id_ for id_ in ids if known[id_].online]

"""The loop with real parts: a broker, devices that speak the wire, a release side, trainings in processes."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from edge_contract import topics
from edge_contract.limits import MESSAGE_BYTES
from edge_contract.loop_status import LoopRun, LoopStatus, LoopStep
from edge_contract.manifest import GateResult
from edge_contract.messages import decode
from edge_fleet.link import Link
from edge_fleet.loop.controller import terms
from edge_fleet.loop.events import Accepted, Stopped
from edge_fleet.loop.receiver import Receiver
from edge_fleet.loop.release import approved_by_a_person
from edge_fleet.loop.settings import LabelSettings
from edge_fleet.loop.status import StatusPublisher, encoded, loop_status
from edge_fleet.registry.ledger import Ledger
from edge_fleet.registry.registry import Registry
from edge_fleet.rollout.events import Approved
from edge_fleet.rollout.machine import Phase
from edge_fleet.rollout.plans.plan import DEFAULT, Plan, WaveSize
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker
from tests.agent.update.update_bench import tiny
from tests.fleet.loop.standing import PLAN, PROGRAM, Standing, answers_with, numbered
from tests.fleet.loop.test_alerts import body, one
from tests.fleet.loop.test_receiver import TOKEN
from tests.fleet.rollout.scripted import Behaviour, eventually
from tests.fleet.rollout.test_controller import Fleet
from tests.mlflow_store import new_store


class World:
    """A fleet whose group `lab` runs tiny 1, conducted as `fleet serve` does, and a loop beside it."""

    def __init__(self, folder: Path, port: int, stack: ExitStack) -> None:
        self.folder, self.port, self.stack = folder, port, stack
        self.fleet = Fleet(folder / "fleet", port, stack)
        answers_with(folder, numbered(3))

    def join(self, behaviour: Behaviour = "takes it") -> None:
        self.fleet.join(("cam-1", "cam-2"), behaviour)

    def loop(self, **changed: object) -> Standing:
        return Standing(self.folder, self.port, self.stack, **changed)  # type: ignore[arg-type]

    def until(self, loop: Standing, phase: str) -> None:
        def turned() -> None:
            self.fleet.controller.turn()
            loop.turn()

        def reached() -> bool:
            run = loop.state.current
            return (run.phase if run is not None else loop.state.recent and loop.last.phase) == phase

        eventually(reached, f"{phase}: {loop.said[-5:]}", turned)


@pytest.fixture
def world(tmp_path: Path, broker: Broker) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, broker.port, stack)


def notify(loop: Standing, *sent: dict[str, object]) -> None:
    """Send notifications as Alertmanager does."""
    with Receiver(("127.0.0.1", 0), TOKEN, "tiny", loop.store, loop.said.append) as receiver:
        for each in sent:
            answer = httpx.post(
                receiver.url, content=body(each), headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10
            )
            assert answer.status_code == 204


def dark(device: str = "cam-1", release: int = 1, cause: str = "dark") -> dict[str, object]:
    return one(
        fingerprint=f"{hash((device, release, cause)) & 2**63 - 1:016x}",
        device=device,
        model=f"tiny-{release}",
        cause=cause,
    )


def accept(loop: Standing, device: str = "cam-1") -> None:
    loop.store.transition("tiny", Accepted(device, "dark", "maria", loop.now()), loop.now())


def approved(world: World, loop: Standing) -> None:
    """From an accepted cause to promoted, with a person's word after the canary."""
    accept(loop)
    notify(loop, dark())
    world.until(loop, "approval")
    assert len(world.fleet.runs(numbered(3).manifest.ref)) == 1  # the canary
    state = world.fleet.store.get("lab-1")
    assert state is not None
    assert (state.by, state.release.release) == ("loop tiny-run-1", 3)
    world.fleet.store.transition("lab-1", Approved(2, "maria", 0.0), 0.0)
    world.until(loop, "promoted")
    assert (loop.last.measured, loop.last.rollout) == ({"field_accuracy_after": 0.7}, "lab-1")
    assert loop.trained() == ["tiny-run-1 dark"]


def test_from_an_alert_to_everyone_with_a_persons_word_in_between(world: World) -> None:
    world.join()
    loop = world.loop(plan=approved_by_a_person(PLAN))
    approved(world, loop)
    assert loop.last.steps[-1].text == "Group lab runs tiny 3; no registry is configured that has a champion."


@pytest.mark.slow
@pytest.mark.xdist_group("mlflow")
def test_with_a_registry_the_release_is_challenger_and_then_champion(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # artifacts of a store that is a file
    registry = Registry(new_store(tmp_path), Ledger(tmp_path / "ledger.jsonl"), time.time, actor="loop")
    world.join()
    loop = world.loop(plan=approved_by_a_person(PLAN), registry=lambda: registry)
    approved(world, loop)
    assert [(entry.actor, entry.action) for entry in registry.history("tiny")] == [
        ("loop", "register"),
        ("loop", "promote"),
    ]
    champion = registry.champion("tiny")
    assert champion is not None
    assert champion.release == 3
    assert loop.last.steps[-1].text == "Tiny 3 is champion, and group lab runs it."


def test_a_storm_of_a_thousand_alerts_starts_one_training(world: World) -> None:
    answers_with(world.folder, None, status=3, reasons=["worse"])
    (world.folder / "checkout" / "train.py").write_text(
        f"import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.05)\n{PROGRAM}"
    )
    loop = world.loop()
    accept(loop, "all")
    storm = [dark(f"cam-{number}") for number in range(1000)]
    with Receiver(("127.0.0.1", 0), TOKEN, "tiny", loop.store, loop.said.append) as receiver, httpx.Client() as client:
        for begin in range(0, 1000, 100):  # and each of them twice, as after a lost answer
            for _ in range(2):
                sent = body(*storm[begin : begin + 100])
                headers = {"Authorization": f"Bearer {TOKEN}"}
                assert client.post(receiver.url, content=sent, headers=headers).status_code == 204
            loop.turn()
    (world.folder / "checkout" / "go").touch()
    world.until(loop, "refused")
    for _ in range(3):
        loop.turn()
    assert loop.trained() == ["tiny-run-1 dark"]
    assert (loop.state.sequence, len(loop.state.trainings)) == (1, 1)


def test_a_turned_camera_is_declined_and_said(world: World) -> None:
    loop = world.loop()
    accept(loop)
    notify(loop, dark(cause="turned"), dark())
    loop.turn()
    assert (loop.last.phase, loop.last.decision, loop.trained()) == ("told", "tell", [])
    assert any("a turned camera needs a person: straighten it; no training" in said.lower() for said in loop.said)


def test_what_the_gate_refused_is_refused_with_its_reasons_and_released_nowhere(world: World) -> None:
    answers_with(world.folder, None, status=3, reasons=["it lost 4 points on cam-2, whose labels disagree"])
    loop = world.loop()
    accept(loop)
    notify(loop, dark())
    world.until(loop, "refused")
    assert "it lost 4 points on cam-2" in loop.last.steps[-1].text
    assert (world.fleet.store.all(), loop.last.release) == ([], None)


@pytest.mark.parametrize(
    ("gate", "why"), [(None, "it has not judged it"), (GateResult(passed=False, reasons=("worse",)), "worse")]
)
def test_a_package_that_no_gate_passed_is_refused_whatever_the_pipeline_says(
    world: World, gate: GateResult | None, why: str
) -> None:
    package = numbered(3)
    answers_with(world.folder, package._replace(manifest=replace(package.manifest, gate=gate)))
    loop = world.loop()
    accept(loop)
    notify(loop, dark())
    world.until(loop, "refused")
    assert loop.last.steps[-1].text == f"The gate refused it: {why}."
    assert [each.manifest.release for each in world.fleet.side.releases.listed()] == [1, 2]


def test_a_package_that_is_another_than_was_named_is_not_released(world: World) -> None:
    answers_with(world.folder, numbered(3), digest="0" * 64)
    loop = world.loop()
    accept(loop)
    notify(loop, dark())
    world.until(loop, "failed")
    assert "is not the package that the training named" in loop.last.steps[-1].text


def test_a_rollout_that_halts_is_undone(world: World) -> None:
    world.join("rolls back")
    loop = world.loop()
    accept(loop)
    notify(loop, dark())
    world.until(loop, "undone")
    assert "Lab-1 halted" in loop.last.steps[-1].text
    world.fleet.until(lambda state: not state.returning)
    assert world.fleet.runs(tiny(1).manifest.ref) == {"cam-1", "cam-2"}


def test_a_stop_ends_the_training_and_another_may_begin_after_that(world: World) -> None:
    (world.folder / "checkout" / "train.py").write_text(
        "import pathlib, time\npathlib.Path('runs').touch()\ntime.sleep(600)\n"
    )
    loop = world.loop()
    accept(loop)
    notify(loop, dark())
    eventually((world.folder / "checkout" / "runs").exists, "it trains", loop.turn)
    loop.store.transition("tiny", Stopped("maria", "wrong labels", loop.now()), loop.now())
    answers_with(world.folder, None, status=3, reasons=["worse"])
    accept(loop, "cam-2")
    notify(loop, dark("cam-2"))
    world.until(loop, "refused")
    assert loop.state.recent[1].phase == "stopped"
    assert loop.trained() == ["tiny-run-2 dark"]


def test_a_stop_aborts_the_rollout_and_everyone_goes_back(world: World) -> None:
    world.join()
    loop = world.loop(plan=replace(PLAN, approve=(2,)))
    accept(loop)
    notify(loop, dark())
    world.until(loop, "approval")
    loop.store.transition("tiny", Stopped("maria", "", loop.now()), loop.now())
    loop.turn()
    state = world.fleet.until(lambda state: state.phase is Phase.ABORTED and not state.returning)
    assert state.reason.startswith("Aborted: everyone")
    assert loop.state.clearing == ()
    world.until(loop, "stopped")


def test_labels_in_the_folder_decide(world: World) -> None:
    field = world.folder / "field"
    loop = world.loop(labels=LabelSettings(field=field, enough=10, expected=0.9))
    notify(loop, dark(cause="answers"))
    loop.turn()
    assert (loop.last.phase, loop.trained()) == ("labels-asked", [])
    field.mkdir()
    rows = [f"{number}.png,happy,cam-{number % 2},1,1,random,1,tiny-1,sad,maria" for number in range(20)]
    header = "picture,label,device,taken,track,stratum,inclusion,model,answer,annotators"
    (field / "labels.csv").write_text("\n".join([header, *rows]))
    answers_with(world.folder, None, status=3, reasons=["worse"])
    world.until(loop, "refused")
    assert loop.last.decision == "retrain-labelled"
    assert loop.trained() == ["tiny-run-2 "]


def test_what_cannot_be_done_now_is_said_once_and_tried_until_patience_ends(world: World) -> None:
    keys = world.fleet.side.directory / "keys"
    (key,) = keys.glob("release-*.pem")
    key.rename(keys.parent / key.name)
    loop = world.loop()
    accept(loop)
    notify(loop, dark())
    world.until(loop, "registering")
    for _ in range(3):
        loop.turn()
    (said,) = [each for each in loop.said if "to register" in each]
    assert said.startswith("tiny-run-1, to register: ")
    (keys.parent / key.name).rename(key)
    world.until(loop, "rolling-out")  # where no device has reported
    loop.turn()
    assert loop.run.phase == "rolling-out"
    loop.offset += 3 * 3600
    loop.turn()
    assert (loop.last.phase, "no device of group lab has reported" in loop.last.steps[-1].text.lower()) == (
        "failed",
        True,
    )


def test_a_loop_that_is_killed_at_every_step_goes_on_and_trains_once(world: World) -> None:
    world.join()
    loop = world.loop()
    accept(loop)
    notify(loop, dark())
    log = (world.folder / "log").open("w+")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fleet.loop.killed_loop", str(world.folder), str(world.port)],
        stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ, cwd=Path(__file__).resolve().parents[3],
    ) as process:  # fmt: skip
        eventually(lambda: process.poll() is not None, "it ended", world.fleet.controller.turn)
        assert process.stdout is not None
        said = process.stdout.read()
    log.seek(0)
    died = log.read()
    assert process.returncode == 0, died
    killed = int(re.findall(r"killed (\d+)", said)[0])
    assert killed >= 16, died
    assert (loop.last.phase, loop.trained()) == ("promoted", ["tiny-run-1 dark"])
    assert [(state.by, state.phase) for state in world.fleet.store.all()] == [("loop tiny-run-1", Phase.COMPLETED)]
    texts = [line.text for line in loop.store.ledger("tiny", "tiny-run-1")]
    assert texts.count("Lab-1 rolls it out.") == 1


def test_how_it_stands_is_retained_for_those_who_watch(world: World) -> None:
    loop = world.loop()
    accept(loop)
    notify(loop, dark())
    loop.turn()
    with Link(BrokerAddress(port=world.port)) as link:
        shown = StatusPublisher(link, loop.said.append)
        shown.show(loop_status(loop.state, terms(loop.settings), loop.now()))
        (payload,) = link.retained(topics.loop_status("tiny")).values()
    status = decode(payload, LoopStatus)
    assert status.current is not None
    assert (status.current.phase, status.budget_left, status.current.devices) == ("training", 2, ("cam-1",))


def test_many_long_runs_fit_one_message() -> None:
    step = LoopStep(phase="approval", text="x" * 1000, time=1.0)
    run = LoopRun(id="r", alert="Drift", phase="told", began=1.0, steps=(step,) * 64, devices=("d" * 64,) * 128)
    status = LoopStatus(model="tiny", current=run, recent=(run,) * 16, time=1.0)
    found = decode(encoded(status), LoopStatus)
    assert found.current is not None
    assert len(encoded(status)) <= MESSAGE_BYTES


@pytest.mark.parametrize(
    ("plan", "approve"),
    [
        (DEFAULT, (2,)),
        (Plan(waves=(WaveSize(share=0.1), WaveSize(share=1.0))), (1,)),
        (Plan(waves=(WaveSize(devices=5),)), (1,)),
        (replace(DEFAULT, approve=(0, 5)), (0, 2, 5)),
    ],
)
def test_a_person_approves_after_the_canary_or_before_anything_answers(plan: Plan, approve: tuple[int, ...]) -> None:
    assert approved_by_a_person(plan).approve == approve

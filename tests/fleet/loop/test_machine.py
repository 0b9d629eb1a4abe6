"""The loop's machine: what follows what, and what never happens whatever comes in whatever order."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_contract.loop_status import ENDED
from edge_fleet.loop.alerts import Alert
from edge_fleet.loop.decide import CAMERA, Labels
from edge_fleet.loop.events import (
    Accepted,
    Attempted,
    Checked,
    Cleared,
    Event,
    Failed,
    GateRefused,
    Looked,
    Paused,
    Promoted,
    Registered,
    Resumed,
    RolloutSeen,
    RolloutStarted,
    Stopped,
    Terms,
    Trained,
)
from edge_fleet.loop.machine import Due, Work, due, step
from edge_fleet.loop.state import STEPS, WEEK_S, State, budget_left
from tests.fleet.loop.loops import ANSWERS, DAY, HOUR, LESS_RIGHT, NEW, TERMS, Loop
from tests.fleet.loop.test_diagnose import alert

DARK, TURNED = alert(cause="dark"), alert(cause="turned")
TOO_FEW = Labels(counted=3, wanted=200)


def work(loop: Loop) -> Work | None:
    found = due(loop.state)
    return None if found is None else found.work


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def training(loop: Loop) -> Loop:
    loop.look(ANSWERS)
    loop.step(Attempted(loop.run.id, loop.now))
    return loop


def test_a_turned_camera_is_told_once_and_nothing_is_trained(loop: Loop) -> None:
    loop.look(TURNED)
    assert (loop.last.phase, loop.last.decision, loop.last.cause) == ("told", "tell", "turned")
    assert [each.phase for each in loop.last.steps] == ["diagnosing", "deciding", "told"]
    assert loop.last.steps[-1].text == "A turned camera needs a person: straighten it; no training."
    assert (loop.look(TURNED), loop.state.trainings, work(loop)) == ((), (), None)


def test_from_labels_to_promoted(loop: Loop) -> None:
    loop.look(ANSWERS)
    run = loop.run.id
    steps: list[tuple[Work, Event | None]] = [
        (Work.TRAIN, Attempted(run, loop.now)),
        (Work.TRAIN, Trained(run, "/made.ewm", NEW, {"field_accuracy_after": 0.7}, loop.now)),
        (Work.CHECK, Checked(run, loop.now)),
        (Work.REGISTER, Registered(run, "emotion 6 is released", loop.now)),
        (Work.ROLL_OUT, RolloutStarted(run, "shops-1", loop.now)),
        (Work.WATCH, RolloutSeen(run, "waits", "shops-1 waits for a person", loop.now)),
        (Work.WATCH, RolloutSeen(run, "runs", "shops-1 goes on", loop.now)),
        (Work.WATCH, RolloutSeen(run, "completed", "everyone runs it", loop.now)),
        (Work.PROMOTE, Promoted(run, "emotion 6 is champion", loop.now)),
    ]
    for wanted, event in steps:
        assert work(loop) is wanted
        assert event is not None
        assert loop.step(event)
    last = loop.last
    assert (work(loop), loop.state.current, last.phase, last.ended) == (None, None, "promoted", loop.now)
    assert (last.release, last.rollout, last.measured) == (NEW, "shops-1", {"field_accuracy_after": 0.7})
    assert [each.phase for each in last.steps] == [
        "diagnosing", "deciding", "training", "gating", "registering", "rolling-out", "rolling-out", "approval",
        "rolling-out", "promoting", "promoted",
    ]  # fmt: skip


def test_an_alert_that_comes_again_is_no_new_one_until_it_ended(loop: Loop) -> None:
    loop.look(TURNED)
    for _ in range(5):
        assert loop.look(TURNED) == ()
    loop.look()
    loop.look(TURNED)
    assert loop.phases().count("told") == 2
    loop.look(replace(TURNED, starts=loop.now))  # it ended and fires anew, between two looks
    assert loop.phases().count("told") == 3


def test_a_thousand_alerts_begin_one_training_and_those_that_follow_join_it(loop: Loop) -> None:
    storm = [alert(device=f"cam-{number}", cause="answers") for number in range(1000)]
    loop.look(*storm[:500])
    loop.look(*storm)
    assert (loop.state.sequence, len(loop.state.trainings), len(loop.run.devices)) == (1, 1, 128)
    loop.step(Failed(loop.run.id, "it broke", loop.now, ended=True))
    loop.now += 3 * DAY
    assert loop.look(*storm) == ()
    assert loop.state.sequence == 1


def test_an_accepted_storm_that_goes_on_to_come_is_covered_by_its_run(loop: Loop) -> None:
    storm = [alert(device=f"cam-{number}") for number in range(100)]
    loop.accept("all")
    for count in (1, 50, 100):
        loop.look(*storm[:count])
    loop.step(Attempted(loop.run.id, loop.now))
    loop.to_rolling_out()
    storm.append(alert(device="cam-late"))
    loop.look(*storm)
    loop.step(Failed(loop.run.id, "it broke", loop.now))
    loop.look(*storm)
    assert (loop.state.sequence, loop.state.current, len(loop.last.devices)) == (1, None, 101)


def test_an_alert_of_another_cause_waits_for_the_run_that_is_under_way(training: Loop) -> None:
    assert training.look(ANSWERS, alert(device="cam-2", cause="turned")) == ()
    training.step(Failed(training.run.id, "it broke", training.now, ended=True))
    training.look(ANSWERS, alert(device="cam-2", cause="turned"))
    assert (training.last.phase, training.last.devices) == ("told", ("cam-2",))


def test_an_accepted_cause_is_trained_for_once(loop: Loop) -> None:
    loop.look(DARK)
    assert loop.last.phase == "told"
    loop.accept()
    loop.look(DARK)
    assert (loop.run.phase, loop.run.decision, loop.run.augmentation) == ("training", "retrain-augmented", "dark")
    assert [each.used for each in loop.state.accepted] == [loop.run.id]
    loop.step(Failed(loop.run.id, "it broke", loop.now, ended=True))
    assert loop.state.accepted == ()
    loop.now += 2 * DAY
    assert loop.look(DARK) == ()
    newer = replace(DARK, fingerprint="f" * 16, model="emotion-6")  # of the release that came of it
    loop.look(newer)
    assert loop.last.phase == "told"


def test_after_a_training_that_failed_a_person_may_accept_again(loop: Loop) -> None:
    loop.accept()
    loop.look(DARK)
    loop.step(Failed(loop.run.id, "it broke", loop.now, ended=True))
    loop.now += 2 * DAY
    loop.accept("cam-2")
    assert loop.look(DARK) == ()
    loop.accept()
    loop.look(DARK)
    assert loop.run.phase == "training"


def test_labels_that_come_begin_the_training_that_was_missing_them(loop: Loop) -> None:
    loop.look(ANSWERS, labels=TOO_FEW)
    assert loop.last.phase == "labels-asked"
    assert loop.look(ANSWERS, labels=TOO_FEW) == ()
    loop.look(ANSWERS)
    assert (loop.run.phase, loop.run.augmentation) == ("training", "")


def test_the_cooldown_and_the_budget_hold_a_training_back_and_are_said_once(loop: Loop) -> None:
    def fresh(number: int) -> Alert:
        return alert(device=f"cam-{number}", cause="answers")

    loop.look(fresh(1))
    loop.now += HOUR
    loop.step(Failed(loop.run.id, "it broke", loop.now, ended=True))
    assert [entry.text for entry in loop.look(fresh(2))] == ["A training waits for the cooldown after the last one."]
    assert loop.look(fresh(2)) == ()
    loop.now += DAY - 1
    assert loop.look(fresh(2)) == ()
    loop.now += 1
    loop.look(fresh(2))
    assert budget_left(loop.state, 2, loop.now) == 0
    loop.step(Failed(loop.run.id, "it broke", loop.now, ended=True))
    loop.now += 2 * DAY
    (entry,) = loop.look(fresh(3))
    assert entry.text == "A training waits: 2 a week are allowed, and they are used up."
    assert loop.state.waits == entry.text
    loop.now += WEEK_S - 3 * DAY
    loop.look(fresh(3))
    assert (loop.run.phase, loop.state.waits) == ("training", "")


def test_what_needs_no_training_waits_for_no_cooldown(training: Loop) -> None:
    training.step(Failed(training.run.id, "it broke", training.now, ended=True))
    training.look(TURNED, alert(device="cam-2", cause="answers"))
    assert training.last.phase == "told"


def test_a_dry_run_says_what_would_be_done_and_counts_for_nothing(loop: Loop) -> None:
    dry = replace(TERMS, dry_run=True, trainings_per_week=0)
    loop.accept()
    loop.look(DARK, terms=dry)
    assert loop.last.phase == "rehearsed"
    assert "A dry run: a training would begin now (retrain-augmented, dark)." in loop.last.steps[-1].text
    assert (loop.state.trainings, loop.state.last_trained, work(loop)) == ((), 0.0, None)
    assert loop.look(DARK, terms=dry) == ()
    loop.look(DARK)
    assert loop.run.phase == "training"


def test_a_refusal_of_the_gate_is_the_end_and_nothing_leads_from_there_to_a_release(training: Loop) -> None:
    run = training.run.id
    training.step(GateRefused(run, ("it lost 3 points on the old data", "and one label"), training.now))
    assert training.last.steps[-1].text == "The gate refused it: it lost 3 points on the old data; and one label."
    for event in (
        Trained(run, "/made.ewm", NEW, {}, training.now), Checked(run, training.now),
        Registered(run, "done", training.now), Promoted(run, "done", training.now),
    ):  # fmt: skip
        assert training.step(event) == ()
    assert (training.last.phase, training.last.release) == ("refused", None)


def test_a_package_is_not_registered_before_it_was_checked(training: Loop) -> None:
    training.step(Trained(training.run.id, "/made.ewm", NEW, {}, training.now))
    assert training.step(Registered(training.run.id, "done", training.now)) == ()
    assert training.run.phase == "gating"


@pytest.mark.parametrize(("standing", "phase"), [("halted", "undone"), ("ended", "stopped")])
def test_a_rollout_that_ended_badly_ends_the_run(training: Loop, standing: Any, phase: str) -> None:
    training.to_rolling_out()
    training.step(Registered(training.run.id, "done", training.now))
    training.step(RolloutStarted(training.run.id, "shops-1", training.now))
    training.step(RolloutSeen(training.run.id, standing, "shops-1 halted: wave 1 failed", training.now))
    assert (training.last.phase, training.last.steps[-1].text) == (phase, "Shops-1 halted: wave 1 failed.")


def test_a_pause_lets_nothing_begin_and_no_step_follow(training: Loop) -> None:
    training.step(Paused("maria", "stocktaking", training.now))
    assert training.state.paused == "maria: stocktaking"
    assert due(training.state) == Due(Work.TRAIN, training.run, begin=False)
    training.to_rolling_out()
    assert (training.run.phase, due(training.state)) == ("registering", None)
    training.step(Resumed("maria", training.now))
    assert work(training) is Work.REGISTER
    training.step(Failed(training.run.id, "it broke", training.now, ended=True))
    training.step(Paused("maria", "", training.now))
    assert training.look(TURNED) == ()
    assert training.step(Paused("maria", "", training.now)) == ()


def test_a_stop_ends_the_run_and_what_it_left_before_anything_else_begins(training: Loop) -> None:
    run = training.run.id
    training.step(Stopped("maria", "wrong labels", training.now))
    assert (training.last.phase, training.last.steps[-1].text) == ("stopped", "Stopped by maria: wrong labels.")
    assert work(training) is Work.CLEAR
    training.now += 30 * DAY
    other = alert(device="cam-2", cause="answers")
    assert training.look(other) == ()
    training.step(Cleared(run, "Nothing of it runs.", training.now))
    training.look(other)
    assert training.run.phase == "training"
    assert training.step(Stopped("maria", "", training.now))
    assert training.step(Stopped("maria", "", training.now)) == ()


def test_a_training_of_which_nothing_is_known_any_more_is_ended_before_another_begins(training: Loop) -> None:
    run = training.run.id
    training.step(Failed(run, "GitHub cannot be reached", training.now))
    assert (training.last.phase, work(training)) == ("failed", Work.CLEAR)
    training.now += 2 * DAY
    assert training.look(alert(device="cam-2", cause="answers")) == ()


def test_a_rollout_that_was_just_starting_when_its_run_was_stopped_is_aborted(training: Loop) -> None:
    training.to_rolling_out()
    training.step(Registered(training.run.id, "done", training.now))
    run = training.run.id
    training.step(Stopped("maria", "", training.now))
    training.step(Cleared(run, "No rollout of it runs.", training.now))
    training.step(RolloutStarted(run, "shops-1", training.now))
    (clearing,) = training.state.clearing
    assert (clearing.run, clearing.rollout, work(training)) == (run, "shops-1", Work.CLEAR)


def test_a_run_of_many_steps_keeps_its_first_and_its_last(training: Loop) -> None:
    training.to_rolling_out()
    training.step(Registered(training.run.id, "done", training.now))
    training.step(RolloutStarted(training.run.id, "shops-1", training.now))
    for number in range(60):
        training.step(RolloutSeen(training.run.id, "waits", f"asks {number}", training.now))
        training.step(RolloutSeen(training.run.id, "runs", f"goes on {number}", training.now))
    assert len(training.run.steps) == STEPS
    assert (training.run.steps[0].phase, training.run.steps[-1].text) == ("diagnosing", "Goes on 59.")


def test_what_was_accepted_can_be_taken_back(loop: Loop) -> None:
    loop.accept()
    loop.step(Accepted("cam-1", "dark", "maria", loop.now, taken_back=True))
    assert loop.state.accepted == ()
    assert loop.step(Accepted("cam-1", "dark", "maria", loop.now, taken_back=True)) == ()


DEVICES = ("cam-1", "cam-2", "cam-3")
CAUSES = ("answers", "turned", "answers", "covered", "dark", "answers", "unknown", "")
ALERTS = st.lists(
    st.builds(
        lambda device, cause, starts: alert(
            "Drift" if cause else "EstimatedAccuracyLow", device=device, cause=cause, starts=starts
        ),
        st.sampled_from(DEVICES),
        st.sampled_from(CAUSES),
        st.sampled_from((0.0, 1.0, 2.0)),
    ),
    max_size=4,
    unique_by=lambda one: one.fingerprint,
).map(tuple)
LABELS = st.sampled_from(
    (LESS_RIGHT, LESS_RIGHT, LESS_RIGHT, TOO_FEW, Labels(200, 200, 0.6, 0.8, 0.7), Labels(200, 200, 0.6, 0.8, None))
)


def possible(run: str, now: float) -> tuple[Event, ...]:
    """What may come in at any moment, right or wrong."""
    return (
        Attempted(run, now), Attempted(run, now), Trained(run, "/made.ewm", NEW, {}, now), Checked(run, now),
        Registered(run, "done", now), RolloutStarted(run, "shops-1", now), RolloutSeen(run, "waits", "it waits", now),
        RolloutSeen(run, "runs", "it runs", now), RolloutSeen(run, "completed", "it is complete", now),
        RolloutSeen(run, "halted", "it halted", now), Promoted(run, "done", now), GateRefused(run, ("worse",), now),
        Failed(run, "it broke", now, ended=True), Failed(run, "it cannot be told", now), Cleared(run, "done", now),
        Paused("maria", "", now), Resumed("maria", now), Stopped("maria", "", now),
        Accepted("cam-1", "dark", "maria", now), Accepted("all", "turned", "maria", now),
    )  # fmt: skip  # no command lets the last one in


@settings(max_examples=30)
@given(st.data())
def test_whatever_comes_in_whatever_order(data: st.DataObject) -> None:
    terms = Terms(trainings_per_week=data.draw(st.integers(0, 2)), cooldown=data.draw(st.sampled_from((0.0, DAY))))
    state, now = State(model="emotion"), 10 * DAY
    live: set[str] = set()  # runs whose training was begun, and was neither seen to end nor ended
    began: list[float] = []
    ended: dict[str, str] = {}
    passed: dict[str, set[type]] = {}
    for _ in range(data.draw(st.integers(1, 30))):
        now += data.draw(st.sampled_from((0.0, HOUR, DAY, 4 * DAY)))
        before = state
        ids = [f"emotion-run-{number}" for number in range(max(1, state.sequence - 1), state.sequence + 1)]
        event: Event
        if state.current is None or data.draw(st.integers(0, 3)) == 0:
            alerts = data.draw(ALERTS)
            event = Looked(alerts, {"emotion-5": data.draw(LABELS)}, terms, now)
        else:
            current = state.current.id if state.current is not None else "emotion-run-1"
            event = data.draw(st.sampled_from(possible(data.draw(st.sampled_from((current, current, *ids))), now)))
        state, entries = step(state, event)
        run = state.current

        # One run at a time; what ended stays so, and a stopped run is never gone on with.
        for each in state.recent:
            assert each.phase in ENDED
            assert ended.setdefault(each.id, each.phase) == each.phase
        assert run is None or run.id not in ended
        found = due(state)
        assert found is None or found.work is Work.CLEAR or found.run.id not in ended

        # Never two trainings at once.
        if isinstance(event, Attempted) and entries:
            live.add(event.run)
        over = isinstance(event, Trained | GateRefused | Cleared) or (isinstance(event, Failed) and event.ended)
        if over and entries:
            live.discard(event.run)  # type: ignore[union-attr]
        assert len(live) <= 1
        if run is not None and (before.current is None or before.current.id != run.id):
            assert not live
            assert not before.clearing
            assert not before.paused
            began.append(now)
            assert run.decision in {"retrain-augmented", "retrain-labelled"}
            assert run.cause not in CAMERA
            firing = event.alerts if isinstance(event, Looked) else ()
            broken = {each.device for each in firing if each.cause in CAMERA}
            assert not broken & set(run.devices)

        # Never over the budget.
        assert sum(now - each < WEEK_S for each in began) <= terms.trainings_per_week

        # The gate is asked once, and what it did not pass goes nowhere.
        if run is not None:
            steps = passed.setdefault(run.id, set())
            if entries:
                steps.add(type(event))
            if run.phase in {"registering", "rolling-out", "approval", "promoting"}:
                assert {Trained, Checked} <= steps
                assert GateRefused not in steps

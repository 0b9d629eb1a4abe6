"""The pure update machine: its edges one by one, and rules that hold over every history."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import json
from msgspec.structs import replace

from edge_agent.update.events import (
    Activated,
    Admitted,
    AlreadyRunning,
    Booted,
    Confirmed,
    Damaged,
    Event,
    Fetched,
    Proven,
    Reconsidered,
    Refused,
    Retried,
    RollbackAsked,
    SelfTestPassed,
    Slot,
    Spoiled,
    Staged,
    Stopped,
    Target,
    Wanted,
)
from edge_agent.update.machine import (
    EDGES,
    ON_TRIAL,
    SETTLED,
    SHADOW_EDGES,
    Phase,
    Remember,
    Run,
    State,
    Work,
    in_shadow,
    running,
    step,
    work_of,
)
from edge_contract import limits
from edge_contract.messages import ModelRef
from edge_contract.wave import ShadowTerms


def model(release: int) -> ModelRef:
    return ModelRef(name="m", release=release, digest=f"{release:064x}")


def slot(release: int) -> Slot:
    return Slot(name=f"m-{release}", model=model(release))


def target(release: int, revision: int = 1, scope: str = "group/g") -> Target:
    return Target(model=model(release), scope=scope, revision=revision)


def shadow(release: int, revision: int = 1, spacing: float = 10.0) -> Target:
    return replace(target(release, revision), mode="shadow", shadow=ShadowTerms(spacing=spacing))


BASE = State(committed=slot(1), previous=slot(0), target=target(2))
TRIAL = replace(BASE, trial=slot(2))
SHADOWING = replace(TRIAL, phase=Phase.SHADOWING, target=shadow(2))

HAPPY: list[tuple[Event, Phase, Work]] = [
    (Wanted(target(2)), Phase.OFFERED, Work.ADMIT),
    (Admitted(), Phase.DOWNLOADING, Work.FETCH),
    (Fetched(), Phase.VERIFYING, Work.STAGE),
    (Staged(slot(2)), Phase.STAGED, Work.CONFIRM),
    (Confirmed(), Phase.SELFTEST, Work.SELFTEST),
    (SelfTestPassed(), Phase.ACTIVATING, Work.ACTIVATE),
    (Activated(), Phase.PROBATION, Work.WATCH),
    (Proven(), Phase.COMMITTED, Work.TIDY),
]


def test_the_happy_path_walks_every_phase_and_ends_committed() -> None:
    state = State(committed=slot(1), previous=slot(0))
    for event, phase, work in HAPPY:
        state, commands = step(state, event)
        assert (state.phase, commands[-1]) == (phase, work)
    assert (state.committed, state.previous, state.trial) == (slot(2), slot(1), None)


@pytest.mark.parametrize(
    ("phase", "end"),
    [
        (Phase.OFFERED, Phase.REJECTED),
        (Phase.DOWNLOADING, Phase.REJECTED),
        (Phase.VERIFYING, Phase.REJECTED),
        (Phase.STAGED, Phase.REJECTED),
        (Phase.SELFTEST, Phase.REJECTED),
        (Phase.SHADOWING, Phase.REJECTED),
        (Phase.ACTIVATING, Phase.ROLLED_BACK),
        (Phase.PROBATION, Phase.ROLLED_BACK),
    ],
)
@pytest.mark.parametrize("blame", [True, False])
def test_a_refusal_keeps_the_committed_model_and_remembers_only_a_model_at_fault(
    phase: Phase, end: Phase, blame: bool
) -> None:
    after, commands = step(replace(TRIAL, phase=phase), Refused("why", blame))
    assert (after.phase, after.reason, after.committed, after.trial) == (end, "why", slot(1), None)
    assert (Remember(model(2).digest, "why", 1) in commands) == blame
    assert (Run() in commands) == (phase in ON_TRIAL)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_newer_desired_state_supersedes_whatever_is_under_way_and_ends_a_trial(phase: Phase) -> None:
    before = replace(TRIAL, phase=phase, boots=2, since=7.0)
    after, commands = step(before, Wanted(target(3, 2)))
    assert after == replace(BASE, phase=Phase.OFFERED, target=target(3, 2), since=7.0)
    assert commands == ((Run(), Work.ADMIT) if phase in ON_TRIAL else (Work.ADMIT,))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in SETTLED] + [Phase.COMMITTED])
def test_the_same_model_desired_again_does_not_disturb_what_is_under_way(phase: Phase) -> None:
    state = replace(TRIAL, phase=phase)
    assert step(state, Wanted(target(2, 9))) == (replace(state, target=target(2, 9)), ())


@pytest.mark.parametrize("phase", [Phase.REJECTED, Phase.ROLLED_BACK])
def test_the_same_model_desired_again_after_a_refusal_is_judged_again(phase: Phase) -> None:
    assert step(replace(BASE, phase=phase), Wanted(target(2, 9)))[0].phase is Phase.OFFERED


@pytest.mark.parametrize(
    "phase", [phase for phase in Phase if phase not in {Phase.SELFTEST, Phase.SHADOWING, *ON_TRIAL}]
)
def test_a_start_runs_the_committed_model_and_goes_on_with_the_work(phase: Phase) -> None:
    state = replace(BASE, phase=phase)
    assert step(state, Booted()) == (state, (Run(), work_of(state)))


@pytest.mark.parametrize("phase", [Phase.SELFTEST, Phase.SHADOWING, Phase.ACTIVATING, Phase.PROBATION])
def test_a_model_that_the_agent_does_not_survive_three_starts_with_is_given_up(phase: Phase) -> None:
    state = replace(TRIAL, phase=phase, target=shadow(2) if phase is Phase.SHADOWING else target(2))
    for boots in range(1, limits.PROBATION_BOOTS + 1):
        state, commands = step(state, Booted())
        assert (state.phase, state.boots, commands[-1]) == (phase, boots, work_of(state))
        assert (Run() in commands) == (phase is not Phase.ACTIVATING)  # ACTIVATE runs it itself
    state, commands = step(state, Booted())
    assert state.phase is (Phase.ROLLED_BACK if phase in ON_TRIAL else Phase.REJECTED)
    assert commands == (Remember(model(2).digest, state.reason, 1), Run(), Work.TIDY)


@pytest.mark.parametrize("phase", [Phase.SELFTEST, Phase.SHADOWING, Phase.ACTIVATING, Phase.PROBATION])
def test_starts_after_a_clean_stop_do_not_count_against_a_model(phase: Phase) -> None:
    state = replace(TRIAL, phase=phase, boots=1)
    for _ in range(10):
        state, commands = step(state, Stopped())
        assert commands == ()
        state, _ = step(state, Booted())
    assert (state.phase, state.boots) == (phase, 1)
    assert step(state, Booted())[0].boots == 2  # the next one followed a crash


def test_a_target_in_shadow_runs_beside_the_committed_model_and_goes_on_to_answer_without_another_download() -> None:
    state, commands = step(replace(TRIAL, phase=Phase.SELFTEST, target=shadow(2)), SelfTestPassed())
    assert (state, commands) == (SHADOWING, (Work.SHADOW,))
    assert (running(state), in_shadow(state)) == (slot(1), slot(2))
    state, commands = step(state, Wanted(target(2, 2)))
    assert (state, commands) == (replace(TRIAL, phase=Phase.STAGED, target=target(2, 2)), (Work.CONFIRM,))
    for event, phase, work in HAPPY[4:]:
        state, commands = step(state, event)
        assert (state.phase, commands[-1]) == (phase, work)
    assert (state.committed, state.previous) == (slot(2), slot(1))


@pytest.mark.parametrize("phase", [Phase.ACTIVATING, Phase.PROBATION])
def test_a_model_on_trial_that_is_to_run_in_shadow_stops_answering(phase: Phase) -> None:
    after, commands = step(replace(TRIAL, phase=phase), Wanted(shadow(2, 2)))
    assert (after, commands) == (replace(TRIAL, phase=Phase.STAGED, target=shadow(2, 2)), (Run(), Work.CONFIRM))


@pytest.mark.parametrize("phase", [Phase.OFFERED, Phase.DOWNLOADING, Phase.VERIFYING, Phase.STAGED, Phase.SELFTEST])
@pytest.mark.parametrize(("first", "then"), [(target, shadow), (shadow, target)])
def test_the_mode_may_change_on_the_way_and_the_self_test_leads_where_it_says_last(
    phase: Phase, first: Callable[..., Target], then: Callable[..., Target]
) -> None:
    after, commands = step(replace(TRIAL, phase=phase, target=first(2)), Wanted(then(2, 2)))
    assert (after, commands) == (replace(TRIAL, phase=phase, target=then(2, 2)), ())
    tested, _ = step(replace(after, phase=Phase.SELFTEST), SelfTestPassed())
    assert tested.phase is (Phase.SHADOWING if then is shadow else Phase.ACTIVATING)


def test_when_a_wave_ends_in_shadow_what_runs_is_committed_and_the_rest_tidied_away() -> None:
    state, commands = step(SHADOWING, Wanted(target(1, 2)))
    assert (state, commands) == (replace(BASE, phase=Phase.OFFERED, target=target(1, 2)), (Work.ADMIT,))
    state, commands = step(state, AlreadyRunning())
    assert (state.phase, state.committed, commands) == (Phase.COMMITTED, slot(1), (Work.TIDY,))


def test_other_terms_and_new_metadata_are_looked_at_without_leaving_the_shadow() -> None:
    crashed = replace(SHADOWING, boots=2)
    assert step(crashed, Wanted(shadow(2, 2))) == (replace(crashed, target=shadow(2, 2)), ())
    terms = shadow(2, 2, spacing=1.0)
    assert step(crashed, Wanted(terms)) == (replace(crashed, target=terms), (Work.SHADOW,))
    assert step(crashed, Reconsidered()) == (crashed, (Work.SHADOW,))


def test_power_cuts_in_a_long_shadow_are_forgiven_once_the_model_answered_enough_faces() -> None:
    state = SHADOWING
    for _ in range(3 * limits.PROBATION_BOOTS):
        state, commands = step(state, Booted())
        assert commands == (Run(), Work.SHADOW)
        state, commands = step(state, Proven())
        assert (state, commands) == (SHADOWING, ())


def test_a_rollback_asked_for_in_shadow_is_away_from_the_model_that_answers() -> None:
    after, commands = step(SHADOWING, RollbackAsked("asked"))
    assert (after.phase, after.committed, after.previous, after.trial) == (Phase.ROLLED_BACK, slot(0), None, None)
    assert after.target == target(1)
    assert commands == (Run(), Work.TIDY)
    assert step(replace(SHADOWING, committed=None), RollbackAsked("asked"))[0].phase is Phase.SHADOWING


def test_damage_in_shadow_fetches_the_challenger_again_and_replaces_a_damaged_champion() -> None:
    after, commands = step(SHADOWING, Spoiled())
    assert (after, commands) == (replace(BASE, phase=Phase.OFFERED, target=shadow(2)), (Work.ADMIT,))
    after, commands = step(SHADOWING, Damaged("bits"))
    assert (after, commands) == (replace(SHADOWING, committed=slot(0), previous=None), (Run(),))


def test_a_damaged_committed_slot_gives_way_to_the_one_before_and_is_desired_anew() -> None:
    after, commands = step(replace(BASE, phase=Phase.COMMITTED), Damaged("bits"))
    assert (after.phase, after.committed, after.previous, after.target) == (Phase.IDLE, slot(0), None, None)
    assert commands == (Run(),)
    assert step(after, Damaged("bits"))[0].committed is None  # and then to the factory model


def test_a_damaged_committed_slot_does_not_end_a_download() -> None:
    after, _ = step(replace(BASE, phase=Phase.DOWNLOADING), Damaged("bits"))
    assert (after.phase, after.target, after.committed) == (Phase.DOWNLOADING, target(2), slot(0))


def test_a_rollback_asked_for_brings_the_previous_model_and_is_not_undone_by_new_metadata() -> None:
    after, commands = step(replace(BASE, phase=Phase.COMMITTED), RollbackAsked("asked"))
    assert (after.phase, after.committed, after.previous) == (Phase.ROLLED_BACK, slot(0), None)
    assert commands == (Run(), Work.TIDY)
    assert step(after, Reconsidered()) == (after, ())


def test_damage_found_while_verifying_fetches_again_and_in_a_slot_starts_over() -> None:
    assert step(replace(BASE, phase=Phase.VERIFYING), Spoiled())[0].phase is Phase.DOWNLOADING
    for phase in (Phase.STAGED, Phase.SELFTEST, Phase.ACTIVATING, Phase.PROBATION):
        after, commands = step(replace(TRIAL, phase=phase), Spoiled())
        assert (after.phase, after.trial) == (Phase.OFFERED, None)
        assert not any(isinstance(command, Remember) for command in commands)  # flash went bad, not the model


PLAIN: list[Event] = [
    Admitted(), AlreadyRunning(), Fetched(), Spoiled(), Staged(slot(2)), Confirmed(), SelfTestPassed(), Activated(),
    Proven(), Refused("why", blame=True), Reconsidered(), Retried(), RollbackAsked("asked"),
]  # fmt: skip


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("event", PLAIN, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize(("wanted", "table"), [(target(2), EDGES), (shadow(2), SHADOW_EDGES)], ids=["active", "shadow"])
def test_an_event_without_an_edge_changes_nothing(
    phase: Phase, event: Event, wanted: Target, table: dict[tuple[Phase, type], Phase]
) -> None:
    state = replace(TRIAL, phase=phase, target=wanted)
    after, commands = step(state, event)
    if (phase, type(event)) in table:
        assert after.phase is table[phase, type(event)]
    else:
        assert (after, commands) == (state, ())


def test_every_phase_can_be_left() -> None:
    for phase in Phase:
        assert step(replace(TRIAL, phase=phase), Wanted(target(3, 2)))[0].phase is Phase.OFFERED


@given(st.builds(
    State,
    phase=st.sampled_from(Phase),
    target=st.none() | st.builds(target, st.integers(1, 5), st.integers(1, 5))
    | st.builds(shadow, st.integers(1, 5), st.integers(1, 5), st.floats(0, 3600)),
    committed=st.none() | st.builds(slot, st.integers(1, 5)),
    previous=st.none() | st.builds(slot, st.integers(1, 5)),
    trial=st.none() | st.builds(slot, st.integers(1, 5)),
    boots=st.integers(0, 5),
    since=st.floats(0, 2**37),
    reason=st.text(max_size=20),
))  # fmt: skip
def test_a_state_survives_the_database(state: State) -> None:
    assert json.decode(json.encode(state), type=State) == state


def test_a_state_of_an_agent_without_shadows_is_read() -> None:
    row = (
        b'{"phase":"committed","target":{"model":{"name":"m","release":2,"digest":"%b"},"scope":"group/g","revision":1,'
        b'"retry":0},"committed":null,"previous":null,"trial":null,"boots":0,"ended_cleanly":true,"reason":""}'
    )
    state = json.decode(row % model(2).digest.encode(), type=State)
    assert state == State(phase=Phase.COMMITTED, target=target(2), ended_cleanly=True)
    assert (state.since, target(2).mode) == (0.0, "active")


class UpdateHistories(RuleBasedStateMachine):
    """Any order of desired states, answers of the work, and power cuts; the "device" obeys the commands."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.in_pipeline: Slot | None = None
        self.beside: Slot | None = None
        self.failed: set[str] = set()
        self.proven: set[str | None] = {None}
        self.starts_in_phase = 0
        self.revision = 0

    def _send(self, event: Event) -> None:
        before = self.state
        self.state, commands = step(before, event)
        for command in commands:
            if isinstance(command, Remember):
                self.failed.add(command.digest)
            elif isinstance(command, Run):
                self.in_pipeline = running(self.state)
            elif command is Work.ACTIVATE:
                self.in_pipeline = self.state.trial
            elif command is Work.SHADOW:
                self.beside = self.state.trial
        if self.state.phase is not Phase.SHADOWING:
            self.beside = None  # what begins with a phase ends with it
        if isinstance(event, Proven) and before.phase is Phase.PROBATION:
            assert before.trial is not None
            self.proven.add(before.trial.name)

    @rule(release=st.integers(1, 4), newer=st.booleans(), ask=st.sampled_from([target, shadow]))
    def desire(self, release: int, newer: bool, ask: Callable[..., Target]) -> None:
        self.revision += newer
        self._send(Wanted(ask(release, self.revision)))

    @precondition(lambda self: self.state.target is not None)
    @rule(answer=st.sampled_from(["good", "bad", "spoiled", "outdated"]), blame=st.booleans())
    def work_ends(self, answer: str, blame: bool) -> None:
        assert self.state.target is not None
        wanted = self.state.target.model
        same = self.state.committed is not None and self.state.committed.model.digest == wanted.digest
        good: dict[Work, Event] = {
            Work.ADMIT: AlreadyRunning() if same else Admitted(),
            Work.FETCH: Fetched(),
            Work.STAGE: Staged(Slot(name=f"m-{wanted.release}", model=wanted)),
            Work.CONFIRM: Confirmed(),
            Work.SELFTEST: SelfTestPassed(),
            Work.SHADOW: Proven(),
            Work.ACTIVATE: Activated(),
            Work.WATCH: Proven(),
            Work.TIDY: Reconsidered(),
        }
        if work_of(self.state) is Work.ADMIT and wanted.digest in self.failed:
            self._send(Refused("failed before", blame=False))
        elif answer == "good":
            self._send(good[work_of(self.state)])
        elif answer == "outdated":
            self._send(SelfTestPassed())  # the answer of a test that was superseded
        else:
            self._send(Spoiled() if answer == "spoiled" else Refused("why", blame))

    @rule()
    def power_cut(self) -> None:
        self.in_pipeline = self.beside = None
        self._send(Booted())

    @rule()
    def stop_and_start(self) -> None:
        boots = self.state.boots
        self._send(Stopped())
        self.in_pipeline = self.beside = None
        self._send(Booted())
        assert self.state.boots == boots

    @rule()
    def disk_damage(self) -> None:
        if self.state.phase not in ON_TRIAL:
            self._send(Damaged("bits"))

    @rule()
    def asked_back(self) -> None:
        self._send(RollbackAsked("asked"))

    @invariant()
    def the_pipeline_runs_what_the_state_says(self) -> None:
        assert self.in_pipeline == running(self.state) or self.in_pipeline is None

    @invariant()
    def a_challenger_runs_beside_another_model_while_the_state_says_so(self) -> None:
        assert self.beside == in_shadow(self.state)
        assert (self.state.phase is Phase.SHADOWING) <= (self.beside is not None)

    @invariant()
    def what_runs_in_shadow_does_not_answer(self) -> None:
        if self.state.phase is Phase.SHADOWING:
            assert self.state.target is not None
            assert self.state.target.mode == "shadow"
            assert self.in_pipeline in {None, self.state.committed}

    @invariant()
    def only_proven_models_are_committed_or_kept(self) -> None:
        for kept in (self.state.committed, self.state.previous):
            assert (kept.name if kept is not None else None) in self.proven

    @invariant()
    def a_trial_is_the_target_and_has_a_slot(self) -> None:
        if self.state.phase in ON_TRIAL | {Phase.SELFTEST, Phase.STAGED, Phase.SHADOWING}:
            assert self.state.trial is not None
            assert self.state.target is not None
            assert self.state.trial.model.digest == self.state.target.model.digest

    @invariant()
    def boots_are_bounded(self) -> None:
        assert self.state.boots <= limits.PROBATION_BOOTS


UpdateHistories.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestUpdateHistories: Any = UpdateHistories.TestCase

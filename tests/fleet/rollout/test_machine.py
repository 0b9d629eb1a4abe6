"""The rollout's machine: what each event does in each phase, and what no order of events can bring about."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from edge_fleet.rollout.events import (
    Aborted,
    Approved,
    Assignment,
    Event,
    Issued,
    Judged,
    Paused,
    ReleaseWithdrawn,
    Resumed,
    Returned,
    Superseded,
)
from edge_fleet.rollout.gates.verdict import Verdict
from edge_fleet.rollout.machine import ENDED, Phase, State, due, is_open, is_own, judged_position, step, waits_for
from edge_fleet.rollout.plans.plan import Plan
from tests.fleet.rollout.rollouts import FAILED, NEW, OLD, OTHER, PASSED, STAGES, UNSURE, WAVES, rollout

NOON = 12 * 3600.0
EVERYONE_OLD, EVERYONE_NEW, EVERYONE_OTHER = (Assignment(model=each) for each in (OLD, NEW, OTHER))


def look(state: State, verdict: Verdict | None = None, now: float = NOON) -> State:
    """Issue what is due, judge, and issue again: one turn of the controller."""
    state = issued(state)
    position = judged_position(state)
    after, _ = step(state, Judged(-1 if position is None else position, verdict, now))
    return issued(after)


def issued(state: State) -> State:
    assignment = due(state)
    return state if assignment is None else step(state, Issued(assignment, 7))[0]


def at(stage: int, plan: Plan | None = None) -> State:
    """A rollout whose stage with this number in `STAGES` runs."""
    state = look(rollout(plan))
    for _ in range(stage):
        state = look(state, PASSED)
    assert state.position == stage
    return state


def actions(state: State, event: Event) -> list[str]:
    return [entry.action for entry in step(state, event)[1]]


def test_a_rollout_whose_gates_pass_goes_through_its_shadow_and_every_wave_to_everyone() -> None:
    state, told = look(rollout()), []
    while state.phase not in ENDED:
        assert state.wanted.wave is not None
        told.append((state.phase, state.position, state.wanted.wave.mode, state.wanted.wave.share))
        assert state.wanted.model == OLD
        state = look(state, PASSED)
    assert told == [
        (Phase.SHADOW, 0, "shadow", 0.1),
        (Phase.WAVE, 1, "active", 0.0),
        (Phase.WAVE, 2, "active", 0.1),
        (Phase.WAVE, 3, "active", 1.0),
    ]
    assert (state.phase, state.issued, is_open(state)) == (Phase.COMPLETED, EVERYONE_NEW, False)


def test_a_wave_says_who_takes_part_and_is_salted_by_the_release() -> None:
    wave = at(2).issued.wave
    assert wave is not None
    assert (wave.model, wave.salt, wave.canaries) == (NEW, NEW.digest, ("cam-1", "cam-2"))


def test_nothing_is_judged_before_it_was_issued() -> None:
    state, _ = step(rollout(), Judged(-1, None, NOON))
    assert (state.phase, judged_position(state)) == (Phase.SHADOW, None)
    for verdict in (PASSED, FAILED):
        assert step(state, Judged(0, verdict, NOON)) == (state, ())


def test_a_failure_in_shadow_ends_the_wave_and_nobody_has_to_go_back() -> None:
    state = look(at(0), FAILED)
    assert (state.phase, state.issued, state.returning) == (Phase.HALTED, EVERYONE_OLD, False)
    assert "It is fail" in state.reason


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_failure_in_a_wave_brings_everyone_back(stage: int) -> None:
    before = at(stage)
    assert actions(before, Judged(stage, FAILED, NOON)) == ["halt"]
    state = look(before, FAILED)
    assert (state.phase, state.issued, state.returning) == (Phase.HALTED, EVERYONE_OLD, True)
    after, entries = step(state, Returned(NOON))
    assert (after.returning, is_open(after), [entry.action for entry in entries]) == (False, False, ["returned"])


def test_two_failures_at_once_halt_once() -> None:
    state, first = step(at(2), Judged(2, FAILED, NOON))
    again, second = step(state, Judged(2, FAILED, NOON + 1))
    assert ([entry.action for entry in first], second, again) == (["halt"], (), state)
    withdrawn, third = step(state, ReleaseWithdrawn(NOON + 1))
    assert (withdrawn, third) == (state, ())


def test_no_number_of_inconclusive_verdicts_advances() -> None:
    for stage in range(len(STAGES)):
        state = at(stage)
        for hour in range(20):
            state = look(state, UNSURE, NOON + hour * 3600)
        assert (state.position, state.issued) == (stage, at(stage).issued)


def test_a_verdict_without_findings_is_none() -> None:
    assert look(at(1), Verdict(findings=())).position == 1


def test_a_verdict_of_another_stage_changes_nothing() -> None:
    state = at(2)
    for position in (-1, 0, 1, 3, 4):
        for verdict in (PASSED, FAILED):
            assert step(state, Judged(position, verdict, NOON)) == (state, ())


def test_an_inconclusive_shadow_pauses_for_a_person_after_its_time_and_has_it_again_when_resumed() -> None:
    plan = Plan(waves=WAVES)
    assert plan.shadow is not None
    over = NOON + plan.shadow.timeout + 1
    state = look(at(0), UNSURE, over)
    assert state.pause is not None
    assert "It is inconclusive" in state.pause.why
    assert look(state, PASSED, over).position == 0
    resumed, _ = step(state, Resumed("maria", over))
    assert look(resumed, UNSURE, over + 1).pause is None
    assert look(resumed, PASSED, over + 1).position == 1


def test_a_paused_rollout_does_not_advance_and_still_halts() -> None:
    state, entries = step(at(1), Paused("maria", "lunch", NOON))
    assert [entry.text for entry in entries] == ["Paused: lunch."]
    assert look(state, PASSED).position == 1
    assert step(state, Paused("joe", "", NOON)) == (state, ())
    assert look(state, FAILED).phase is Phase.HALTED
    resumed, _ = step(state, Resumed("maria", NOON))
    assert look(resumed, PASSED).position == 2


def test_a_wave_begins_only_after_its_approval_and_meanwhile_the_one_before_it_may_fail() -> None:
    state = look(at(1, Plan(waves=WAVES, approve=(2, 3))), PASSED)
    assert (state.phase, state.position, waits_for(state, NOON)) == (
        Phase.WAITING, 2, "`edgewise rollout approve lab-1`"
    )  # fmt: skip
    assert look(state, PASSED) == replace(state, verdict=PASSED)
    assert look(state, FAILED).phase is Phase.HALTED
    after, entries = step(state, Approved(2, "maria", NOON))
    assert ([entry.action for entry in entries], after.phase) == (["approve", "begin"], Phase.WAVE)
    again, none = step(after, Approved(2, "joe", NOON))
    assert (again, none) == (after, ())
    assert look(issued(after), PASSED).phase is Phase.WAITING  # for the third


def test_one_can_approve_ahead_and_not_what_the_plan_does_not_ask() -> None:
    state = at(0, Plan(waves=WAVES, approve=(2,)))
    assert step(state, Approved(1, "maria", NOON)) == (state, ())
    state, _ = step(state, Approved(2, "maria", NOON))
    assert look(look(state, PASSED), PASSED).position == 2


def test_an_approval_of_a_wave_that_was_left_out_counts_for_the_next() -> None:
    stages = (STAGES[0], STAGES[1], STAGES[3])
    state = look(look(look(rollout(Plan(waves=WAVES, approve=(2,)), stages)), PASSED), PASSED)
    assert (state.phase, state.stages[state.position].number) == (Phase.WAITING, 3)
    after, _ = step(state, Approved(2, "maria", NOON))
    assert after.phase is Phase.WAVE


def test_the_shadow_too_can_wait_for_a_person() -> None:
    state = look(rollout(Plan(waves=WAVES, approve=(0,))))
    assert (state.phase, state.begun, due(state)) == (Phase.WAITING, (), None)
    assert step(state, Approved(0, "maria", NOON))[0].phase is Phase.SHADOW


def test_without_a_shadow_the_first_wave_waits_for_what_was_before() -> None:
    state = look(replace(rollout(stages=STAGES[1:]), ready=False))
    assert (state.begun, waits_for(state, NOON)) == ((), "what its devices answer now, to compare with")
    for before in (UNSURE, FAILED, None):
        state, _ = step(state, Judged(-1, None, NOON, before))
        assert state.phase is Phase.WAITING
    assert step(state, Judged(-1, None, NOON, PASSED))[0].phase is Phase.WAVE


def test_a_wave_begins_within_a_window_only() -> None:
    plan = Plan(waves=WAVES, windows=("02:00-05:00",))
    state = look(rollout(plan), now=NOON)
    assert (state.phase, waits_for(state, NOON)) == (Phase.WAITING, "its window (02:00-05:00 UTC)")
    assert look(state, now=3 * 3600.0).phase is Phase.SHADOW


@pytest.mark.parametrize(
    ("stage", "outcome", "assignment", "returning"),
    [
        (0, "keep", EVERYONE_OLD, False),  # nobody runs what is in shadow
        (0, "revert", EVERYONE_OLD, False),
        (2, "keep", at(2).issued, False),
        (2, "revert", EVERYONE_OLD, True),
    ],
)
def test_an_abort_keeps_or_reverts(stage: int, outcome: str, assignment: Assignment, *, returning: bool) -> None:
    event = Aborted(outcome, "maria", NOON)  # type: ignore[arg-type]  # one of the two
    state = issued(step(at(stage), event)[0])
    assert (state.phase, state.issued, state.returning) == (Phase.ABORTED, assignment, returning)
    assert step(state, event) == (state, ())


def test_what_had_begun_nothing_changes_nothing_when_it_is_aborted() -> None:
    kept = Assignment(model=OLD, wave=at(2).issued.wave)  # of an earlier rollout that was aborted with `keep`
    state = replace(rollout(Plan(waves=WAVES, approve=(0,))), issued=kept, wanted=kept)
    assert due(step(look(state), Aborted("revert", "maria", NOON))[0]) is None


def test_an_abort_that_comes_between_issuing_and_noting_that_is_still_carried_out() -> None:
    state, _ = step(rollout(stages=STAGES[1:]), Judged(-1, None, NOON))
    wave = due(state)  # issued, and then the server is killed
    assert wave is not None
    state, _ = step(state, Aborted("revert", "maria", NOON))
    assert is_own(state, wave)
    assert due(state) == EVERYONE_OLD
    assert step(state, Issued(wave, 7)) == (state, ())
    state, _ = step(state, Issued(EVERYONE_OLD, 8))
    assert (due(state), state.unsure) == (None, ())


def test_what_was_superseded_issues_nothing_more() -> None:
    state, _ = step(at(1), Judged(1, PASSED, NOON))  # wave 2 is due
    assert due(state) is not None
    after, entries = step(state, Superseded("A push.", "maria", NOON))
    assert (after.phase, due(after), [entry.action for entry in entries]) == (Phase.SUPERSEDED, None, ["supersede"])
    halted, _ = step(at(2), Judged(2, FAILED, NOON))
    after, entries = step(halted, Superseded("A push.", "maria", NOON))
    assert (after.phase, is_open(after), entries) == (Phase.HALTED, False, ())


def test_a_withdrawn_release_halts() -> None:
    state = issued(step(at(2), ReleaseWithdrawn(NOON))[0])
    assert (state.phase, state.issued, state.reason) == (Phase.HALTED, EVERYONE_OLD, "emotion 6 was withdrawn.")


def test_a_state_survives_being_written_down() -> None:
    for state in (look(at(stage, Plan(waves=WAVES, approve=(1,) if stage < 1 else ())), PASSED) for stage in range(4)):
        assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state


class Operated(RuleBasedStateMachine):
    """A scheduler, several persons and an outside world act in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        plan = Plan(waves=WAVES, approve=(2, 3), windows=("06:00-18:00",))
        self.state = rollout(plan)
        self.begun: list[int] = []
        self.passed: set[int] = set()
        self.ended: State | None = None
        self.by_hand = False
        self.on_disk = self.state.issued

    def happens(self, event: Event) -> None:
        before = self.state
        self.state, entries = step(before, event)
        if not isinstance(event, Judged | Resumed):  # and a person who asks twice changes nothing more
            again, none = step(self.state, event)
            assert (again, none) == (self.state, ()) or isinstance(event, Paused)
        self.begun += [self.state.position for entry in entries if entry.action == "begin"]
        assert len([entry for entry in entries if entry.action in {"halt", "abort", "complete", "supersede"}]) <= 1
        if self.state.phase in ENDED and before.phase not in ENDED:
            self.ended = self.state

    @rule(verdict=st.sampled_from([None, PASSED, FAILED, UNSURE, UNSURE, PASSED, PASSED]), late=st.integers(0, 1))
    def is_judged(self, verdict: Verdict | None, late: int) -> None:
        position = judged_position(self.state)
        before = self.state
        judged = -1 if position is None else position - late
        self.happens(Judged(judged, verdict, self.now))
        if position is not None and not late and before.phase is not Phase.WAITING and verdict is PASSED:
            self.passed.add(before.position)
        if verdict is UNSURE or verdict is None:
            assert self.state.position == before.position

    @rule()
    def is_issued(self) -> None:
        if (assignment := due(self.state)) is not None:
            self.on_disk = assignment
            self.happens(Issued(assignment, 9))

    @rule()
    def is_killed_after_it_issued(self) -> None:
        if (assignment := due(self.state)) is not None:
            self.on_disk = assignment

    @rule(number=st.integers(0, 4))
    def is_approved(self, number: int) -> None:
        self.happens(Approved(number, "maria", self.now))

    @rule()
    def is_paused(self) -> None:
        self.happens(Paused("joe", "", self.now))

    @rule()
    def is_resumed(self) -> None:
        self.happens(Resumed("maria", self.now))

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours: int) -> None:
        self.now += hours * 3600

    @precondition(lambda self: len(self.begun) > 2)
    @rule(outcome=st.sampled_from(["keep", "revert"]))
    def is_aborted(self, outcome: str) -> None:
        self.happens(Aborted(outcome, "joe", self.now))  # type: ignore[arg-type]  # one of the two

    @precondition(lambda self: len(self.begun) > 1)
    @rule()
    def is_withdrawn(self) -> None:
        self.happens(ReleaseWithdrawn(self.now))

    @precondition(lambda self: len(self.begun) > 1)
    @rule()
    def is_pushed_over(self) -> None:
        self.by_hand = True
        self.on_disk = EVERYONE_OTHER
        self.happens(Superseded("A push.", "joe", self.now))

    @rule()
    def is_returned(self) -> None:
        self.happens(Returned(self.now))

    @invariant()
    def no_wave_is_skipped_or_begun_twice(self) -> None:
        assert self.begun == list(range(len(self.begun)))
        assert len(self.state.begun) == len(self.begun)

    @invariant()
    def a_stage_begins_only_after_the_one_before_it_passed(self) -> None:
        assert set(self.begun[1:]) <= {position + 1 for position in self.passed}

    @invariant()
    def what_needs_an_approval_has_it(self) -> None:
        for position in self.begun:
            number = self.state.stages[position].number
            assert number not in self.state.plan.approve or number in self.state.approved

    @invariant()
    def what_has_ended_stays_ended_and_wants_nothing_new(self) -> None:
        if self.ended is not None:
            assert (self.state.phase, self.state.reason) == (self.ended.phase, self.ended.reason)
            assert self.state.wanted in {self.ended.wanted, self.state.issued}

    @invariant()
    def a_group_that_was_pushed_to_is_left_alone(self) -> None:
        assert not self.by_hand or due(self.state) is None

    @invariant()
    def what_it_issued_is_never_taken_for_a_push(self) -> None:
        assert self.by_hand or is_own(self.state, self.on_disk)
        assert self.by_hand or due(self.state) is not None or self.on_disk == self.state.wanted

    @invariant()
    def only_a_passed_last_wave_gives_it_to_everyone(self) -> None:
        if self.state.wanted == EVERYONE_NEW:
            assert self.state.phase is Phase.COMPLETED
            assert len(self.passed) == len(STAGES)


Operated.TestCase.settings = settings(max_examples=80, stateful_step_count=40)
TestOperated = Operated.TestCase

"""The small pure rules around an update: which desired state is in force, what is admitted, when a trial ends."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_agent.models.selftest import Verdict, judge
from edge_agent.trust.clock import SignedTime, TrustedClock
from edge_agent.trust.evidence import OnlineKeys
from edge_agent.trust.listed import TrustedMetadata
from edge_agent.update.admission import RESERVE_BYTES, admit, confirm
from edge_agent.update.desired import accept, target_of
from edge_agent.update.events import Admitted, AlreadyRunning, Confirmed, Refused, Target
from edge_agent.update.probation import Probation
from edge_agent.update.store import Failure
from edge_contract.errors import MessageError, TrustError
from edge_contract.in_force import in_force
from edge_contract.messages import ModelRef, Need
from edge_contract.trust import Blob, Chunks, DesiredState, ListedRelease
from edge_contract.wave import Mode, ShadowTerms, Wave, place
from tests.agent.update.update_bench import tiny

REF = tiny(1).manifest.ref
STATE = DesiredState(scope="group/g", revision=5, model=REF, issued=100, expires=200)


CHALLENGER = tiny(2).manifest.ref
WAVE = Wave(model=CHALLENGER, mode="shadow", share=0.5, salt=CHALLENGER.digest, shadow=ShadowTerms(spacing=2.0))


def _accept(state: DesiredState, known: DesiredState | None = None, scope: str = "group/g") -> DesiredState | None:
    return accept(state, scope, known, now=150)


def test_a_newer_state_is_accepted_and_the_same_one_repeated_is_no_news() -> None:
    assert _accept(STATE) == STATE
    assert _accept(STATE, replace(STATE, revision=4)) == STATE
    assert _accept(STATE, STATE) is None


def test_a_known_state_repeated_is_no_news_even_after_it_expired() -> None:
    old = replace(STATE, expires=120)
    assert _accept(old, old) is None


@pytest.mark.parametrize(
    ("state", "known", "scope", "reason"),
    [
        (STATE, replace(STATE, revision=6), "group/g", "older than revision 6"),
        (replace(STATE, expires=999), STATE, "group/g", "differs"),
        (STATE, None, "group/other", "signed for group/g arrived for group/other"),
        (STATE, None, "device/g", "signed for group/g arrived for device/g"),
        (replace(STATE, expires=150), None, "group/g", "has expired"),
        (replace(STATE, scope="device/d", wave=WAVE), None, "device/d", "a wave, which means nothing for one device"),
    ],
)
def test_what_is_not_accepted(state: DesiredState, known: DesiredState | None, scope: str, reason: str) -> None:
    with pytest.raises(TrustError, match=reason):
        _accept(state, known, scope)


def _state(scope: str, issued: float = 0, *, follow_group: bool = False) -> DesiredState:
    return replace(STATE, scope=scope, issued=issued, follow_group=follow_group)


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        ([], None),
        ([_state("group/a", 1)], "group/a"),
        ([_state("group/a", 1), _state("device/d", 0)], "device/d"),
        ([_state("group/a", 1), _state("device/d", 2, follow_group=True)], "group/a"),
        ([_state("group/a", 1), _state("group/b", 2)], "group/b"),
        ([_state("group/a", 1), _state("group/b", 1)], "group/b"),
        ([_state("group/elsewhere", 9)], None),
        ([_state("device/other", 9)], None),
    ],
)
def test_which_desired_state_is_in_force(states: list[DesiredState], counts: str | None) -> None:
    found = in_force({state.scope: state for state in states}, "d", ["a", "b"])
    assert (found.scope if found else None) == counts


OTHER = replace(REF, digest="0" * 64)
REST = Target(model=REF, scope="group/g", revision=5, retry=3)
IN_SHADOW = replace(REST, model=CHALLENGER, mode="shadow", shadow=WAVE.shadow)
ANSWERS = replace(REST, model=CHALLENGER)


@pytest.mark.parametrize(
    ("mode", "share", "canaries", "proven", "target"),
    [
        ("shadow", 0.0, (), REF, REST),
        ("shadow", 1.0, (), REF, IN_SHADOW),
        ("shadow", 0.0, ("d",), REF, IN_SHADOW),
        ("shadow", 0.0, ("other",), REF, REST),
        ("shadow", 1.0, (), OTHER, REST),  # first it comes to run what it is to be compared with
        ("shadow", 1.0, (), None, REST),
        ("shadow", 1.0, (), CHALLENGER, REST),
        ("active", 0.0, (), REF, REST),
        ("active", 0.0, ("d",), REF, ANSWERS),
        ("active", 1.0, (), REF, ANSWERS),
        ("active", 1.0, (), None, ANSWERS),
        ("active", 1.0, (), CHALLENGER, ANSWERS),
    ],
)
def test_what_a_wave_asks_of_a_device(
    mode: Mode, share: float, canaries: tuple[str, ...], proven: ModelRef | None, target: Target
) -> None:
    wave = replace(WAVE, mode=mode, share=share, canaries=canaries)
    assert target_of(replace(STATE, retry=3, wave=wave), "d", proven) == target


def test_without_a_wave_the_states_model_is_the_target() -> None:
    assert target_of(replace(STATE, retry=3), "d", None) == REST


@given(st.lists(st.integers(0, 10**6).map("cam-{}".format), unique=True, min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_wave_that_grows_keeps_every_device_and_each_agrees_with_the_release_side(
    devices: list[str], one: float, other: float
) -> None:
    smaller, larger = sorted((one, other))
    for device in devices:
        inside = {share: replace(WAVE, share=share).includes(device) for share in (smaller, larger)}
        assert inside[smaller] <= inside[larger]
        assert inside[smaller] == (place(WAVE.salt, device) < smaller)
        target = target_of(replace(STATE, wave=replace(WAVE, share=smaller)), device, REF)
        assert (target.model == CHALLENGER) == inside[smaller]


FILE = Blob(digest="f" * 64, size=10, chunks=Chunks(size=65_536, digests=("f" * 64,)))
LISTED = ListedRelease(model=REF.digest, size=tiny(1).manifest.size, file=FILE)
METADATA = TrustedMetadata(
    version=1, expires=1000.0, releases={"tiny/1": LISTED, "tiny/8": "it cannot be fetched: refused."}
)
TARGET = Target(model=REF, scope="group/g", revision=1)
PLENTY = 2**40


def test_who_is_admitted() -> None:
    assert admit(TARGET, METADATA, running=replace(REF, digest="0" * 64), failure=None, free=PLENTY) == Admitted()
    assert admit(TARGET, METADATA, running=None, failure=None, free=PLENTY) == Admitted()
    assert admit(TARGET, METADATA, running=REF, failure=None, free=0) == AlreadyRunning()
    same_file = replace(REF, release=REF.release + 1)
    assert admit(TARGET, METADATA, running=same_file, failure=None, free=PLENTY) == Admitted()
    assert confirm(TARGET, METADATA) == Confirmed()


FAILED = Failure("it crashed.", revision=5)


@pytest.mark.parametrize(
    ("model", "failure", "free", "reason"),
    [
        (REF, FAILED, PLENTY, "failed on this device before: it crashed."),
        (REF, None, RESERVE_BYTES, "bytes of disk"),
        (replace(REF, release=2), None, PLENTY, "not among the listed"),
        (replace(REF, digest="0" * 64), None, PLENTY, "another model than the signed list"),
        (replace(REF, release=8), None, PLENTY, "it cannot be fetched"),
    ],
)
def test_who_is_not_and_that_no_digest_is_blamed_for_it(
    model: ModelRef, failure: Failure | None, free: int, reason: str
) -> None:
    refused = admit(replace(TARGET, model=model), METADATA, running=None, failure=failure, free=free)
    assert isinstance(refused, Refused)
    assert reason in refused.reason
    assert not refused.blame


@pytest.mark.parametrize(("retry", "admitted"), [(0, False), (4, False), (5, False), (6, True), (7, True)])
def test_a_failure_is_forgiven_once_by_a_retry_asked_for_after_it(retry: int, admitted: bool) -> None:
    target = replace(TARGET, revision=9, retry=retry)
    answer = admit(target, METADATA, running=None, failure=FAILED, free=PLENTY)
    assert isinstance(answer, Admitted if admitted else Refused)


def _ticking() -> Iterator[float]:
    seconds = 0.0
    while True:
        yield seconds
        seconds += 1.0


def test_trusted_time_is_the_latest_of_system_kept_and_signed_and_goes_on_by_itself() -> None:
    assert TrustedClock(lambda: 500.0, lambda: 0.0, SignedTime(100.0)).now() == 500.0
    assert TrustedClock(lambda: 0.0, lambda: 0.0, SignedTime(100.0)).now() == 100.0
    seconds = _ticking()
    clock = TrustedClock(lambda: 0.0, lambda: next(seconds), SignedTime(100.0))
    first = clock.now()
    assert clock.now() > first
    clock.learn(SignedTime(900.0))
    assert clock.now() > 900.0
    clock.learn(SignedTime(50.0))
    assert clock.now() > 900.0


def test_a_clock_set_to_a_far_year_is_not_kept() -> None:
    clock = TrustedClock(lambda: 9e9, lambda: 0.0)
    assert clock.signed() == SignedTime()
    clock.learn(SignedTime(500.0, ("key",)))
    assert clock.signed() == SignedTime(500.0, ("key",))


@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd"), min_size=1), st.integers(1, 3))
def test_a_signed_time_counts_while_enough_of_its_signers_do(signers: set[str], named: set[str], need: int) -> None:
    clock = TrustedClock(lambda: 5.0, lambda: 0.0, SignedTime(100.0, tuple(signers)))
    forgotten = clock.forget_revoked(OnlineKeys(tuple(named), need))
    assert forgotten == (len(signers & named) < need)
    assert clock.now() == (5.0 if forgotten else 100.0)


def test_where_no_root_could_be_read_nothing_is_revoked() -> None:
    clock = TrustedClock(lambda: 5.0, lambda: 0.0, SignedTime(100.0, ("key",)))
    assert not clock.forget_revoked(OnlineKeys())
    assert clock.now() == 100.0


def test_a_trial_is_proven_by_answers_and_disproved_only_by_failures_in_a_row() -> None:
    probation = Probation(answers=3, failures=2)
    probation.answered(REF)
    assert probation.verdict() is None  # no trial, no evidence
    probation.begin(REF)
    for event in ("good", "bad", "good"):
        probation.answered(REF) if event == "good" else probation.failed(REF, "why")
    assert probation.verdict() is None
    probation.answered(REF)
    assert probation.verdict() == ""
    probation.begin(REF)
    probation.failed(REF, "why")
    probation.failed(REF, "no answer")
    assert "no answer" in (probation.verdict() or "")
    probation.end()
    assert probation.verdict() is None


@given(st.lists(st.booleans(), max_size=80))
def test_a_model_that_fails_on_more_than_a_tenth_of_the_faces_is_never_proven(events: list[bool]) -> None:
    probation = Probation()
    probation.begin(REF)
    for number, good in enumerate(events, start=1):
        probation.answered(REF) if good else probation.failed(REF, "why")
        verdict = probation.verdict()
        if verdict == "":
            failures = number - sum(events[:number])
            assert (sum(events[:number]), failures <= 3) == (30, True)
        if verdict is not None:
            break


def test_a_model_that_fails_on_every_second_face_is_rolled_back_before_it_is_proven() -> None:
    probation = Probation()
    probation.begin(REF)
    for _ in range(4):
        probation.answered(REF)
        probation.failed(REF, "no number")
    assert probation.verdict() == "the model failed on 4 of 8 faces (no number): rolled back."


def test_what_another_model_did_is_no_evidence() -> None:
    probation, other = Probation(answers=1, failures=1), tiny(2).manifest.ref
    probation.begin(REF)
    probation.answered(other)
    probation.failed(other, "why")
    assert probation.verdict() is None


def test_an_undecided_trial_says_how_much_it_knows() -> None:
    probation = Probation(answers=30)
    assert probation.notice == ""
    probation.begin(REF)
    assert probation.notice == "on trial: 0 of 30 faces answered."
    probation.answered(REF)
    assert probation.notice == "on trial: 1 of 30 faces answered."
    probation.end()
    assert probation.notice == ""


CRASHED = "the interpreter did not survive this model here"
MUTE = "and no answer."


@pytest.mark.parametrize(
    ("returncode", "output", "verdict"),
    [
        (-11, b"", Verdict(passed=False, reason=f"{CRASHED} (SIGSEGV).")),
        (-6, b'{"passed": true}', Verdict(passed=False, reason=f"{CRASHED} (SIGABRT).")),
        (0, b'noise\n{"passed": true}\n', Verdict(passed=True)),
        (1, b"", Verdict(passed=False, reason=f"the self-test ended with 1 {MUTE}", blame=False)),
        (0, b'{"passed": tr', Verdict(passed=False, reason=f"the self-test ended with 0 {MUTE}", blame=False)),
        (0, b'{"other": 1}', Verdict(passed=False, reason=f"the self-test ended with 0 {MUTE}", blame=False)),
    ],
)
def test_what_an_ended_self_test_means(returncode: int, output: bytes, verdict: Verdict) -> None:
    assert judge(returncode, output) == verdict


@pytest.mark.parametrize("chunks", [[], [0], [7, 8], [511], list(range(512))])
def test_missing_chunks_travel_as_a_bitmap(chunks: list[int]) -> None:
    assert Need.of("d", "0" * 64, chunks).chunks() == chunks


def test_a_bitmap_that_is_no_base64_is_refused() -> None:
    with pytest.raises(MessageError, match="not base64"):
        Need(device="d", digest="0" * 64, missing="%%%").chunks()

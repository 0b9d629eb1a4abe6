"""What one device's telemetry comes to, whatever order, loss, restart or lie."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_contract import messages
from edge_contract.errors import MessageError
from edge_contract.messages import LARGEST, Telemetry
from edge_fleet.rollout.evidence.evidence import HEAVIEST, Evidence, begin, decode, encode, weights
from tests.fleet.rollout.device_windows import NEW, OLD, OTHER, Camera

AGREE, DIFFER = {("happy", "happy"): 9}, {("sad", "neutral"): 1}


def folded(windows: list[Telemetry], evidence: Evidence | None = None, wave: int = 0) -> Evidence:
    evidence = evidence or begin(NEW)
    for window in windows:
        evidence = evidence.take(window, wave)
    return evidence


def minutes(camera: Camera, count: int, **faces: int) -> list[Telemetry]:
    """Windows of so many minutes, in each of which these faces are answered."""
    windows = []
    for _ in range(count * 6):
        camera.answers(faces)
        windows.append(camera.window())
    return windows


def test_looks_of_all_sessions_add_up() -> None:
    camera = Camera()
    camera.compares(AGREE | DIFFER, less_sure=2, slower=1, failures=3, skipped=4)
    found = folded([camera.window()])
    camera.restart()
    camera.compares(AGREE)
    found = folded([camera.window()], found)
    camera.compares(DIFFER)
    found = folded([camera.window()], found)
    shadow = found.shadow
    assert (shadow.looks, shadow.agreed, shadow.failures, shadow.skipped) == (20, 18, 3, 4)
    assert shadow.confusion == {"happy": {"happy": 18}, "sad": {"neutral": 2}}
    assert (shadow.less_sure, shadow.slower) == (2, 1)
    assert not found.faults


def test_looks_of_which_the_old_release_is_sure_add_up_over_sessions_and_labels() -> None:
    camera = Camera()
    camera.compares(AGREE)
    camera.surely({("happy", "happy"): 5, ("sad", "neutral"): 1})
    found = folded([camera.window()])
    camera.surely({("happy", "sad"): 2})
    found = folded([camera.window()], found)
    camera.restart()
    camera.surely({("sad", "fear"): 1})
    found = folded([camera.window()], found)
    assert found.shadow.sure == {"happy": 7, "sad": 2}
    assert found.shadow.contradicted == {"sad": 2, "happy": 2}
    assert not found.faults
    assert decode(encode(found)) == found


def test_an_agent_that_does_not_count_them_says_nothing_of_them_and_is_believed_in_the_rest() -> None:
    camera = Camera()
    camera.compares(AGREE | DIFFER)
    window = messages.decode(_without(messages.encode(camera.window()), "sure", "contradicted"), Telemetry)
    found = folded([window])
    assert (found.shadow.looks, found.shadow.sure, found.shadow.contradicted) == (10, {}, {})
    assert not found.faults


def _without(message: bytes, *keys: str) -> bytes:
    document = msgspec.json.decode(message)
    for key in keys:
        del document["shadow"][key]
    return msgspec.json.encode(document)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30), st.randoms())
def test_what_comes_twice_or_late_changes_nothing(gains: list[int], random) -> None:
    camera, windows = Camera(), []
    for gain in gains:
        camera.compares({("happy", "happy"): gain})
        camera.answers({"happy": gain})
        windows.append(camera.window())
    once = folded(windows)
    again = list(
        itertools.chain.from_iterable(
            (window, random.choice(windows[: number + 1])) for number, window in enumerate(windows)
        )
    )
    assert folded(again) == once


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30), st.data())
def test_a_lost_window_bends_no_count(gains: list[int], data: st.DataObject) -> None:
    camera, windows = Camera(), []
    for gain in gains:
        camera.surely({("happy", "happy"): gain, ("sad", "happy"): gain // 3})
        windows.append(camera.window())
    kept = data.draw(st.lists(st.sampled_from(windows), max_size=10))
    found = folded([*sorted(kept, key=lambda window: window.sequence), windows[-1]])
    differed = sum(gain // 3 for gain in gains)
    assert found.shadow.looks == sum(gains) + differed
    assert sum(found.shadow.sure.values()) == found.shadow.looks
    assert sum(found.shadow.contradicted.values()) == differed


def test_another_pair_begins_anew() -> None:
    camera = Camera()
    camera.compares(AGREE)
    found = folded([camera.window()])
    camera.pair, camera.looks = (OTHER, NEW), camera.looks.__class__({("sad", "sad"): 2})
    found = folded([camera.window()], found)
    assert (found.shadow.champion, found.shadow.looks) == (OTHER.digest, 2)
    assert not found.faults


def test_a_shadow_of_another_release_is_no_evidence() -> None:
    camera = Camera(pair=(OLD, OTHER))
    camera.compares(AGREE)
    assert folded([camera.window()]).shadow.looks == 0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"looks": 5}, "counts fell"),
        ({"confusion": {"happy": {"happy": 3}}}, "counts fell"),
        ({"agreed": 99}, "counts contradict one another"),
        ({"slower": 99}, "counts contradict one another"),
        ({"less_sure": 6, "more_sure": 6}, "counts contradict one another"),
        ({"confusion": {"happy": {"happy": 15}, "sad": {"neutral": 1, "fear": 9}}}, "counts contradict one another"),
        ({"confusion": {}}, "counts fell"),
        ({"sure": {}}, "counts fell"),
        ({"contradicted": {"sad": 0}}, "counts fell"),
        ({"sure": {"happy": 6, "sad": 99}}, "counts contradict one another"),
        ({"contradicted": {"sad": 3}}, "counts contradict one another"),
        ({"contradicted": {"sad": 1, "fear": 1}}, "counts contradict one another"),
        ({"sure": {"happy": 7, "sad": 1}}, "counts contradict one another"),  # the window's one look is not happy
        ({"sure": {"happy": 6, "sad": 2}}, "counts contradict one another"),  # it is contradicted, and not counted so
        ({"looks": LARGEST, "agreed": LARGEST}, "more than a camera can see"),
        ({"failures": 10**7}, "more than a camera can see"),
    ],
)
def test_what_cannot_be_is_put_aside_with_its_window_and_said(change: dict[str, object], fault: str) -> None:
    camera = Camera()
    camera.compares(AGREE)
    camera.surely({("happy", "happy"): 6, ("sad", "neutral"): 1})
    before = folded([camera.window()])
    camera.compares(DIFFER)
    window = camera.window()
    found = before.take(msgspec.structs.replace(window, shadow=msgspec.structs.replace(window.shadow, **change)))
    assert found.shadow == before.shadow
    assert found.faults == {fault: 1}


def test_a_device_that_was_put_right_counts_on() -> None:
    camera = Camera()
    camera.compares(AGREE)
    found = folded([camera.window()])
    camera.looks.clear()
    camera.compares(DIFFER)
    found = folded([camera.window()], found)
    camera.compares(DIFFER)
    found = folded([camera.window()], found)
    assert found.shadow.looks == 10
    assert found.faults == {"counts fell": 1}


def test_answers_are_kept_in_stretches_of_two_minutes_by_the_model_that_gave_them() -> None:
    camera = Camera()
    found = folded(minutes(camera, 11, happy=3, sad=1))
    assert found.before.confidence.stretches == 5  # the first window only says where counting begins
    assert found.before.confidence.mean == pytest.approx(0.7)
    assert found.before.latency.mean == pytest.approx(0.01)
    assert found.before.share_of("sad").mean == pytest.approx(0.25)
    assert found.before.share_of("fear").mean == 0
    camera.model = NEW
    found = folded(minutes(camera, 5, happy=1, sad=1), found, wave=1)
    assert found.trial.share_of("sad").mean == pytest.approx(0.5)
    assert found.kept.confidence.stretches == 0


def test_a_label_that_comes_late_was_no_answer_before() -> None:
    camera = Camera()
    found = folded(minutes(camera, 5, happy=3) + minutes(camera, 4, happy=0, sad=3))
    assert found.before.share_of("sad").stretches == found.before.confidence.stretches
    assert found.before.share_of("sad").mean == pytest.approx(1 - found.before.share_of("happy").mean)


def test_windows_in_which_the_model_changed_or_a_session_began_are_nobody_s() -> None:
    camera = Camera()
    found = folded(minutes(camera, 3, happy=1))
    for model in (NEW, OLD, NEW):
        camera.model = model
        camera.answers({"sad": 50})
        found = folded([camera.window()], found, wave=1)
    camera.restart()
    camera.answers({"sad": 50})
    found = folded([camera.window()], found, wave=1)
    assert found.before.mix.keys() == {"happy"}
    assert not found.kept.mix
    assert not found.trial.mix


def test_a_wave_begins_with_nothing_and_what_was_kept_until_then_is_before() -> None:
    camera = Camera()
    found = folded(minutes(camera, 5, happy=1))
    found = folded(minutes(camera, 5, sad=1), found, wave=1)
    assert (found.before.confidence.stretches, found.kept.confidence.stretches) == (2, 2)
    found = folded(minutes(camera, 5, sad=1), found, wave=2)
    assert (found.before.confidence.stretches, found.kept.confidence.stretches) == (4, 2)


def test_another_old_release_begins_a_new_before() -> None:
    camera = Camera()
    found = folded(minutes(camera, 5, happy=1))
    camera.model = OTHER
    found = folded(minutes(camera, 5, sad=1), found)
    assert found.before.mix.keys() == {"sad"}


def test_a_model_that_answers_nothing_leaves_errors_alone() -> None:
    camera = Camera(model=NEW)
    windows = []
    for _ in range(30):
        camera.answers({}, errors=5)
        windows.append(camera.window())
    found = folded(windows, wave=1)
    assert found.trial.errors.mean == 1.0
    assert found.trial.confidence.weight == 0


@pytest.mark.parametrize(
    "change",
    [{"faces": 10**9}, {"sure": 2.0}, {"each": 1e6}, {"errors": 10**9}],
)
def test_answers_that_cannot_be_are_put_aside(change: dict[str, float]) -> None:
    camera = Camera()
    found = folded(minutes(camera, 4, happy=1))
    camera.answers({"happy": int(change.pop("faces", 5))}, **change)
    found = folded([camera.window()], found)
    assert sum(found.faults.values()) == 1
    assert found.before.confidence.stretches == 1


def test_no_device_weighs_more_than_four_times_the_median() -> None:
    looks = {"hall": 2.0**63, "attic": 100.0, "door": 120.0, "shed": 0.0}
    found = weights(looks)
    assert found["hall"] * looks["hall"] == pytest.approx(HEAVIEST * 120)
    assert (found["attic"], found["door"], found["shed"]) == (1, 1, 1)


@pytest.mark.parametrize("looks", [{}, {"hall": 1e9}, {"hall": 50.0, "attic": 1.0}, {"hall": 0.0, "attic": 0.0}])
def test_a_single_device_and_few_looks_weigh_what_they_are(looks: dict[str, float]) -> None:
    assert set(weights(looks).values()) <= {1.0}


def test_of_two_devices_the_liar_is_held_to_the_other() -> None:
    assert weights({"hall": 1e6, "attic": 100.0})["hall"] == pytest.approx(400 / 1e6)


@pytest.mark.parametrize("row", [b"", b"\xc1", b"\x80", b"[" * 5000, b'{"release":1}'])
def test_a_damaged_row_is_said(row: bytes) -> None:
    with pytest.raises(MessageError, match="row of evidence is damaged"):
        decode(row)


COUNTS = st.sampled_from((0, 1, 7, 1000, 2**62, LARGEST))
TIMES = st.sampled_from((0.0, 1.0, 1000.0, 1.8e9, 2.0**37))
AMOUNTS = st.sampled_from((0.0, 0.5, 100.0, 2.0**53))


class AnyDevice(RuleBasedStateMachine):
    """A device that may say anything that a message can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.evidence = begin(NEW)

    @rule(
        session=st.integers(0, 3), sequence=st.integers(1, 40), start=TIMES, end=TIMES, wave=st.integers(0, 3),
        model=st.sampled_from((None, OLD, NEW)), count=COUNTS, other=COUNTS, amount=AMOUNTS, shadow=st.booleans(),
        strange=st.sampled_from(({}, {"b": 1})),
    )  # fmt: skip
    def says(self, session, sequence, start, end, wave, model, count, other, amount, shadow, strange) -> None:
        camera = Camera(session=session, sequence=sequence - 1, model=model)
        camera.errors, camera.confidence, camera.spent = other, amount, amount
        if shadow:
            camera.compares({})
        camera.slower, camera.failures = other, count
        camera.faces["happy"] = count // 2
        window = msgspec.structs.replace(camera.window(), start=start, end=end)
        if window.shadow is not None:
            said = msgspec.structs.replace(window.shadow, looks=count, agreed=other, confusion={"a": {"a": count}})
            said = msgspec.structs.replace(said, sure={"a": other}, contradicted={"a": other // 2, **strange})
            window = msgspec.structs.replace(window, shadow=said)
        window = messages.decode(messages.encode(window), Telemetry)
        self.evidence = self.evidence.take(window, wave)

    @invariant()
    def a_row_that_is_kept_is_the_same_row(self) -> None:
        assert decode(encode(self.evidence)) == self.evidence

    @invariant()
    def nothing_is_larger_than_a_camera_can_see(self) -> None:
        shadow = self.evidence.shadow
        assert shadow.agreed <= shadow.looks <= 10**9
        assert shadow.slower <= shadow.looks
        assert sum(shadow.sure.values()) <= shadow.looks
        assert sum(shadow.contradicted.values()) <= shadow.looks - shadow.agreed
        assert all(count <= shadow.sure[label] for label, count in shadow.contradicted.items())


TestAnyDevice = AnyDevice.TestCase
TestAnyDevice.settings = settings(max_examples=30, stateful_step_count=20)

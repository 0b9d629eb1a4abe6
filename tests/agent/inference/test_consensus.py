"""One label that changes after enough agreeing evidence: tables over time, and what holds for any evidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inference.consensus import Announcement, Consensus, step
from edge_agent.inference.settings import ConsensusSettings

SETTINGS = ConsensusSettings(window=0.8, threshold=0.4, margin=0.1, evidence=3, hold=0.4, repeat=10.0)
HAPPY, SAD, UNSURE = [0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.36, 0.34, 0.3]


def said(
    evidence: list[list[float]], settings: ConsensusSettings = SETTINGS, *, fps: float = 30.0
) -> list[tuple[int, int]]:
    """(frame, label) of each announcement."""
    state, announced = Consensus(), []
    for frame, probabilities in enumerate(evidence):
        state, announcement = step(state, np.array(probabilities, np.float32), frame / fps, settings)
        if announcement is not None:
            announced.append((frame, announcement.label))
    return announced


def test_the_first_label_waits_for_its_evidence() -> None:
    assert said([HAPPY] * 5) == [(2, 0)]


def test_one_frame_of_another_mind_changes_nothing() -> None:
    assert said([HAPPY] * 30 + [SAD] + [HAPPY] * 30) == [(2, 0)]


def test_labels_that_alternate_every_frame_do_not_flicker() -> None:
    assert len(said([HAPPY, SAD] * 60)) == 1


def test_a_real_change_is_said_once_and_within_two_seconds() -> None:
    first, second = said([HAPPY] * 60 + [SAD] * 60)
    assert (first, second[1]) == ((2, 0), 1)
    assert 60 + 0.4 * 30 <= second[0] <= 120


def test_a_face_that_says_nothing_surely_gets_no_label() -> None:
    assert said([UNSURE] * 60) == []


def test_an_unchanged_label_is_said_again_after_a_while() -> None:
    assert [frame for frame, _ in said([HAPPY] * 700)] == [2, 302, 602]


def test_no_window_and_no_patience_say_every_frame() -> None:
    eager = ConsensusSettings(window=0.0, threshold=0.0, margin=0.0, evidence=1, hold=0.0, repeat=0.0)
    assert said([HAPPY, SAD, UNSURE], eager) == [(0, 0), (1, 1), (2, 0)]


@pytest.mark.parametrize("fps", [2.0, 10.0, 60.0])
def test_a_change_takes_seconds_not_frames(fps: float) -> None:
    before = round(4 * fps)
    announced = said([HAPPY] * before + [SAD] * round(4 * fps), fps=fps)
    assert len(announced) == 2
    assert 0.4 <= (announced[1][0] - before) / fps <= 1.6


def test_after_a_gap_old_evidence_counts_little() -> None:
    state = Consensus()
    for frame in range(30):
        state, _ = step(state, np.array(HAPPY, np.float32), frame / 30, SETTINGS)
    state, _ = step(state, np.array(SAD, np.float32), 60.0, SETTINGS)
    assert state.mean is not None
    assert state.mean[1] == pytest.approx(0.9, abs=1e-3)


VECTORS = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(lambda values: [v / sum(values) for v in values])


@given(st.lists(st.tuples(VECTORS, st.floats(0, 2)), max_size=60))
def test_whatever_is_seen_an_announcement_is_a_probable_label_and_changes_are_apart(
    evidence: list[tuple[list[float], float]],
) -> None:
    state, now, last, changed = Consensus(), 0.0, None, -1.0
    for probabilities, passed in evidence:
        now += passed
        state, announcement = step(state, np.array(probabilities, np.float32), now, SETTINGS)
        assert state.mean is not None
        assert state.mean.sum() == pytest.approx(1.0, abs=1e-4)
        if isinstance(announcement, Announcement):
            assert announcement.changed == (announcement.label != last)
            if announcement.changed:
                assert announcement.probabilities[announcement.label] >= SETTINGS.threshold
                assert last is None or now - changed >= SETTINGS.hold
                last, changed = announcement.label, now

"""bench-drift: the same rooms every time, people who resemble themselves, and a reference made as a manifest's is."""

import numpy as np
import pytest

from benchmarks.drift import ROOM, Replay, run
from benchmarks.drift_pictures import Answers, reference_of, spoiled
from benchmarks.drift_rooms import Spoiled, Window, room, windows
from edge_bridge.drift.estimate import calibrated
from edge_bridge.drift.tracks import BUCKETS
from tests.bridge.publisher import LABELS, MODEL


@pytest.fixture(scope="module")
def replay() -> Replay:
    """Answers to 700 pictures that are nine times in ten right, and surer then."""
    rng = np.random.default_rng(1)
    truth = np.arange(700) % len(LABELS)
    right = rng.random(700) < 0.9
    label = np.where(right, truth, rng.integers(0, len(LABELS), 700))
    confidence = np.where(right, rng.uniform(0.5, 1, 700), rng.uniform(0.2, 0.7, 700))
    bucket = np.minimum((confidence * BUCKETS).astype(np.int64), BUCKETS - 1)
    clean = Answers(label, bucket, confidence, np.tile([0.5, 0.2, 0.5], (700, 1)))
    by_expression = [np.flatnonzero(truth == at) for at in range(len(LABELS))]
    return Replay(MODEL, LABELS, by_expression, clean, reference_of(clean, truth, LABELS), np.full(7, 1 / 7))


def test_a_room_is_the_same_by_its_seed(replay: Replay) -> None:
    def sent() -> list[Window]:
        rng = np.random.default_rng(7)
        place = room(rng, "home", np.array(ROOM))
        return list(windows(rng, place, replay.by_expression, replay.clean, 2, 0.5))

    assert sent() == sent()


def test_a_camera_to_which_nothing_happens_raises_no_alarm(replay: Replay) -> None:
    assert run(replay, 3, "home").alarms == []


def test_what_happens_to_a_camera_is_found_and_those_who_came_since_are_counted(replay: Replay) -> None:
    found = run(replay, 3, "hall", Spoiled(replay.clean, neutral=0.95))
    assert found.found
    assert found.alarms[-1] == ("baseline", "answers")
    assert 0 < found.people < 1000


def test_tracks_of_one_person_resemble_one_another(replay: Replay) -> None:
    rng = np.random.default_rng(2)
    place = room(rng, "home", np.array(ROOM))
    sent = list(windows(rng, place, replay.by_expression, replay.clean, 20, 0.5))
    labels = np.array([cell // BUCKETS for window in sent for cell in window.cells])
    by_chance = ((np.bincount(labels) / len(labels)) ** 2).sum()
    assert (labels[1:] == labels[:-1]).mean() > by_chance + 0.1


def test_the_reference_is_that_of_a_manifest_and_its_own_answers_are_estimated_as_right_as_they_were(
    replay: Replay,
) -> None:
    reference = replay.reference
    answered, right = (sum(map(sum, table.values())) for table in (reference.by_label, reference.right))
    assert (answered, right) == (700, (replay.clean.label == np.arange(700) % 7).sum())
    assert (replay.clean.confidence >= (reference.sure_above or 0)).sum() == right
    assert calibrated(reference.by_label, reference) == pytest.approx(right / answered, abs=0.02)


@pytest.mark.parametrize(("kind", "strength"), [("turned", 30), ("small", 16), ("dazzled", 1.8), ("veiled", 0.25)])
def test_pictures_are_spoiled_the_same_every_time_and_clean_ones_stay(kind: str, strength: float) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 1)).astype(np.uint8)
    changed = spoiled(pictures, kind, strength)
    assert changed.shape == pictures.shape
    assert (changed != pictures).any()
    assert (changed == spoiled(pictures, kind, strength)).all()
    assert spoiled(pictures, "clean", 0) is pictures

"""The drawn faces of the rollouts' benchmark: as good and as bad as its module says, and counted as a device counts."""

import numpy as np
import pytest

from benchmarks.rollout import DEVICES, KIND_OF, Counts, edge, shadow
from benchmarks.rollout_canary import canary
from benchmarks.rollout_faces import LABELS, Fault, Looks, Room
from edge_fleet.rollout.gates.shadow import judge_shadow
from edge_fleet.rollout.gates.verdict import Outcome
from edge_fleet.rollout.plans.plan import DEFAULT

SLOW = np.arange(DEVICES) % 4 == 0


def looks(fault: Fault, rooms: int = 12, count: int = 4000) -> list[Looks]:
    return [Room(np.random.default_rng(seed), SLOW, fault).looks(count) for seed in range(rooms)]


def mean(values: list[float]) -> float:
    return float(np.mean(values))


def test_a_good_release_is_as_right_as_the_one_before_and_agrees_as_two_trainings_do() -> None:
    drawn = looks("")
    old = mean([float((one.truth == one.champion).mean()) for one in drawn])
    new = mean([float((one.truth == one.challenger).mean()) for one in drawn])
    agreement = [float((one.champion == one.challenger).mean()) for one in drawn]
    assert old == pytest.approx(0.68, abs=0.03)
    assert new == pytest.approx(old, abs=0.01)
    assert min(agreement) > 0.86
    assert max(agreement) < 0.97


def test_the_old_release_is_sure_as_often_and_as_rightly_as_measured_and_a_good_one_does_not_contradict_it() -> None:
    drawn = looks("")
    sure = [one.champion_sure >= 0.8 for one in drawn]
    other = [float((one.champion != one.challenger)[which].mean()) for one, which in zip(drawn, sure, strict=True)]
    assert mean([float(one.champion_sure.mean()) for one in drawn]) == pytest.approx(0.71, abs=0.02)
    assert mean([float(which.mean()) for which in sure]) == pytest.approx(0.42, abs=0.03)
    right = [float((one.truth == one.champion)[which].mean()) for one, which in zip(drawn, sure, strict=True)]
    assert mean(right) == pytest.approx(0.905, abs=0.02)
    assert max(other) < 0.005
    of_label = {
        label: mean([float((one.champion_sure >= 0.8)[one.champion == LABELS.index(label)].mean()) for one in drawn])
        for label in ("happy", "surprise", "angry", "neutral", "sad", "fear")
    }
    measured = {"happy": 0.8, "surprise": 0.6, "angry": 0.34, "neutral": 0.24, "sad": 0.18, "fear": 0.19}
    assert of_label == pytest.approx(measured, abs=0.06)


def test_a_worse_one_is_five_points_worse() -> None:
    drawn = looks("worse")
    lost = [float((one.truth == one.champion).mean() - (one.truth == one.challenger).mean()) for one in drawn]
    assert mean(lost) == pytest.approx(0.05, abs=0.01)


def test_counts_in_arrays_are_those_that_were_drawn() -> None:
    room = Room(np.random.default_rng(1), SLOW, "")
    counts, total, agreed, sure, contradicted = Counts(), 0, 0, 0, 0
    for _ in range(2):
        drawn = room.looks(1000)
        counts.begin(drawn)
        for count in (100, 700, len(drawn.seconds)):
            counts.until(count)
        total += len(drawn.seconds)
        agreed += int((drawn.champion == drawn.challenger).sum())
        sure += int((drawn.champion_sure >= 0.8).sum())
        contradicted += int(((drawn.champion_sure >= 0.8) & (drawn.champion != drawn.challenger)).sum())
    found = [one.shadow for one in counts.evidence().values()]
    assert sum(one.looks for one in found) == total
    assert sum(one.agreed for one in found) == agreed
    assert sum(one.disagreed.value for one in found) == total - agreed
    assert sum(sum(one.sure.values()) for one in found) == sure
    assert sum(sum(one.contradicted.values()) for one in found) == contradicted
    assert sum(one.disagreed.weight for one in found) == total


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("", Outcome.PASS),
        ("worse", Outcome.FAIL),
        ("neutral", Outcome.FAIL),
        ("slow", Outcome.FAIL),
        ("swapped", Outcome.FAIL),
    ],
)
def test_one_rollout_of_each_is_judged_as_it_should_be(fault: Fault, outcome: Outcome) -> None:
    ours, _, _ = shadow(Room(np.random.default_rng(5), SLOW, fault), 20_000)
    assert ours.outcome is outcome


def test_what_the_benchmark_decides_is_what_the_gate_says() -> None:
    room = Room(np.random.default_rng(5), SLOW, "neutral")
    counts = Counts()
    drawn = room.looks(4000)
    counts.begin(drawn)
    counts.until(len(drawn.seconds))
    assert judge_shadow(DEFAULT, KIND_OF, counts.evidence()).outcome is Outcome.FAIL


def test_a_slow_release_is_stopped_by_canaries_alone() -> None:
    assert canary(np.random.default_rng(3), "slow") is Outcome.FAIL


def test_at_the_limit_hardly_anything_is_said_and_a_test_for_one_look_says_much() -> None:
    found = edge(np.random.default_rng(1), 40, 3000)
    assert found["wrong"] <= 0.05
    assert found["wrong_z_test"] > 0.2

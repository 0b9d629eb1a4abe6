"""Accuracy without labels: what both methods say, and where they say nothing."""

import pytest

from edge_bridge.drift.estimate import estimates
from edge_bridge.drift.unsure import unsure
from edge_contract.manifest import Reference

ANSWERED = {"happy": (0, 0, 0, 0, 20, 20, 20, 20, 20, 100), "sad": (0, 0, 0, 0, 50, 50, 0, 0, 0, 0)}
RIGHT = {"happy": (0, 0, 0, 0, 8, 10, 12, 15, 17, 98), "sad": (0, 0, 0, 0, 20, 30, 0, 0, 0, 0)}
CARD = Reference(by_label=ANSWERED, right=RIGHT, sure_above=0.6)


def test_the_reference_s_own_answers_are_estimated_as_right_as_they_were() -> None:
    rows = {label: list(map(float, row)) for label, row in ANSWERED.items()}
    thresholded, calibrated = estimates(rows, 210.0, CARD, 300.0)
    assert (thresholded.method, thresholded.value, thresholded.tracks) == ("thresholded", 0.7, 300.0)
    assert calibrated.value == pytest.approx(210 / 300, abs=0.02)
    assert calibrated.low < 0.7 < calibrated.high


def test_answers_that_are_less_sure_are_estimated_less_right_and_fewer_give_a_wider_interval() -> None:
    unsure_rows = {"sad": [0.0, 0, 0, 0, 60, 0, 0, 0, 0, 0]}
    (_, many), (_, few) = estimates(unsure_rows, 0.0, CARD, 60.0), estimates(unsure_rows, 0.0, CARD, 15.0)
    assert many.value < 0.5
    assert few.high - few.low > 1.5 * (many.high - many.low)


@pytest.mark.parametrize(
    "card", [Reference(), Reference(by_label=ANSWERED), Reference(by_label={"happy": (1, 2)}, right={"happy": (1, 1)})]
)
def test_without_a_whole_reference_nothing_is_estimated(card: Reference) -> None:
    assert estimates({"happy": [50.0] * 10}, 0.0, card, 100.0) == ()
    assert unsure({label: row for label, row in card.by_label.items() if label == "sad"}) is None or card.by_label


def test_a_handful_of_tracks_is_no_estimate() -> None:
    assert estimates({"happy": [2.0] * 10}, 5.0, CARD, 20.0) == ()


def test_unsure_is_told_by_label_for_a_room_with_other_faces_is_no_change() -> None:
    reference = unsure(ANSWERED)
    assert reference is not None
    happy, sad = [9], [10 + 4]
    labels = ("happy", "sad")
    assert reference.expected(happy, labels) < reference.expected(sad, labels)
    assert (reference.observed(happy), reference.observed(sad)) == (0.0, 1.0)

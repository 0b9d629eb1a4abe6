"""Which cause the pictures tell, and what people read of it."""

import pytest

from edge_bridge.drift.block import GAUGES
from edge_bridge.drift.cause import Picture, of_change
from edge_bridge.drift.present import sentence
from edge_bridge.drift.view import Cause
from tests.bridge.drift.people import LIGHT


def pictures(**now: float) -> list[Picture]:
    return [
        Picture(now.get(each, LIGHT[each]), LIGHT[each], 0.05 * LIGHT[each] + 0.5 * (each.endswith("degrees")))
        for each in GAUGES
    ]


@pytest.mark.parametrize(
    ("now", "cause"),
    [
        ({}, "answers"),
        ({"face_brightness": 0.15, "brightness": 0.2, "face_contrast": 0.07}, "dark"),
        ({"face_brightness": 0.9}, "bright"),
        ({"face_sharpness": 0.2}, "blurred"),
        ({"face_pixels": 30.0, "face_sharpness": 0.2}, "far"),
        ({"face_roll_degrees": -25.0, "face_sharpness": 0.35}, "turned"),
        ({"contrast": 0.05, "faceless": 0.9, "face_brightness": 0.2, "face_sharpness": 0.1}, "covered"),
        ({"contrast": 0.05}, "answers"),
        ({"face_brightness": 0.45, "face_pixels": 80.0, "face_roll_degrees": 3.0}, "answers"),
    ],
)
def test_the_gauge_that_explains_the_others_names_the_cause(now: dict[str, float], cause: Cause) -> None:
    assert of_change(pictures(**now), answers=True) == cause


def test_what_no_gauge_explains_is_a_new_mix_of_answers_or_unknown() -> None:
    assert of_change(pictures(), answers=False) == "unknown"
    assert of_change([None] * len(GAUGES), answers=True) == "unknown"


def test_a_gauge_that_scatters_widely_has_to_move_further() -> None:
    moved = pictures(face_brightness=0.3)
    place = GAUGES.index("face_brightness")
    moved[place] = moved[place]._replace(spread=0.3)
    assert of_change(moved, answers=True) == "answers"


def test_an_alarm_says_what_changed_by_how_much_and_where_to_look() -> None:
    assert sentence(("happy", "sad"), "baseline", 2, 0.31, "answers").startswith(
        "31 of 100 answers more are sad than while its baseline was learned; pictures are as before"
    )
    assert sentence(("happy",), "manifest", 0, 0.2, "dark") == (
        "20 of 100 answers more are unsure than its model was on test pictures; "
        "faces are darker than at these hours before: look at the light"
    )

"""The table of docs/loop.md, line by line, is what is decided."""

import re
from itertools import product
from pathlib import Path

import pytest

from edge_fleet.loop.decide import ACCEPTABLE, CAMERA, CAUSES, TRAINS, Case, Labels, decide

PAGE = Path(__file__).resolve().parents[3] / "docs" / "loop.md"
LABELS = {
    "too few": Labels(counted=199, wanted=200, low=0.1, high=0.2, expected=0.7),
    "as right as the test": Labels(counted=200, wanted=200, low=0.6, high=0.7, expected=0.7),
    "less right": Labels(counted=200, wanted=200, low=0.5, high=0.69, expected=0.7),
    "nothing to compare with": Labels(counted=200, wanted=200, low=0.5, high=0.69),
}
TRUTH = {"yes": (True,), "no": (False,), "any": (True, False)}
ROWS = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \| ([\w ]+) \| `([\w-]+)` \|$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("cause", "accepted", "lasts", "labels", "decision"), ROWS)
def test_a_line_of_the_table_is_what_is_decided(
    cause: str, accepted: str, lasts: str, labels: str, decision: str
) -> None:
    cases = product(TRUTH[accepted], TRUTH[lasts], LABELS.values() if labels == "any" else (LABELS[labels],))
    for is_accepted, does_last, what in cases:
        verdict = decide(Case(cause, is_accepted, does_last, what))  # type: ignore[arg-type]  # the page's word
        assert (verdict.decision, bool(verdict.reason), verdict.reason.endswith(".")) == (decision, True, False)


def test_the_table_has_every_case_once() -> None:
    shown = [
        (row[0], accepted, lasts, labels)
        for row in ROWS
        for accepted, lasts in product(TRUTH[row[1]], TRUTH[row[2]])
        for labels in (LABELS if row[3] == "any" else (row[3],))
    ]
    assert len(shown) == len(set(shown))
    assert set(shown) == set(product(CAUSES, (True, False), (True, False), LABELS))


def test_a_camera_that_needs_a_person_is_never_trained_for_and_cannot_be_accepted() -> None:
    assert not CAMERA & ACCEPTABLE
    for cause, accepted, lasts, labels in product(CAMERA, (True, False), (True, False), LABELS.values()):
        assert decide(Case(cause, accepted, lasts, labels)).decision not in TRAINS


def test_a_turned_camera_is_declined_in_these_words() -> None:
    assert decide(Case("turned")).reason == "a turned camera needs a person: straighten it; no training"

"""What an address asks of the prediction log."""

import time

import pytest

from edge_bridge.storage.prediction_query import PredictionLog
from edge_bridge.web.dashboard import prediction_search
from edge_bridge.web.dashboard.prediction_search import PAGE, PAGES, Search


@pytest.mark.parametrize(
    ("given", "search"),
    [
        ({}, Search()),
        ({"device": " cam ", "label": "happy", "page": "3"}, Search(device="cam", label="happy", page=3)),
        ({"since": "2026-11-28T20:00", "until": "yesterday"}, Search(since="2026-11-28T20:00")),
        ({"page": "0"}, Search()),
        ({"page": "99999"}, Search(page=PAGES)),
        ({"page": "x", "limit": "9"}, Search()),
        ({"since": "9999-12-31T23:59:59-12:00"}, Search()),
    ],
)
def test_an_address_is_read_within_bounds(given: dict[str, str], search: Search) -> None:
    assert prediction_search.asked(given) == search
    assert prediction_search.asked({**search._asdict(), "page": str(search.page)}) == search


def test_times_without_a_zone_are_the_bridges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        wanted = Search(since="2026-11-28T20:00", until="2026-11-28T20:00Z").filter(PAGE)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert wanted.since is not None
    assert wanted.until is not None
    assert wanted.until - wanted.since == 7200


def test_a_log_that_cannot_be_read_is_a_sentence_on_the_page() -> None:
    found = prediction_search.read(PredictionLog("sqlite:////nowhere/log.db"), Search())
    assert "there is no prediction log at" in found.problem
    assert (found.rows, found.total) == ([], 0)

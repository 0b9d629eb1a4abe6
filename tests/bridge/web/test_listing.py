"""The table of devices and the list of what is wrong, over rows: what an address asks for is what is shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_bridge.fleet.conditions import Condition, Kind
from edge_bridge.fleet.timeline import Event
from edge_bridge.web.alertmanager import Alert, Alerts
from edge_bridge.web.dashboard import listing, past, problems, words
from edge_bridge.web.dashboard.listing import PAGE, SORTS, Query, Row
from edge_contract.group_status import GroupStatus, RolloutStatus
from edge_contract.messages import ModelRef
from tests.bridge.publisher import MODEL

CANARY = ModelRef(name="emotion", release=3, digest="cd" * 32)


def _row(device: str, *kinds: Kind, **changed: Any) -> Row:
    fields: dict[str, Any] = {
        "device": device, "site": "home", "state": "online", "model": "emotion-2", "update": "up to date",
        "refused": False, "slowed": "", "fps": 15.0, "p95": 0.01, "temperature": 50.0, "seen": 100.0,
        "conditions": tuple(Condition(kind, f"it is {kind}") for kind in kinds),
    }  # fmt: skip
    return Row(**{**fields, **changed})


ROWS = [
    _row("cam-a", fps=20.0, p95=0.030, temperature=None),
    _row("cam-b", Kind.SLOW, site="shop", p95=0.5),
    _row("cam-c", Kind.OFFLINE, state="offline", fps=None, p95=None, site="shop"),
    _row("cam-d", Kind.REFUSED, model="emotion-3", fps=10.0),
    _row("cam-e", state="stopped", fps=None, seen=0.0),
]


def _names(**asked: Any) -> list[str]:
    return [row.device for row in listing.find(ROWS, listing.asked(asked)).rows]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, "cdbea"),  # the worst first
        ({"q": "CAM-B"}, "b"),
        ({"q": "shop emotion"}, "cb"),
        ({"q": "nothing"}, ""),
        ({"site": "shop"}, "cb"),
        ({"site": "sho"}, ""),
        ({"model": "emotion-3"}, "d"),
        ({"state": "stopped"}, "e"),
        ({"state": "nonsense"}, "cdbea"),
        ({"trouble": "any"}, "cdb"),
        ({"trouble": "slow"}, "b"),
        ({"trouble": "'; DROP"}, "cdbea"),
        ({"sort": "device"}, "abcde"),
        ({"sort": "-device"}, "edcba"),
        ({"sort": "fps"}, "dbace"),  # without a value: last
        ({"sort": "-fps"}, "abdce"),
        ({"sort": "-p95"}, "badec"),
        ({"sort": "state"}, "ceabd"),
        ({"sort": "-seen"}, "abcde"),
        ({"sort": "__class__"}, "cdbea"),
        ({"sort": "site", "site": "shop", "q": "cam"}, "bc"),
        ({"page": "99"}, "cdbea"),  # the last there is
        ({"page": "-1"}, "cdbea"),
    ],
)
def test_an_address_is_answered_with_its_rows(asked: dict[str, str], names: str) -> None:
    assert _names(**asked) == [f"cam-{name}" for name in names]


def test_an_address_says_what_is_shown_and_no_more() -> None:
    query = Query(q="a b", site="shop", sort="-p95", page=3)
    assert query.address == "?q=a+b&site=shop&sort=-p95&page=3"
    assert Query().address == ""
    assert listing.asked({"q": "a b", "site": "shop", "sort": "-p95", "page": "3"}) == query


def test_pages_hold_every_row_once() -> None:
    rows = [_row(f"cam-{number:05}") for number in range(2 * PAGE + 7)]
    pages = [listing.find(rows, Query(page=page)) for page in (1, 2, 3)]
    assert [len(each.rows) for each in pages] == [PAGE, PAGE, 7]
    assert {row.device for each in pages for row in each.rows} == {row.device for row in rows}
    assert (pages[0].total, pages[0].pages) == (2 * PAGE + 7, 3)


_ROW = st.builds(
    _row,
    st.text("abc", min_size=1, max_size=3),
    st.sampled_from(Kind),
    fps=st.none() | st.floats(0, 100),
    p95=st.none() | st.floats(0, 1),
    state=st.sampled_from(listing.STATES),
    update=st.sampled_from(["", "x"]),
)


@given(st.lists(_ROW, max_size=12), st.sampled_from(sorted(SORTS)))
def test_a_sort_and_its_reverse_hold_the_same_rows_and_gaps_stand_last(rows: list[Row], field: str) -> None:
    key = SORTS[field]
    up, down = (listing.find(rows, Query(sort=sign + field)).rows for sign in ("", "-"))
    assert sorted(map(repr, up)) == sorted(map(repr, down)) == sorted(map(repr, rows))
    values = [key(row) for row in up]
    told = [each for each in values if each is not None]
    assert told == sorted(told)
    assert values == told + [None] * (len(values) - len(told))
    assert [key(row) for row in down if key(row) is not None] == told[::-1]


def test_filters_offer_what_there_is() -> None:
    offer = listing.offered(ROWS)
    assert offer.sites == {"home": 3, "shop": 2}
    assert offer.models == {"emotion-2": 4, "emotion-3": 1}
    assert offer.states == {"online": 3, "offline": 1, "stopped": 1}
    assert offer.troubles == {Kind.OFFLINE: 1, Kind.REFUSED: 1, Kind.SLOW: 1}


def test_what_is_wrong_stands_worst_first_with_a_way_to_each() -> None:
    sections = problems.find(ROWS, {})
    assert [(each.heading, each.path) for each in sections] == [
        ("1 device offline", "/devices?trouble=offline"),
        ("1 device with a refused update", "/devices?trouble=refused"),
        ("1 device with slow answers", "/devices?trouble=slow"),
    ]
    assert sections[0].problems == [problems.Problem("cam-c", "it is offline.", "/device/cam-c")]


def test_many_devices_with_the_same_trouble_are_one_entry() -> None:
    rows = [_row(f"cam-{number:03}", Kind.OFFLINE, site=f"site-{number % 3}") for number in range(300)]
    (section,) = problems.find(rows, {})
    assert section.heading == "300 devices offline"
    assert len(section.problems) == problems.EACH
    assert section.more == "all 300: 100 at site-0, 100 at site-1, 100 at site-2"


def test_of_a_device_that_is_gone_nothing_else_is_told() -> None:
    (section,) = problems.find([_row("cam", Kind.OFFLINE, Kind.REFUSED)], {})
    assert section.heading == "1 device offline"


def _status(group: str, **changed: Any) -> GroupStatus:
    fields: dict[str, Any] = {"id": "r", "release": CANARY, "rest": MODEL, "phase": "wave", "position": 0, "stages": ()}
    return GroupStatus(
        group=group, desired=MODEL, rollout=RolloutStatus(**{**fields, "started": 1.0, **changed}), time=1.0
    )


def test_a_halted_rollout_stands_before_the_devices_that_refused_it_and_a_paused_one_last() -> None:
    groups = {
        "a": _status("a", phase="halted", reason="2 of 2 failed."),
        "b": _status("b", paused="by ana"),
        "c": _status("c", phase="completed"),
        "d": GroupStatus(group="d", desired=None, time=1.0),
    }
    sections = problems.find(ROWS, groups)
    assert [each.heading for each in sections] == [
        "1 device offline", "1 rollout halted", "1 device with a refused update", "1 device with slow answers",
        "1 rollout to look at",
    ]  # fmt: skip
    assert sections[1].problems[0] == problems.Problem("a", "emotion-3 was halted: 2 of 2 failed.", "/rollout/a")


def test_the_past_is_drawn_from_what_was_before_it_up_to_now() -> None:
    told = [
        Event("device", "cam", 190.0, "update", "committed", "up to date"),
        Event("device", "cam", 150.0, "presence", "offline", "gone"),
        Event("device", "cam", 50.0, "presence", "online", "connected"),
    ]
    assert [each[:3] for each in past.segments(told, "presence", 100.0, 200.0)] == [
        (0.0, 50.0, "online"), (50.0, 50.0, "offline"),
    ]  # fmt: skip
    assert past.segments([], "presence", 100.0, 200.0) == []
    assert [each.text for each in past.entries(told, 100.0)] == ["up to date", "gone"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"), (-3, "now"), (30, "30 s ago"), (89, "89 s ago"), (300, "5 min ago"), (7300, "2 h ago"),
        (2e5, "2 d ago"),
    ],
)  # fmt: skip
def test_time_spans_are_said_for_people(seconds: float, said: str) -> None:
    assert words.ago(seconds) == said


def test_what_alertmanager_says_stands_first_and_its_silence_before_it() -> None:
    firing = Alert(labels={"alertname": "Down", "severity": "critical"}, annotations={"summary": "cam is down."})
    watchdog = Alert(labels={"alertname": "Watchdog", "severity": "none"})
    sections = problems.find(ROWS, {}, Alerts((firing, watchdog), "Alertmanager does not answer; start it."), 1.0)
    assert [each.heading for each in sections[:3]] == [
        "Alertmanager does not answer", "1 alert firing", "1 device offline",
    ]  # fmt: skip
    assert sections[1].problems == [problems.Problem("Down", "cam is down.", "/alerts")]

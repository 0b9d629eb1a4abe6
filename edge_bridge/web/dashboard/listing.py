"""The devices as rows of a table, and the part of them that an address asks for: filtered, sorted, one page. Pure.

All of it happens here and not in the browser, which holds one page of a fleet of ten thousand.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from edge_bridge.fleet import record
from edge_bridge.fleet.conditions import GONE, RANK, Condition, Kind, state_of
from edge_bridge.fleet.histograms import quantile
from edge_bridge.fleet.record import Device
from edge_contract.metrics import DeviceGauge
from edge_contract.throttling import throttling
from edge_contract.update_state import REFUSED, UpdateState
from edge_contract.visible import visible

PAGE: Final = 50
"""Rows of one page."""
STATES: Final = ("online", "silent", "offline", "stopped", "unknown")
LAST: Final = len(RANK)
"""The rank of a device that nothing is wrong with."""
_STATE_RANK: Final = {"silent": 0, "offline": 1, "unknown": 2, "stopped": 3, "online": 4}
_LONGEST: Final = 128
_OPTIONS: Final = 500
"""Sites, or models, that a filter offers."""


class Row(NamedTuple):
    """One device as the table shows it."""

    device: str
    site: str
    state: str
    model: str
    """`name-release`; empty where it runs none."""
    update: str
    refused: bool
    slowed: str
    fps: float | None
    p95: float | None
    """Seconds."""
    temperature: float | None
    seen: float
    """When it last sent something, seconds since 1970; 0 for never."""
    conditions: tuple[Condition, ...]

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return min((RANK[each.kind] for each in self.conditions), default=LAST)


class Query(NamedTuple):
    """What an address asks for; every field is a parameter of it."""

    q: str = ""
    site: str = ""
    model: str = ""
    state: str = ""
    trouble: str = ""
    """A kind of condition, or `any`."""
    sort: str = ""
    """A field of `SORTS`, with `-` before it for the reverse; empty for the worst first."""
    page: int = 1

    @property
    def address(self) -> str:
        """The parameters that are not as they always are, with a `?` before them."""
        given = {name: value for name, value in self._asdict().items() if value != Query._field_defaults[name]}
        return f"?{urlencode(given)}" if given else ""


class Found(NamedTuple):
    """One page of rows."""

    rows: Sequence[Row]
    total: int
    """Of all pages."""
    page: int
    pages: int


class Offer(NamedTuple):
    """What the filters offer: values with how many devices have them, the most frequent first."""

    sites: dict[str, int]
    models: dict[str, int]
    states: dict[str, int]
    troubles: dict[Kind, int]


SORTS: Final[Mapping[str, Any]] = {
    "device": lambda row: row.device,
    "site": lambda row: row.site,
    "state": lambda row: _STATE_RANK[row.state],
    "model": lambda row: row.model,
    "update": lambda row: row.update or None,
    "fps": lambda row: row.fps,
    "p95": lambda row: row.p95,
    "temperature": lambda row: row.temperature,
    "seen": lambda row: row.seen or None,
}


def row_of(device: Device, now: float, silent_after: float, found: tuple[Condition, ...]) -> Row:
    """A device's row; `found`: what is wrong with it."""
    state = state_of(device, now, silent_after)
    gauges = device.gauges if state == "online" else {}
    update, refused = update_of(device)
    return Row(
        device=device.id,
        site=device.site,
        state=state,
        model=record.short(device.active) if device.active is not None else "",
        update=update,
        refused=refused,
        slowed=", ".join(throttling(mask).now) if (mask := gauges.get(DeviceGauge.THROTTLED, 0)) else "",
        fps=gauges.get(DeviceGauge.FPS),
        p95=quantile(device.latency, 0.95) if state == "online" else None,
        temperature=gauges.get(DeviceGauge.TEMPERATURE_CELSIUS),
        seen=device.last_seen,
        conditions=found,
    )


def update_of(device: Device) -> tuple[str, bool]:
    """How far the desired model has come, in words, and whether the device refused it."""
    reported = device.reported
    if reported is None:
        return "", False
    state = reported.state
    text = f"{state.text} {reported.progress:.0%}" if state is UpdateState.DOWNLOADING else state.text
    if reported.target is not None and state not in {UpdateState.IDLE, UpdateState.COMMITTED}:
        text = f"{record.short(reported.target)} {text}"
    if reported.reason:
        reason = visible(reported.reason)
        text = f"{text}: {reason}" if text else reason
    return text, state in REFUSED


def asked(parameters: Mapping[str, str]) -> Query:
    """An address's parameters; what makes no sense is left out, so that an old link shows something."""
    given = {name: parameters.get(name, "")[:_LONGEST].strip() for name in Query._fields if name != "page"}
    if given["state"] not in STATES:
        given["state"] = ""
    if given["trouble"] not in {"any", *Kind}:
        given["trouble"] = ""
    if given["sort"].removeprefix("-") not in SORTS:
        given["sort"] = ""
    page = parameters.get("page", "")
    return Query(**given, page=int(page) if page.isascii() and page.isdecimal() and 1 <= len(page) <= 6 else 1)


def find(rows: Iterable[Row], query: Query, size: int = PAGE) -> Found:
    """The page of rows that the query asks for; the last page where there are not so many."""
    chosen = [row for row in rows if _wanted(row, query)]
    key = SORTS.get(query.sort.removeprefix("-"))
    if key is None:
        chosen.sort(key=lambda row: (row.rank, _STATE_RANK[row.state], row.device))
    else:
        chosen.sort(key=lambda row: row.device)
        told = [row for row in chosen if key(row) is not None]
        told.sort(key=key, reverse=query.sort.startswith("-"))
        chosen = told + [row for row in chosen if key(row) is None]  # without a value: last either way
    pages = max(1, -(-len(chosen) // size))
    page = min(max(1, query.page), pages)
    return Found(chosen[(page - 1) * size : page * size], len(chosen), page, pages)


def offered(rows: Sequence[Row]) -> Offer:
    """What the filters offer."""
    troubles = Counter(kind for row in rows for kind in {each.kind for each in row.conditions})
    return Offer(
        sites=dict(Counter(row.site for row in rows if row.site).most_common(_OPTIONS)),
        models=dict(Counter(row.model for row in rows if row.model).most_common(_OPTIONS)),
        states={state: count for state in STATES if (count := sum(row.state == state for row in rows))},
        troubles={kind: troubles[kind] for kind in Kind if troubles[kind]},
    )


def trouble_of(row: Row) -> str:
    """What is wrong with it in one line, the worst first; nothing that its other columns show already."""
    shown = [each for each in row.conditions if each.kind not in GONE | {Kind.REFUSED}]
    return "; ".join(each.text for each in shown)


def _wanted(row: Row, query: Query) -> bool:
    if query.site and row.site != query.site:
        return False
    if query.model and row.model != query.model:
        return False
    if query.state and row.state != query.state:
        return False
    if query.trouble == "any" and not row.conditions:
        return False
    if query.trouble not in {"", "any"} and all(each.kind != query.trouble for each in row.conditions):
        return False
    return not query.q or _named(row, query.q)


def _named(row: Row, words: str) -> bool:
    """Whether every word is in its id, site or model."""
    text = f"{row.device} {row.site} {row.model}".lower()
    return all(word in text for word in words.lower().split())

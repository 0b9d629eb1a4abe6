"""Which predictions an address asks for, and what is read of them for one page. No page and no address here."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from edge_bridge.storage.engine import StoreError
from edge_bridge.storage.prediction_query import PredictionFilter, PredictionLog, Tally
from edge_bridge.storage.store import LoggedPrediction
from edge_bridge.web.dashboard.words import milliseconds, model, moment
from edge_contract.visible import visible

PAGE: Final = 50
PAGES: Final = 2000
"""Further back a narrower search is the way: every page before it would be read for nothing."""
_LONGEST: Final = 128


class Search(NamedTuple):
    """What an address asks for; every field is a parameter of it, as text."""

    device: str = ""
    site: str = ""
    model: str = ""
    label: str = ""
    since: str = ""
    """A time such as 2026-11-28T20:00, the bridge's own; so for `until`."""
    until: str = ""
    page: int = 1

    @property
    def parameters(self) -> str:
        """Those that are not empty, with a `?` before them."""
        given = {name: value for name, value in self._asdict().items() if value != Search._field_defaults[name]}
        return f"?{urlencode(given)}" if given else ""

    def filter(self, limit: int | None, offset: int = 0) -> PredictionFilter:
        """As the log is asked."""
        return PredictionFilter(
            device=self.device or None,
            site=self.site or None,
            model=self.model or None,
            label=self.label or None,
            since=seconds(self.since),
            until=seconds(self.until),
            newest_first=True,
            limit=limit,
            offset=offset,
        )


class Result(NamedTuple):
    """One page of the log."""

    rows: list[LoggedPrediction]
    total: int
    tallies: list[Tally]
    """By model and label, of all pages."""
    problem: str = ""
    """Why nothing could be read; empty when it was."""


def asked(parameters: Mapping[str, str]) -> Search:
    """An address's parameters; a time that is none is left out."""
    given = {name: parameters.get(name, "")[:_LONGEST].strip() for name in Search._fields if name != "page"}
    for name in ("since", "until"):
        if seconds(given[name]) is None:
            given[name] = ""
    page = parameters.get("page", "")
    number = int(page) if page.isascii() and page.isdecimal() and len(page) <= 6 else 1
    return Search(**given, page=min(max(1, number), PAGES))


def seconds(text: str) -> float | None:
    """Seconds since 1970 of a time without a zone, which is the bridge's, or with one; None where it is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def read(log: PredictionLog, search: Search) -> Result:
    """The page, how many there are, and of which kinds; blocks while the database reads."""
    try:
        total = log.count(search.filter(None))
        rows = log.query(search.filter(PAGE, (search.page - 1) * PAGE))
        return Result(rows, total, log.tally(search.filter(None), ("model", "label")))
    except StoreError as error:
        return Result([], 0, [], str(error))


def shown(rows: list[LoggedPrediction], prefix: str) -> list[dict[str, Any]]:
    """Rows as the browser takes them."""
    return [
        {
            "key": f"{message.device}/{message.session}/{message.sequence}",
            "time": moment(message.time),
            "received": moment(received),
            "device": message.device,
            "href": f"{prefix}/device/{message.device}",
            "site": message.site,
            "label": visible(message.label),
            "confidence": f"{message.confidence:.0%}",
            "model": model(message.model),
            "track": message.track,
            "latency": milliseconds(message.latency),
        }
        for message, received in rows
    ]


def tally_rows(tallies: list[Tally], total: int) -> list[tuple[str, ...]]:
    """Model, label, how many, their share, mean confidence."""
    return [
        (visible(each.key[0]), visible(each.key[1]), f"{each.predictions:,}",
         f"{each.predictions / max(1, total):.1%}", f"{each.confidence:.0%}")
        for each in tallies
    ]  # fmt: skip

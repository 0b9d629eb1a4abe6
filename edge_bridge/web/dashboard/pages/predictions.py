"""The prediction log: what a device answered between two times under which model, and the way to take it along."""

from typing import Any, Final

from fastapi import Request
from nicegui import run, ui

from edge_bridge.web.dashboard import device_table, prediction_search, words
from edge_bridge.web.dashboard.frame import Frame, Part, empty, link, panel, parameters, table
from edge_bridge.web.dashboard.prediction_search import PAGE, PAGES, Result, Search
from edge_bridge.web.dashboard.source import Look, Source

TALLIES: Final = 40
_COLUMNS: Final = [
    {"name": name, "label": label, "field": name, "align": align, "classes": extra, "headerClasses": extra}
    for name, label, align, extra in (
        ("time", "Time", "left", ""),
        ("device", "Device", "left", ""),
        ("site", "Site", "left", "gt-sm"),
        ("label", "Answer", "left", "strong"),
        ("confidence", "Confidence", "right", ""),
        ("model", "Model", "left", "gt-xs"),
        ("track", "Face", "right", "gt-sm"),
        ("latency", "Latency", "right", "gt-sm"),
        ("received", "Received", "left", "gt-md"),
    )
]
_FILTERS: Final = (
    ("device", "Device", ""),
    ("site", "Site", ""),
    ("model", "Model, such as emotion-5", ""),
    ("label", "Answer", ""),
    ("since", "From", "type=datetime-local stack-label"),
    ("until", "Until", "type=datetime-local stack-label"),
)


async def predictions(source: Source, request: Request) -> None:
    """Draw it."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/predictions", look)
    search = prediction_search.asked(parameters(request))
    page = _Predictions(frame, search)
    found = await run.io_bound(prediction_search.read, source.predictions, search)
    with frame.page(page.look):
        page.draw()
        page.show(found)


class _Predictions:
    def __init__(self, frame: Frame, search: Search) -> None:
        self._frame, self._source, self._search = frame, frame.source, search

    def look(self, look: Look) -> None:
        """The log is read when something is asked of it, not all the time."""

    def draw(self) -> None:
        """Make the page's parts."""
        with panel():
            with ui.element("div").classes("filters"):
                for name, label, props in _FILTERS:
                    ui.input(
                        label,
                        value=getattr(self._search, name),
                        on_change=lambda event, name=name: self._change(**{name: str(event.value or "").strip()}),
                    ).props(f"dense outlined clearable debounce=300 {props}")
            with ui.element("div").classes("spread"):
                self._count = ui.label().classes("muted small")
                ui.element("div").classes("grow")
                self._export = Part(self._draw_export, "spread small")
                ui.button("Read again", icon="refresh", on_click=self._read).props("flat dense no-caps")
            self._pages = ui.pagination(1, 1, direction_links=True, on_change=self._turn).props("max-pages=6 dense")
            self._table = ui.table(columns=_COLUMNS, rows=[], row_key="key")
            self._table.add_slot("body-cell-device", device_table.LINKED)
            self._table.props("flat dense hide-no-data").mark("predictions")
            self._nothing = Part(self._draw_nothing)
        with panel("By model and answer", "of all that is found"):
            self._tallies = Part(self._draw_tallies)

    def show(self, found: Result | None) -> None:
        """Show what was read."""
        if found is None:  # the server is about to stop
            return
        search = self._search
        first = (search.page - 1) * PAGE
        text = f"{first + 1:,} to {first + len(found.rows):,} of {found.total:,}, newest first" if found.rows else ""
        self._count.set_text(f"{text}; times are the bridge's, {words.zone()}" if text else "")
        self._table.rows = prediction_search.shown(found.rows, self._frame.prefix)
        self._table.set_visibility(bool(found.rows))
        pages = min(PAGES, max(1, -(-found.total // PAGE)))
        self._pages.props["max"] = pages
        self._pages.set_visibility(pages > 1)
        if self._pages.value != search.page:
            self._pages.set_value(search.page)
        self._export.show(search._replace(page=1).parameters)
        self._nothing.show((bool(found.rows), found.problem, search._replace(page=1) != Search()))
        self._tallies.show((found.tallies, found.total))

    async def _change(self, **changed: Any) -> None:
        search = prediction_search.asked({**self._search._replace(**changed, page=1)._asdict(), "page": "1"})
        if search != self._search:
            self._search = search
            await self._read()

    async def _turn(self, event: Any) -> None:
        page = int(event.value or 1)
        if page != self._search.page:
            self._search = self._search._replace(page=page)
            await self._read()

    async def _read(self) -> None:
        search = self._search
        ui.navigate.history.replace(f"{self._frame.prefix}/predictions{search.parameters}")
        found = await run.io_bound(prediction_search.read, self._source.predictions, search)
        if search == self._search:  # else another was asked for meanwhile
            self.show(found)

    def _draw_export(self, shown: str) -> None:
        ui.label("Take along:").classes("muted")
        for kind in ("csv", "parquet"):
            link(kind.upper() if kind == "csv" else "Parquet", f"{self._frame.prefix}/predictions.{kind}{shown}")

    def _draw_nothing(self, shown: Any) -> None:
        there, problem, filtered = shown
        if problem:
            empty(problem, "The bridge keeps what it receives in memory meanwhile, and devices keep the rest.")
        elif not there and filtered:
            empty("No prediction is like this.", "Take a filter away, or ask for a longer time.")
        elif not there:
            empty("No prediction yet.", "One comes when a face's expression changes.")

    def _draw_tallies(self, shown: Any) -> None:
        tallies, total = shown
        if not tallies:
            ui.label("Nothing.").classes("muted")
            return
        heads = ("Model", "Answer", "Predictions", "Share", "Mean confidence")
        table(heads, prediction_search.tally_rows(tallies[:TALLIES], total), right=(2, 3, 4))
        ui.label(
            "A prediction is a change of what a face is called, so people who move count more. For how many faces "
            "were called what, see the releases."
        ).classes("muted small")

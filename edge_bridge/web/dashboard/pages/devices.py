"""All devices: searched, filtered, sorted and paged by the bridge; the address says how, so it can be handed on."""

from typing import Any

from fastapi import Request
from nicegui import run, ui

from edge_bridge.web.dashboard import device_table, listing, words
from edge_bridge.web.dashboard.device_table import DeviceTable
from edge_bridge.web.dashboard.frame import Frame, empty, panel, parameters
from edge_bridge.web.dashboard.listing import Found, Query
from edge_bridge.web.dashboard.source import Look, Source

_ANY = {"": "all"}


async def devices(source: Source, request: Request) -> None:
    """Draw it."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/devices", look)
    page = _Devices(frame, listing.asked(parameters(request)))
    with frame.page(page.show):
        page.draw(look)
        page.show(look)


class _Devices:
    def __init__(self, frame: Frame, query: Query) -> None:
        self._frame, self._query = frame, query

    def draw(self, look: Look) -> None:
        """Make the page's parts."""
        self._look = look
        with panel():
            self._filters()
            with ui.element("div").classes("spread"):
                self._count = ui.label().classes("muted small")
                ui.element("div").classes("grow")
                self._pages = ui.pagination(
                    1, 1, direction_links=True, value=1, on_change=lambda event: self._turn(event.value)
                ).props("max-pages=6 boundary-numbers dense")
            found = self._found()
            rows = device_table.shown(found.rows, look.time, self._frame.prefix)
            self._table = DeviceTable(rows, lambda sort: self._change(sort=sort), self._query.sort)
            with ui.element("div").classes("stack") as self._nothing:
                empty("No device is like this.", "Take a filter away, or look for another part of its id.")

    def show(self, look: Look) -> None:
        """Show a new look."""
        self._look = look
        self._offer(look)
        self._list()

    def _filters(self) -> None:
        query = self._query
        with ui.element("div").classes("filters"):
            ui.input(
                placeholder="Search: id, site or model",
                value=query.q,
                on_change=lambda event: self._change(q=str(event.value or "")),
            ).props("dense outlined clearable debounce=100 type=search aria-label='Search devices'").classes("search")
            self._selects = {
                name: ui.select(
                    {**_ANY, **({chosen: chosen} if chosen else {})},
                    value=chosen,
                    label=label,
                    on_change=lambda event, name=name: self._change(**{name: str(event.value or "")}),
                ).props("dense outlined options-dense")
                for name, label, chosen in (
                    ("site", "Site", query.site),
                    ("model", "Model", query.model),
                    ("state", "State", query.state),
                    ("trouble", "Trouble", query.trouble),
                )
            }

    def _offer(self, look: Look) -> None:
        offer = look.offer
        for name, counts in (("site", offer.sites), ("model", offer.models), ("state", offer.states)):
            self._set(name, {value: f"{value} ({count:,})" for value, count in counts.items()})
        troubles = {str(kind): f"{kind.text} ({count:,})" for kind, count in offer.troubles.items()}
        self._set("trouble", {"any": f"any ({look.numbers.troubled:,})", **troubles})

    def _set(self, name: str, options: dict[str, str]) -> None:
        chosen = getattr(self._query, name)
        wanted = {**_ANY, **options, **({chosen: chosen} if chosen and chosen not in options else {})}
        select = self._selects[name]
        if select.options != wanted:
            select.set_options(wanted, value=chosen)

    def _change(self, **changed: Any) -> None:
        query = self._query._replace(**changed, page=1)
        if query._replace(page=self._query.page) != self._query:
            self._query = query
            self._list()
            self._note()

    def _turn(self, page: int) -> None:
        if page != self._query.page:
            self._query = self._query._replace(page=page)
            self._list()
            self._note()

    def _note(self) -> None:
        """The address says what is shown; it is replaced, so that going back leaves the page."""
        ui.navigate.history.replace(f"{self._frame.prefix}/devices{self._query.address}")

    def _found(self) -> Found:
        return listing.find(self._look.rows, self._query)

    def _list(self) -> None:
        found = self._found()
        self._query = self._query._replace(page=found.page)
        self._table.show(device_table.shown(found.rows, self._look.time, self._frame.prefix))
        first = (found.page - 1) * listing.PAGE
        last = first + len(found.rows)
        of_all = "" if found.total == len(self._look.rows) else f" of {len(self._look.rows):,}"
        self._count.set_text(
            f"{first + 1:,} to {last:,} of {words.counted(found.total, 'device')}{of_all and f' ({of_all[1:]})'}"
            if found.total
            else f"none{of_all}"
        )
        self._nothing.set_visibility(not found.total)
        self._pages.set_visibility(found.pages > 1)
        self._pages.props["max"] = found.pages
        if self._pages.value != found.page:
            self._pages.set_value(found.page)

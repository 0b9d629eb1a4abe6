"""The page itself, drawn by NiceGUI: every script, font and style comes from its wheel, so it works without internet.

Each open page has a timer that asks `Source` for what to show; the answers are shared by all pages for a second, and
only what changed is sent. Nothing here reads the database or waits for a lock longer than copying a dict takes.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from fastapi import FastAPI
from nicegui import ui

from edge_bridge.fleet.history import History
from edge_bridge.fleet.state import FleetState
from edge_bridge.storage.store import LoggedPrediction
from edge_bridge.web.dashboard import charts, rows, theme

REFRESH_S: Final = 1.0
CHARTS_S: Final = 5.0
PREDICTIONS: Final = 12
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(slots=True, kw_only=True)
class Source:
    """Where the page takes what it shows."""

    fleet: FleetState
    history: History
    recent: deque[LoggedPrediction]
    clock: Callable[[], float]
    """Seconds since 1970."""
    silent_after: float
    connected: Callable[[], bool]
    writable: Callable[[], bool]
    complaint: Callable[[], str]
    """What the broker does not deliver, as a sentence; empty when it does."""
    broker: str
    _view: "View | None" = field(default=None, init=False)
    _made: float = field(default=0.0, init=False)

    def view(self) -> "View":
        """What to show now, at most `REFRESH_S` old."""
        now = self.clock()
        if self._view is None or not 0 <= now - self._made < REFRESH_S * 0.9:
            with self.fleet.lock:
                devices = list(self.fleet.devices.values())
            self._made = now
            self._view = View(
                devices=rows.device_rows(devices, now, self.silent_after),
                hidden=max(0, len(devices) - rows.SHOWN),
                predictions=rows.prediction_rows(self.recent.copy(), PREDICTIONS),
                numbers=rows.numbers(devices, self.history, now, self.silent_after),
                warning=self._warning(),
            )
        return self._view

    def _warning(self) -> str:
        if not self.connected():
            return (
                f"Not connected to the MQTT broker at {self.broker}: start it, or name another with --broker. "
                "What follows is what was last received."
            )
        if complaint := self.complaint():
            return complaint[0].upper() + complaint[1:]
        if not self.writable():
            return "The database takes no writes. Devices keep their messages until it does; the log names the cause."
        return ""


class View(NamedTuple):
    """What every open page shows now."""

    devices: list[rows.Row]
    hidden: int
    """Devices past the table's limit."""
    predictions: list[rows.Row]
    numbers: rows.Numbers
    warning: str


def mount(app: FastAPI, source: Source) -> None:
    """Serve the page at `/` of this application."""

    @ui.page("/")
    def dashboard() -> None:
        _Page(source)

    ui.run_with(app, title="Edgewise", favicon=theme.ICON, dark=None, show_welcome_message=False)


class _Page:
    """One browser's page."""

    def __init__(self, source: Source) -> None:
        self._source = source
        view = source.view()
        ui.add_css(theme.STYLE)
        dark = ui.dark_mode(None)
        with ui.column().classes("w-full max-w-[1400px] mx-auto p-3 sm:p-5 gap-4"):
            self._header(dark)
            self._warning = ui.label().classes("banner w-full").mark("warning")
            self._empty = _first_steps(source.broker)
            with ui.column().classes("w-full gap-4") as self._full:
                self._figures(view)
                self._charts()
                self._devices(view)
                self._predictions(view)
        self._show(view)
        ui.timer(REFRESH_S, self._refresh)
        ui.timer(CHARTS_S, self._redraw)

    def _header(self, dark: ui.dark_mode) -> None:
        with ui.row().classes("w-full items-center no-wrap gap-3"):
            ui.html(theme.ICON, sanitize=False).classes("w-8 h-8")
            with ui.column().classes("gap-0"):
                ui.label("Edgewise").classes("text-xl font-semibold leading-tight")
                ui.label("fleet of cameras").classes("muted text-sm leading-tight")
            ui.space()
            ui.link("metrics", "/metrics").classes("muted text-sm")
            ui.button(icon="dark_mode", on_click=lambda: _turn(dark)).props(
                "flat round dense aria-label='Light or dark'"
            ).classes("muted")

    def _figures(self, view: View) -> None:
        said = ("devices up", "frames per second", "95th percentile", f"faces, {rows.MIX_TEXT}")
        self._numbers = []
        with ui.element("div").classes("w-full grid grid-cols-2 lg:grid-cols-4 gap-3 sm:gap-4"):
            for value, text in zip(view.numbers, said, strict=True):
                with ui.element("div").classes("panel"):
                    self._numbers.append(ui.label(value).classes("figure"))
                    ui.label(text).classes("muted text-sm")

    def _charts(self) -> None:
        history = self._source.history
        with ui.element("div").classes("w-full grid grid-cols-1 lg:grid-cols-3 gap-3 sm:gap-4"):
            self._mix = _chart(f"Emotions, {rows.MIX_TEXT}", charts.mix(history.mix()))
            self._latency = _chart("Latency, frame to answer", charts.latency(history.latency()))
            self._frames = _chart("Frames per second", charts.frames(history.samples))

    def _devices(self, view: View) -> None:
        with ui.element("div").classes("panel w-full"):
            with ui.row().classes("w-full items-baseline"):
                ui.label("Devices").classes("font-semibold")
                self._hidden = ui.label().classes("muted text-sm")
            self._grid = ui.aggrid(
                {
                    "columnDefs": theme.COLUMNS,
                    "rowData": view.devices,
                    "defaultColDef": {"sortable": True, "resizable": True},
                    ":getRowId": "(params) => params.data.device",
                    "domLayout": "autoHeight" if len(view.devices) <= 12 else "normal",
                    "tooltipShowDelay": 300,
                    "suppressCellFocus": True,
                }
            ).classes("w-full gt-xs")
            self._grid.style("height: auto" if len(view.devices) <= 12 else "height: 460px")
            self._phone = ui.table(
                columns=theme.PHONE_COLUMNS, rows=view.devices[: theme.PHONE_DEVICES], row_key="device"
            )
            self._phone.add_slot("item", theme.PHONE_CARD)
            self._phone.props("grid flat hide-header").classes("w-full lt-sm")
            self._shown = view.devices

    def _predictions(self, view: View) -> None:
        columns = [
            {"name": name, "label": label, "field": name, "align": align, "classes": extra, "headerClasses": extra}
            for name, label, align, extra in (
                ("time", "Time", "left", ""),
                ("device", "Device", "left", ""),
                ("label", "Emotion", "left", "font-semibold"),
                ("confidence", "Confidence", "right", ""),
                ("model", "Model", "left", "gt-xs"),
                ("latency", "Latency", "right", "gt-xs"),
            )
        ]
        with ui.element("div").classes("panel w-full"):
            ui.label("Recent predictions").classes("font-semibold")
            self._table = ui.table(columns=columns, rows=view.predictions, row_key="key")
            self._table.props("flat dense").classes("w-full bg-transparent").mark("predictions")
            self._nothing = ui.label("None yet: a prediction comes when a face's expression changes.").classes("muted")

    def _refresh(self) -> None:
        self._show(self._source.view())

    def _show(self, view: View) -> None:
        self._warning.set_text(view.warning)
        self._warning.set_visibility(bool(view.warning))
        self._empty.set_visibility(not view.devices)
        self._full.set_visibility(bool(view.devices))
        for label, value in zip(self._numbers, view.numbers, strict=True):
            label.set_text(value)
        self._hidden.set_text(f"and {view.hidden} more without trouble" if view.hidden else "")
        if view.devices != self._shown:
            self._shown = view.devices
            self._grid.run_grid_method("setGridOption", "rowData", view.devices)
            self._phone.rows = view.devices[: theme.PHONE_DEVICES]
        if view.predictions != self._table.rows:
            self._table.rows = view.predictions
        self._table.set_visibility(bool(view.predictions))
        self._nothing.set_visibility(not view.predictions)

    def _redraw(self) -> None:
        history = self._source.history
        for chart, options in (
            (self._mix, charts.mix(history.mix())),
            (self._latency, charts.latency(history.latency())),
            (self._frames, charts.frames(history.samples)),
        ):
            if chart.options != options:
                chart.options.clear()
                chart.options.update(options)
                chart.update()


def _chart(title: str, options: charts.Options) -> ui.echart:
    with ui.element("div").classes("panel"):
        ui.label(title).classes("font-semibold mb-1")
        return ui.echart(options).classes("w-full").style("height: 220px")


def _first_steps(broker: str) -> ui.element:
    """What the page shows while no device has ever connected."""
    with ui.element("div").classes("panel w-full").style("counter-reset: step").mark("first-steps") as panel:
        ui.label("No device yet").classes("text-lg font-semibold")
        ui.label("This page fills by itself as soon as the first one connects.").classes("muted mb-4")
        with ui.column().classes("gap-4 w-full"):
            for text, words in (
                (
                    "On the device, write the file agent.toml:",
                    _agent_settings(broker),
                ),
                ("See what it lacks, with a remedy for each line:", "edgewise-agent doctor --config agent.toml"),
                ("Start it:", "edgewise-agent run --config agent.toml"),
            ):
                with ui.element("div").classes("step"), ui.column().classes("gap-1 grow min-w-0 items-stretch"):
                    ui.label(text)
                    ui.label(words).classes("words w-full")
        ui.label("No camera at hand? `make demo` in the checkout runs everything on this machine.").classes(
            "muted mt-4"
        )
    return panel


def _agent_settings(broker: str) -> str:
    host, _, port = broker.rpartition(":")
    address = "127.0.0.1  # from another machine: this one's address" if host in _LOOPBACK else host
    name, _, comment = address.partition("  #")
    return (
        '[device]\nid = "cam-1"\nsite = "home"\n\n'
        f'[broker]\nhost = "{name}"{"  #" + comment if comment else ""}\nport = {port}\n\n'
        '[source]\nurl = "0"  # a camera, a file, a folder or an address'
    )


def _turn(dark: ui.dark_mode) -> None:
    """From what the browser asks for to dark, to light, to dark…"""
    dark.value = not dark.value

"""The first page: what is wrong, worst first; then the fleet in numbers and charts, and what came last."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request
from nicegui import run, ui

from edge_bridge.fleet.history import MIX_S
from edge_bridge.storage.store import LoggedPrediction
from edge_bridge.web.dashboard import charts, device_table, label_facts, listing, words
from edge_bridge.web.dashboard.device_table import DeviceTable
from edge_bridge.web.dashboard.frame import Chart, Frame, Part, link, panel
from edge_bridge.web.dashboard.listing import Query
from edge_bridge.web.dashboard.pages.first_steps import first_steps
from edge_bridge.web.dashboard.problems import Section
from edge_bridge.web.dashboard.source import Look, Numbers, Source
from edge_contract.visible import visible

DEVICES: Final = 10
"""In the table, those in trouble first; all of them have a page."""
PREDICTIONS: Final = 12
SECTIONS: Final = 8
LABELLED: Final = 2
"""Releases whose accuracy by labels from the field is told."""
_LAST_MINUTES: Final = f"last {MIX_S / 60:.0f} minutes"
_HISTORY_EVERY: Final = 3
"""Charts change every few seconds."""


async def home(source: Source, request: Request) -> None:
    """Draw it."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/", look)
    page = _Home(frame)
    with frame.page(page.show):
        page.draw(look)
        page.show(look)


class _Home:
    def __init__(self, frame: Frame) -> None:
        self._frame, self._source, self._round = frame, frame.source, 0

    def draw(self, look: Look) -> None:
        """Make the page's parts."""
        self._first = first_steps(self._source.broker)
        with ui.element("div").classes("stack").style("gap: 16px") as self._full:
            self._problems = Part(self._draw_problems, "panel stack")
            self._labelled = Part(self._draw_labelled)
            self._figures()
            history = self._source.history
            with ui.element("div").classes("columns three"):
                self._mix = Chart(f"Answers, {_LAST_MINUTES}", charts.mix(history.mix()))
                self._latency = Chart("Latency, frame to answer", charts.latency(history.latency()))
                self._frames = Chart("Frames per second", charts.frames(history.samples))
            with panel():
                with ui.element("div").classes("spread"):
                    ui.label("Devices").classes("title")
                    self._all = self._frame.link("", "/devices").classes("small")
                self._table = DeviceTable(self._rows(look))
            with panel("Recent predictions"):
                self._predictions = _Predictions(prediction_rows(self._source.recent.copy(), self._frame.prefix))

    def show(self, look: Look) -> None:
        """Show a new look."""
        there = bool(look.devices)
        self._first.set_visibility(not there)
        self._full.set_visibility(there)
        if not there:
            return
        self._problems.show((tuple(look.sections), look.numbers.up, look.numbers.devices))
        self._labelled.show(tuple(label_facts.accuracy_lines(look.labelled)[:LABELLED]))
        for label, value in zip(self._numbers, _texts(look.numbers), strict=True):
            label.set_text(value)
        self._all.set_text(f"all {len(look.devices):,}")
        self._table.show(self._rows(look))
        self._predictions.show(prediction_rows(self._source.recent.copy(), self._frame.prefix))
        self._round += 1
        if self._round % _HISTORY_EVERY == 0:
            history = self._source.history
            self._mix.show(charts.mix(history.mix()))
            self._latency.show(charts.latency(history.latency()))
            self._frames.show(charts.frames(history.samples))

    def _rows(self, look: Look) -> device_table.Shown:
        found = listing.find(look.rows, Query(), DEVICES)
        return device_table.shown(found.rows, look.time, self._frame.prefix)

    def _figures(self) -> None:
        said = ("devices up", "frames per second", "95th percentile", f"faces, {_LAST_MINUTES}")
        self._numbers = []
        with ui.element("div").classes("columns four"):
            for text in said:
                with ui.element("div").classes("panel"):
                    self._numbers.append(ui.label().classes("figure"))
                    ui.label(text).classes("muted small")

    def _draw_labelled(self, lines: Any) -> None:
        if not lines:
            return
        with ui.element("div").classes("panel stack"):
            for line in lines:
                ui.label(line)
            self._frame.link("label more", "/label").classes("small")

    def _draw_problems(self, shown: Any) -> None:
        sections, up, devices = shown
        if not sections:
            with ui.element("div").classes("spread"):
                ui.icon("check_circle", size="26px").classes("good")
                ui.label(f"Nothing is wrong: {words.counted(up, 'device')} of {devices:,} up.").classes("title")
            return
        ui.label("What is wrong").classes("title")
        for section in sections[:SECTIONS]:
            self._draw_section(section)
        if len(sections) > SECTIONS:
            self._frame.link(f"and {len(sections) - SECTIONS} more kinds", "/devices?trouble=any").classes("small")

    def _draw_section(self, section: Section) -> None:
        prefix = self._frame.prefix
        with ui.element("div").classes(f"problem {section.level}").mark("problem"):
            link(section.heading, prefix + section.path).classes("title")
            for problem in section.problems:
                with ui.element("div").classes("line small"):
                    link(problem.subject, prefix + problem.path)
                    ui.label(f": {problem.text}").style("display: inline")
            if section.more:
                link(section.more, prefix + section.path).classes("small")


class _Predictions:
    """The table of what came last."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        columns = [
            {"name": name, "label": label, "field": name, "align": align, "classes": extra, "headerClasses": extra}
            for name, label, align, extra in (
                ("time", "Time", "left", ""),
                ("device", "Device", "left", ""),
                ("label", "Answer", "left", "strong"),
                ("confidence", "Confidence", "right", ""),
                ("model", "Model", "left", "gt-xs"),
                ("latency", "Latency", "right", "gt-xs"),
            )
        ]
        self._table = ui.table(columns=columns, rows=rows, row_key="key")
        self._table.add_slot("body-cell-device", device_table.LINKED)
        self._table.props("flat dense").mark("predictions")
        self._nothing = ui.label("None yet: a prediction comes when a face's expression changes.").classes("muted")

    def show(self, rows: list[dict[str, Any]]) -> None:
        """Show these rows, if they are others."""
        if rows != self._table.rows:
            self._table.rows = rows
        self._table.set_visibility(bool(rows))
        self._nothing.set_visibility(not rows)


def prediction_rows(
    recent: Sequence[LoggedPrediction], prefix: str = "", limit: int = PREDICTIONS
) -> list[dict[str, Any]]:
    """The newest first."""
    return [
        {
            "key": f"{message.device}/{message.session}/{message.sequence}",
            "time": words.clock(message.time),
            "device": message.device,
            "href": f"{prefix}/device/{message.device}",
            "label": visible(message.label),
            "confidence": f"{message.confidence:.0%}",
            "model": words.model(message.model),
            "latency": words.milliseconds(message.latency),
        }
        for message, _ in list(recent)[: -limit - 1 : -1]
    ]


def _texts(numbers: Numbers) -> tuple[str, str, str, str]:
    return (
        f"{numbers.up:,} / {numbers.devices:,}",
        words.NOTHING if numbers.fps is None else f"{numbers.fps:,.1f}",
        words.milliseconds(numbers.p95),
        f"{numbers.faces:,}",
    )

"""Alertmanager's alerts with their runbooks, and what the bridge itself finds wrong."""

from typing import Any, Final

from fastapi import Request
from nicegui import run, ui

from edge_bridge.web.alertmanager import Alerts
from edge_bridge.web.dashboard import alert_lines
from edge_bridge.web.dashboard.frame import Frame, Part, empty, link, panel
from edge_bridge.web.dashboard.source import Look, Source

SHOWN: Final = 100


async def alerts(source: Source, request: Request) -> None:
    """Draw it."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/alerts", look)
    page = _Alerts(frame)
    with frame.page(page.show):
        page.draw()
        page.show(look)


class _Alerts:
    def __init__(self, frame: Frame) -> None:
        self._frame, self._source = frame, frame.source

    def draw(self) -> None:
        """Make the page's parts."""
        with panel("Alertmanager"):
            self._alerts = Part(self._draw_alerts)
        with panel("What the bridge finds wrong by itself"):
            self._own = Part(self._draw_own)

    def show(self, look: Look) -> None:
        """Show a new look."""
        self._alerts.show((self._source.alertmanager.now, int(look.time // 30)))
        self._own.show(tuple(each for each in look.sections if each.path != "/alerts"))

    def _draw_alerts(self, shown: Any) -> None:
        found: Alerts = shown[0]
        address = self._source.alertmanager.address
        public = self._source.web.alertmanager_public or address
        if not address:
            empty(
                "No Alertmanager is named in the settings.",
                "They watch what one look cannot tell: rates, bounds over days, what is missing. "
                "Name it in the bridge's settings:",
                '[web]\nalertmanager = "http://127.0.0.1:9093"',
            )
            return
        if found.problem:
            ui.label(found.problem).classes("banner")
        elif not found.asked:
            ui.label("It has not answered yet.").classes("muted")
            return
        lines = alert_lines.lines(found.alerts, self._source.clock())
        if not lines and not found.problem:
            ui.label("No alert is firing.").classes("good")
        for line in lines[:SHOWN]:
            with ui.element("div").classes(f"problem {line.level}").mark("alert"):
                with ui.element("div").classes("spread"):
                    ui.label(line.name).classes("title")
                    ui.label(line.severity).classes(f"chip {line.severity}")
                    if line.quiet:
                        ui.label(line.quiet).classes("chip")
                    ui.label(line.since).classes("muted small")
                ui.label(line.summary)
                if line.description:
                    ui.label(line.description).classes("small muted")
                with ui.element("div").classes("spread small"):
                    if line.device:
                        link(line.device, f"{self._frame.prefix}/device/{line.device}")
                    if line.runbook:
                        link("what to do", line.runbook, elsewhere=True)
                    link("silence", public + line.silence, elsewhere=True)
        if len(lines) > SHOWN:
            link(f"and {len(lines) - SHOWN:,} more, in Alertmanager", f"{public}/#/alerts", elsewhere=True)

    def _draw_own(self, sections: Any) -> None:
        if not sections:
            ui.label("Nothing.").classes("good")
        for section in sections:
            with ui.element("div").classes(f"problem {section.level}"):
                link(section.heading, self._frame.prefix + section.path).classes("title")

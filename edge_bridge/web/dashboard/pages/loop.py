"""The retraining loops: the run that is under way with its steps, those before, and what limits the next training."""

from typing import Any

from fastapi import Request
from nicegui import run, ui

from edge_bridge.web.dashboard import loop_facts
from edge_bridge.web.dashboard.frame import Frame, Part, empty, facts, panel
from edge_bridge.web.dashboard.loop_facts import Loop, Run
from edge_bridge.web.dashboard.source import Look, Source

_CHIPS = {"good": "completed", "bad": "halted", "warn": "warning"}


async def loop(source: Source, request: Request) -> None:
    """Draw it."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/loop", look)

    def show(look: Look) -> None:
        part.show(loop_facts.loops(look.loops, look.time))

    with frame.page(show):
        part = Part(_draw)
        show(look)


def _draw(shown: Any) -> None:
    if not shown:
        with panel("Loop"):
            empty(
                "No loop has told how it stands.",
                "It takes Alertmanager's alerts, finds the cause, and retrains where that helps. Describe it in "
                "loop.toml (docs/loop.md), and start it beside `edgewise fleet serve`:",
                "edgewise loop serve --config loop.toml",
            )
    for each in shown:
        _draw_loop(each)


def _draw_loop(shown: Loop) -> None:
    with panel(f"Loop of {shown.model}"):
        if shown.trouble:
            ui.label(shown.trouble).classes("trouble")
        facts(shown.standing)
        if shown.current is None:
            ui.label("No run is under way: it waits for an alert.").classes("muted")
        else:
            _draw_run(shown.current)
    with panel("Runs before", "the newest first"):
        if not shown.recent:
            empty("None yet.", "What would be decided about a cause now says:", _REHEARSE)
        for each in shown.recent:
            _draw_run(each)


_REHEARSE = "edgewise loop run --cause dark --device CAMERA --dry-run"


def _draw_run(shown: Run) -> None:
    with ui.element("div").classes(f"problem {shown.level}"):
        with ui.element("div").classes("spread"):
            ui.label(shown.headline).classes("title")
            ui.label(shown.phase).classes(f"chip {_CHIPS.get(shown.level, 'wave')}")
            ui.label(shown.id).classes("muted")
        facts(shown.facts)
        with ui.element("div").classes("events small"):
            for each in shown.steps:
                ui.label(f"{each.time}  {each.phase}").classes("muted")
                ui.label(each.text)

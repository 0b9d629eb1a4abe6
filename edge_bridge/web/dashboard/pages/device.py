"""One device: its past, how fast it is, what it answers, what it runs and where that came from, and why."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request
from nicegui import run, ui

from edge_bridge.drift.view import DeviceDrift
from edge_bridge.fleet.conditions import state_of
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.timeline import Event
from edge_bridge.storage.engine import StoreError
from edge_bridge.web.dashboard import charts, device_facts, past, words
from edge_bridge.web.dashboard.frame import Chart, Frame, Part, empty, facts, panel
from edge_bridge.web.dashboard.listing import update_of
from edge_bridge.web.dashboard.past import DAY_S, Segment
from edge_bridge.web.dashboard.source import Look, Source

EVENTS: Final = 300
_EVENTS_EVERY: Final = 3
"""Rounds of the page between two reads of the database."""


async def device(source: Source, request: Request, name: str) -> None:
    """Draw it."""
    look = await run.io_bound(source.look)
    source.device_history.watch(name)
    frame = Frame(source, request, "/devices", look)
    page = _Device(frame, name, look)
    with frame.page(page.show):
        page.draw()
        await page.show(look)


class _Device:
    def __init__(self, frame: Frame, name: str, look: Look) -> None:
        self._frame, self._source, self._name, self._look = frame, frame.source, name, look
        self._round = 0

    def draw(self) -> None:
        """Make the page's parts."""
        self._make_question()
        self._head = Part(self._draw_head, "panel stack")
        with ui.element("div").classes("stack").style("gap: 16px") as self._full:
            with panel("Past, up to 24 hours"):
                self._past = Part(self._draw_past)
            with ui.element("div").classes("columns three"):
                self._frames = Chart("Frames per second", charts.device_frames(()))
                self._latency = Chart("Latency, frame to answer", charts.device_latency(()))
                self._temperature = Chart("Temperature of the board", charts.device_temperature(()))
            with ui.element("div").classes("columns two"):
                self._stages = Chart("Latency by stage, since its start", charts.stages(()))
                self._answers = Chart("Answers of this model, by frame", charts.mix({}))
            with ui.element("div").classes("columns two"):
                with panel("Model"):
                    self._model = Part(self._draw_model)
                with panel("Drift"):
                    self._drift = Part(self._draw_drift)
            with ui.element("div").classes("columns three"):
                with panel("Pictures"):
                    self._pictures = Part(_draw_pictures)
                with panel("Device"):
                    self._inventory = Part(facts)
                with panel("Counted"):
                    self._counters = Part(facts)
            with panel("What happened, last 24 hours"):
                self._events = Part(_draw_events)

    async def show(self, look: Look) -> None:
        """Show a new look."""
        self._look = look
        known = look.devices.get(self._name)
        row = next((each for each in look.rows if each.device == self._name), None) if known is not None else None
        self._full.set_visibility(known is not None)
        self._head.show((known is not None, _standing(known, look, self._source.silent_after), row and row.conditions))
        if known is None:
            return
        points = self._source.device_history.of(self._name)
        self._frames.show(charts.device_frames(points))
        self._latency.show(charts.device_latency(points))
        self._temperature.show(charts.device_temperature(points))
        self._stages.show(charts.stages(device_facts.stages(known)))
        self._answers.show(charts.mix(device_facts.answers(known)))
        self._model.show(device_facts.lineage(known, look.cards))
        self._drift.show(self._source.drift.of(self._name))
        self._pictures.show(device_facts.pictures(known))
        self._inventory.show(device_facts.inventory(known, look.time))
        self._counters.show(device_facts.counters(known))
        if self._round % _EVENTS_EVERY == 0:
            await self._show_past(look.time)
        self._round += 1

    async def _show_past(self, now: float) -> None:
        told = await run.io_bound(events_of, self._source, "device", self._name, now - DAY_S)
        if told is None:
            self._events.show("")
            return
        listed = tuple(past.entries(told, now - DAY_S))
        told = past.with_now(told, self._look.devices.get(self._name), now, self._source.silent_after)
        begin = past.beginning(told, now)
        self._past.show(
            (
                tuple(past.segments(told, "presence", begin, now)),
                tuple(past.segments(told, "update", begin, now)),
                words.moment(begin),
                words.moment(now),
            )
        )
        self._events.show(listed)

    def _draw_head(self, shown: Any) -> None:
        known, standing, conditions = shown
        with ui.element("div").classes("spread"):
            ui.label(self._name).classes("heading")
            if known:
                state, update, why, groups, predictions = standing
                with ui.element("span").classes(f"state {state}"):
                    ui.element("i")
                    ui.label(state)
                if update:
                    ui.label(update).classes("muted")
        if not known:
            empty(
                "No device of this id has connected to this bridge.",
                "Look for it among all devices; one that was taken out of service is forgotten here too.",
            )
            self._frame.link("all devices", "/devices")
            return
        ui.label(why)
        for each in conditions or ():
            ui.label(f"{each.text[0].upper()}{each.text[1:]}.").classes("trouble")
        with ui.element("div").classes("spread small"):
            for group in groups:
                self._frame.link(f"rollouts of {group}", f"/rollout/{group}")
            self._frame.link("its predictions", predictions)

    def _draw_past(self, shown: Any) -> None:
        presence, updates, begin, end = shown
        for name, pieces in (("Availability", presence), ("Update", updates)):
            ui.label(name).classes("muted small")
            _draw_bar(pieces)
        with ui.element("div").classes("scale muted small"):
            ui.label(begin)
            ui.label(f"{end} {words.zone()}")

    def _draw_model(self, shown: Any) -> None:
        if not shown:
            empty("It has not said which model it runs.", "It does so when it connects.")
            return
        facts(shown)
        if len(shown) == 2:
            ui.label("No card of this release has come: `edgewise release add` publishes it.").classes("muted small")
        else:
            self._frame.link("compare with another release", f"/releases?a={shown[1][1]}").classes("small")

    def _draw_drift(self, found: DeviceDrift | None) -> None:
        if found is None:
            empty("Nothing to compare yet.", "It begins with the first face that this device has followed to its end.")
            return
        for alarm in found.alarms:
            ui.label(alarm.sentence).classes("trouble")
        if not found.alarms:
            usual = "It answers as is usual for it." if found.frozen else "What is usual for it is still being learned."
            ui.label(usual).classes("good" if found.frozen else "muted")
        facts(device_facts.drift(found))
        labels, before, lately = device_facts.mixes(found)
        if labels:
            options = charts.side_by_side(labels, (("baseline", before), ("lately", lately)))
            ui.echart(options).classes("chart")
        with ui.element("div"):
            ui.button("Learn again", icon="restart_alt", on_click=self._question.open).props("flat dense no-caps")

    def _make_question(self) -> None:
        """Beside the parts, which are drawn anew while it is open."""
        with ui.dialog() as self._question, ui.card():
            ui.label(f"Learn what is usual for {self._name} again?").classes("title")
            ui.label(
                "Its baseline and its alarms are dropped, and what it answers from now on becomes the new baseline. "
                "Do so when what it looks at has changed for good, and when its pictures are as they should be."
            )
            with ui.element("div").classes("spread"):
                ui.button("Learn again", on_click=self._relearn).props("no-caps")
                ui.button("Leave as it is", on_click=self._question.close).props("flat no-caps")

    def _relearn(self) -> None:
        self._question.close()
        known = self._source.drift.relearn(self._name)
        ui.notify("Its baseline is being learned again." if known else "It has counted no face yet: nothing to learn.")


def events_of(source: Source, scope: str, name: str, begin: float) -> list[Event] | None:
    """What happened, newest first; None when the database cannot be read."""
    try:
        return source.events.of(scope, name, begin, EVENTS)
    except StoreError:
        return None


def _standing(known: Device | None, look: Look, silent_after: float) -> tuple[Any, ...]:
    if known is None:
        return ()
    return (
        state_of(known, look.time, silent_after),
        update_of(known)[0],
        device_facts.why(known, look.groups),
        tuple(device_facts.groups_of(known, look.groups)),
        f"/predictions?device={known.id}",
    )


def _draw_bar(pieces: Sequence[Segment]) -> None:
    with ui.element("div").classes("bar"):
        for piece in pieces:
            with ui.element("i").classes(piece.state).style(f"left: {piece.left}%; width: {piece.width}%") as made:
                made.props["title"] = piece.text


def _draw_pictures(shown: Any) -> None:
    if shown:
        facts(shown)
    else:
        empty("It tells nothing of its pictures.", "An agent of this version does so with its next window.")


def _draw_events(shown: Any) -> None:
    if shown == "":
        empty("The database cannot be read.", "The bridge's log names the cause and what helps.")
    elif not shown:
        empty("Nothing in the last 24 hours.")
    else:
        with ui.element("div").classes("events small"):
            for each in shown:
                ui.label(each.time).classes("muted")
                ui.label(each.text)

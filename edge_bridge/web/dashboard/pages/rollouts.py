"""The groups with their rollouts, and one group's rollout: waves, what was compared in shadow, verdicts, its past."""

from typing import Any

from fastapi import Request
from nicegui import run, ui

from edge_bridge.web.dashboard import charts, past, rollout_facts
from edge_bridge.web.dashboard.frame import Chart, Frame, Part, empty, facts, link, panel, table
from edge_bridge.web.dashboard.pages.device import events_of
from edge_bridge.web.dashboard.past import DAY_S
from edge_bridge.web.dashboard.source import Look, Source
from edge_bridge.web.dashboard.words import model
from edge_contract.group_status import GroupStatus, ShadowStatus

_PAST_S = 30 * DAY_S
_EVENTS_EVERY = 3
_BEHIND = 50


async def rollouts(source: Source, request: Request) -> None:
    """Draw the list of groups."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/rollouts", look)

    def draw(lines: Any) -> None:
        if not lines:
            empty(
                "No group has been spoken of yet.",
                "`edgewise fleet serve` tells how groups and their rollouts stand; start it on the release side, then:",
                "edgewise rollout start emotion 5 --group shops --shadow 200 --waves 1,10%,50%,100% --soak 30m",
            )
        for line in lines:
            with ui.element("div").classes("problem note" if line.phase != "halted" else "problem bad"):
                with ui.element("div").classes("spread"):
                    link(line.group, f"{frame.prefix}/rollout/{line.group}").classes("title")
                    ui.label(line.release)
                    if line.phase:
                        ui.label(line.phase).classes(f"chip {line.phase}")
                    ui.label(line.place).classes("muted")
                ui.label(f"{line.standing}; {line.when}").classes("small muted")

    with frame.page(lambda look: part.show(rollout_facts.lines(look.groups, look.time))), panel("Rollouts by group"):
        part = Part(draw)
        part.show(rollout_facts.lines(look.groups, look.time))


async def rollout(source: Source, request: Request, group: str) -> None:
    """Draw one group's."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/rollouts", look)
    page = _Rollout(frame, group)
    with frame.page(page.show):
        page.draw()
        await page.show(look)


class _Rollout:
    def __init__(self, frame: Frame, group: str) -> None:
        self._frame, self._source, self._group, self._round = frame, frame.source, group, 0

    def draw(self) -> None:
        """Make the page's parts."""
        self._head = Part(self._draw_head, "panel stack")
        with ui.element("div").classes("stack").style("gap: 16px") as self._full:
            with ui.element("div").classes("columns two"):
                with panel("Waves"):
                    self._stages = Part(self._draw_stages)
                with panel("Verdict of the stage that runs"):
                    self._findings = Part(self._draw_findings)
            with ui.element("div").classes("columns two"):
                self._matrix = Chart(
                    "Same faces, both releases: the old answer (rows), the new one (columns), % of a row",
                    charts.agreement((), ()),
                    "chart tall",
                )
                with panel("Compared in shadow"):
                    self._shadow = Part(self._draw_shadow)
        with ui.element("div").classes("columns two"):
            with panel("Devices that do not run what they should"):
                self._behind = Part(self._draw_behind)
            with panel("What happened, last 30 days"):
                self._events = Part(self._draw_events)

    async def show(self, look: Look) -> None:
        """Show a new look."""
        status = look.groups.get(self._group)
        shown = status.rollout if status is not None else None
        self._full.set_visibility(shown is not None)
        stale = rollout_facts.stale(status, look.time) if status is not None else ""
        self._head.show((status, stale, rollout_facts.standing(shown, look.time) if shown is not None else ()))
        if shown is not None:
            self._stages.show((rollout_facts.stage_rows(shown), rollout_facts.here(shown)))
            self._findings.show(rollout_facts.findings(shown))
            self._matrix.show(charts.agreement(*rollout_facts.matrix(shown.shadow)))
            self._shadow.show(shown.shadow)
        self._behind.show(rollout_facts.behind(status) if status is not None else ())
        if self._round % _EVENTS_EVERY == 0:
            begin = look.time - _PAST_S
            told = await run.io_bound(events_of, self._source, "group", self._group, begin)
            self._events.show(None if told is None else tuple(past.entries(told, begin)))
        self._round += 1

    def _draw_head(self, shown: Any) -> None:
        status: GroupStatus | None
        status, stale, standing = shown
        with ui.element("div").classes("spread"):
            ui.label(self._group).classes("heading")
            if status is not None and status.rollout is not None:
                chip = rollout_facts.chip(status.rollout)
                ui.label(chip).classes(f"chip {chip}")
                ui.label(status.rollout.id).classes("muted")
        if status is None:
            empty(
                "Nothing is known of this group.",
                "`edgewise fleet serve` tells of groups that were pushed to or have a rollout.",
            )
            self._frame.link("all groups", "/rollouts")
            return
        if stale:
            ui.label(stale).classes("trouble")
        if status.rollout is None:
            runs = model(status.desired) if status.desired is not None else "no release"
            ui.label(f"The group is to run {runs}; it has had no rollout.")
            return
        facts(standing)
        digests = f"a={status.rollout.rest.digest}&b={status.rollout.release.digest}"
        self._frame.link("both releases side by side", f"/releases?{digests}").classes("small")

    def _draw_stages(self, shown: Any) -> None:
        rows, here = shown
        table(("Stage", "Share", "Devices", "Began"), rows, right=(1, 2), here=here)

    def _draw_findings(self, shown: Any) -> None:
        if not shown:
            empty("No verdict yet.", "Gates judge while a stage runs, as soon as there is something to judge.")
        for gate, outcome, text in shown:
            with ui.element("div").classes("stack").style("gap: 3px"):
                with ui.element("div").classes("spread"):
                    ui.label(outcome).classes(f"chip {outcome}")
                    ui.label(gate).classes("title")
                ui.label(text).classes("small")

    def _draw_shadow(self, shown: ShadowStatus) -> None:
        lines = rollout_facts.shadow_facts(shown)
        if lines:
            facts(lines)
            ui.label(
                "No device weighs more than others in these counts. The interval is Wilson's over looks; looks at one "
                "person are alike, so the truth may be further off. Gates judge with bounds of their own."
            ).classes("muted small")
        else:
            empty("Nothing was compared.", "A rollout with --shadow shows both releases the same faces first.")

    def _draw_behind(self, shown: Any) -> None:
        if not shown:
            ui.label("None.")
        for device, kind, why in shown[:_BEHIND]:
            with ui.element("div").classes("small"):
                link(device, f"{self._frame.prefix}/device/{device}")
                ui.label(f" ({kind}): {why}").style("display: inline")
        if len(shown) > _BEHIND:
            ui.label(f"and {len(shown) - _BEHIND} more; `edgewise rollout status` names them.").classes("muted small")

    def _draw_events(self, shown: Any) -> None:
        if shown is None:
            empty("The database cannot be read.", "The bridge's log names the cause and what helps.")
        elif not shown:
            empty("Nothing yet.")
        else:
            with ui.element("div").classes("events small"):
                for each in shown:
                    ui.label(each.time).classes("muted")
                    ui.label(each.text)

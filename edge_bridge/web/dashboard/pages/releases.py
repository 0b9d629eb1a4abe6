"""Two releases side by side; the address names them, so it can be handed on."""

from typing import Any

from fastapi import Request
from nicegui import run, ui

from edge_bridge.web.dashboard import charts, device_facts, release_facts, rollout_facts
from edge_bridge.web.dashboard.frame import Frame, Part, empty, facts, panel, parameters, table
from edge_bridge.web.dashboard.release_facts import Pair, Side
from edge_bridge.web.dashboard.source import Look, Source


async def releases(source: Source, request: Request) -> None:
    """Draw it."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/releases", look)
    given = parameters(request)
    page = _Releases(frame, look, given.get("a", "")[:128], given.get("b", "")[:128])
    with frame.page(page.show, every_s=10.0):
        page.draw()
        page.show(look)


class _Releases:
    def __init__(self, frame: Frame, look: Look, a: str, b: str) -> None:
        self._frame, self._look = frame, look
        names = self._names(look)
        self._a = release_facts.chosen(a, names, look.cards)
        self._b = release_facts.chosen(b, names, look.cards)
        if not self._a and not self._b:
            self._b, self._a = (names[:1] or [""])[0], (names[1:2] or names[:1] or [""])[0]

    def draw(self) -> None:
        """Make the page's parts."""
        names = self._names(self._look)
        with panel():
            with ui.element("div").classes("filters"):
                for which, label in (("_a", "Release"), ("_b", "beside")):
                    options = {"": "none", **{name: name for name in names}}
                    ui.select(
                        options,
                        value=getattr(self, which),
                        label=label,
                        on_change=lambda event, which=which: self._choose(which, str(event.value or "")),
                    ).props("dense outlined options-dense")
            self._table = Part(self._draw_table)
        with ui.element("div").classes("columns two"):
            with panel("Answers in the fleet, by face"):
                self._mix = Part(self._draw_mix)
            with panel("On the same faces, in shadow"):
                self._pair = Part(self._draw_pair)
        with ui.element("div").classes("columns two"):
            self._cards = [Part(self._draw_card, "panel stack") for _ in range(2)]

    def show(self, look: Look) -> None:
        """Show a new look."""
        self._look = look
        sides = [
            release_facts.side(name, look.cards.values(), look.sums, look.devices.values(), look.labelled.get(name))
            if name
            else None
            for name in (self._a, self._b)
        ]
        self._table.show(tuple(sides))
        self._mix.show(tuple(sides))
        both = self._a and self._b and self._a != self._b
        self._pair.show(release_facts.paired(self._a, self._b, look.groups) if both else None)
        for part, side in zip(self._cards, sides, strict=True):
            part.show(side)

    def _names(self, look: Look) -> list[str]:
        return release_facts.known(look.cards.values(), look.sums, look.devices.values())

    def _choose(self, which: str, name: str) -> None:
        setattr(self, which, name)
        ui.navigate.history.replace(f"{self._frame.prefix}/releases?a={self._a}&b={self._b}")
        self.show(self._look)

    def _draw_table(self, shown: Any) -> None:
        a, b = shown
        if a is None and b is None:
            empty(
                "No release is known yet.",
                "A release is known once a device runs it, or once its card was published with it:",
                "edgewise release add models/emotion-5.ewm",
            )
            return
        blank = Side("", None, 0, {}, {}, None)
        a, b = a or blank, b or blank
        table(("", a.name, b.name, "difference"), release_facts.rows(a, b), right=(1, 2, 3))
        ui.label(
            "Intervals are 95 %. Both were scored on the same pictures, whose single answers are not known any more: "
            "the interval of the difference takes them for other pictures and is wider than it need be."
        ).classes("muted small")

    def _draw_mix(self, shown: Any) -> None:
        a, b = shown
        sides = [each for each in (a, b) if each is not None and each.answers]
        if not sides:
            empty("No face has been counted to its end yet.", "Devices count each face once, when it has left.")
            return
        if len(sides) == 1 or a.name == b.name:
            ui.echart(charts.mix(sides[0].answers)).classes("chart")
            return
        ui.echart(charts.side_by_side(*release_facts.shares(a, b))).classes("chart")
        table(("Answer", a.name, b.name, "difference"), release_facts.mix(a, b), right=(1, 2, 3))
        ui.label(
            "Each face counts once, with Wilson's interval. These are other people elsewhere: a difference may be "
            "theirs and not the releases'."
        ).classes("muted small")

    def _draw_pair(self, pair: Pair | None) -> None:
        if pair is None:
            empty(
                "No rollout has compared these two.",
                "In shadow a new release is shown the very faces that the old one answers; that tells them apart best.",
                "edgewise rollout start emotion 5 --group shops --shadow 200",
            )
            return
        ui.label(f"{pair.old} answered, {pair.new} beside it; in {', '.join(pair.groups)}").classes("muted small")
        facts(rollout_facts.shadow_facts(pair.shadow))
        ui.echart(charts.agreement(*rollout_facts.matrix(pair.shadow))).classes("chart tall")
        differing = release_facts.disagreements(pair.shadow)
        if differing:
            heads = (pair.old, pair.new, "looks", "of all looks")
            table(heads, differing, right=(2, 3))

    def _draw_card(self, shown: Side | None) -> None:
        if shown is None:
            ui.label("No release chosen.").classes("muted")
            return
        ui.label(shown.name).classes("title")
        if shown.card is None:
            empty("No card of this release has come.", "`edgewise release add` publishes it with the release.")
            return
        facts([("Digest", shown.card.manifest.digest), *device_facts.of_card(shown.card)])

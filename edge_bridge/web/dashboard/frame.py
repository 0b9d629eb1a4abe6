"""What every page has: its head with the way to the others, the sentence that says what is not true now, and parts."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from fastapi import Request
from nicegui import run, ui
from nicegui.elements.mixins.text_element import TextElement

from edge_bridge.web.access.proxy import Request as Asked
from edge_bridge.web.dashboard import theme
from edge_bridge.web.dashboard.chart_parts import Options
from edge_bridge.web.dashboard.source import Look, Source
from edge_bridge.web.guard import ASKED
from edge_contract.visible import visible

REFRESH_S: Final = 2.0
DARK: Final = "edgewise-dark"
"""The cookie that keeps whether pages are dark: 1, 0, or as the browser wants where there is none."""
_PAGES: Final = (
    ("/", "Overview"),
    ("/devices", "Devices"),
    ("/rollouts", "Rollouts"),
    ("/releases", "Releases"),
    ("/alerts", "Alerts"),
    ("/loop", "Loop"),
    ("/predictions", "Predictions"),
    ("/label", "Label"),
)

Refresh = Callable[[Look], Awaitable[None] | None]


class Frame:
    """One open page."""

    def __init__(self, source: Source, request: Request, here: str, look: Look) -> None:
        """`here`: the path of the page among those that the head names."""
        asked: Asked | None = request.scope.get(ASKED)
        self.source, self.here = source, here
        self.prefix = asked.prefix if asked is not None else ""
        self.user = asked.user if asked is not None else ""
        """Whom a proxy let in; empty for no one."""
        self._dark = {"1": True, "0": False}.get(request.cookies.get(DARK, ""))
        self._look = look

    @contextmanager
    def page(self, refresh: Refresh, every_s: float = REFRESH_S) -> Iterator[None]:
        """Draw the page in the block; `refresh` is called with a new look while it is open."""
        ui.add_css(theme.style())
        dark = ui.dark_mode(self._dark)
        with ui.element("div").classes("page"):
            self._head(dark)
            self._warning = ui.label().classes("banner").mark("warning")
            self._show_warning(self._look)
            yield

        async def again() -> None:
            look = await run.io_bound(self.source.look)
            if look is None:  # the server is about to stop
                return
            self._show_warning(look)
            done = refresh(look)
            if inspect.isawaitable(done):
                await done

        ui.timer(every_s, again)

    def link(self, text: str, path: str) -> Any:
        """A link to a page of the bridge."""
        return link(text, self.prefix + path)

    def _show_warning(self, look: Look) -> None:
        self._warning.set_text(look.warning)
        self._warning.set_visibility(bool(look.warning))

    def _head(self, dark: Any) -> None:
        with ui.element("div").classes("top"):
            ui.html(theme.ICON, sanitize=False).classes("icon")
            with ui.element("div"):
                ui.label("Edgewise").classes("name")
                ui.label("fleet of cameras").classes("muted small")
            ui.element("div").classes("grow")
            if self.user:
                ui.label(visible(self.user)).classes("muted small")
            self.link("metrics", "/metrics").classes("muted small", remove="link")
            ui.button(icon="dark_mode", on_click=lambda: self._turn(dark)).props(
                "flat round dense aria-label='Light or dark'"
            ).classes("muted")
            if self.source.web.password_hash is not None:
                with ui.element("form").props(f'method=post action="{self.prefix}/logout"'):
                    ui.button(icon="logout").props("flat round dense type=submit aria-label='Log out'").classes("muted")
        with ui.element("nav").classes("nav"):
            for path, name in _PAGES:
                self.link(name, path).classes("here" if path == self.here else "", remove="link")

    async def _turn(self, dark: Any) -> None:
        """From dark to light or back, whichever of both the browser chose or was told last."""
        dark.value = not await ui.run_javascript("Quasar.Dark.isActive", timeout=5.0)
        path = self.prefix or "/"
        ui.run_javascript(f"document.cookie = '{DARK}={int(dark.value)}; path={path}; max-age=31536000; samesite=lax'")


class Part:
    """A piece of a page that is drawn anew when its value has changed, and only then."""

    def __init__(self, draw: Callable[[Any], None], classes: str = "stack") -> None:
        self._draw, self._value = draw, object()
        self._place = ui.element("div").classes(classes)

    def show(self, value: Any) -> None:
        """Show this value."""
        if value == self._value:
            return
        self._value = value
        self._place.clear()
        with self._place:
            self._draw(value)


class Chart:
    """A chart with its title. It is drawn once the page stands: its library is as large as all the rest together."""

    def __init__(self, title: str, options: Options, classes: str = "chart") -> None:
        self._options = options
        self._chart: Any = None
        with ui.element("div").classes("panel"):
            ui.label(title).classes("title")
            with ui.element("div").classes(classes) as self._place:
                ui.timer(0.05, self._draw, once=True)

    def show(self, options: Options) -> None:
        """Draw it anew if anything changed."""
        if self._options == options:
            return
        self._options = options
        if self._chart is not None:
            self._chart.options.clear()
            self._chart.options.update(options)
            self._chart.update()

    def _draw(self) -> None:
        with self._place:
            self._chart = ui.echart(dict(self._options)).style("width: 100%; height: 100%")


@contextmanager
def panel(title: str = "", note: str = "") -> Iterator[None]:
    """A box of the page."""
    with ui.element("section").classes("panel stack"):
        if title:
            with ui.element("div").classes("spread"):
                ui.label(title).classes("title")
                if note:
                    ui.label(note).classes("muted small")
        yield


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one line each."""
    with ui.element("div").classes("facts"):
        for name, value in pairs:
            ui.label(name)
            ui.label(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), here: int = -1) -> None:
    """A small table of texts; `right`: columns of numbers, `here`: a row that is meant."""
    with ui.element("div").classes("scroll"), ui.element("table").classes("plain"):
        with ui.element("tr"):
            for index, head in enumerate(heads):
                _cell("th", head, right=index in right)
        for number, row in enumerate(rows):
            with ui.element("tr").classes("here" if number == here else ""):
                for index, value in enumerate(row):
                    _cell("td", value, right=index in right)


def link(text: str, address: str, *, elsewhere: bool = False) -> Any:
    """A link to an address that is whole: with the prefix, or of another site."""
    made = TextElement(text=visible(text), tag="a").classes("link")
    made.props["href"] = address
    if elsewhere:
        made.props["rel"], made.props["target"] = "noopener noreferrer", "_blank"
    return made


def empty(text: str, remedy: str = "", words: str = "") -> None:
    """What stands where there is nothing: why, what to do, and the command for it."""
    ui.label(text)
    if remedy:
        ui.label(remedy).classes("muted")
    if words:
        ui.label(words).classes("words")


def parameters(request: Request) -> Mapping[str, str]:
    """Those of the address; of one that stands twice, the last."""
    return dict(request.query_params)


def _cell(tag: str, text: str, *, right: bool) -> None:
    TextElement(text=text, tag=tag).classes("right" if right else "")

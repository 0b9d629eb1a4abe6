"""One crop at a time, answered with one key; the model's answer is hidden until it is asked for."""

import json
from typing import Any, Final
from urllib.parse import unquote

from fastapi import Request
from nicegui import run, ui

from edge_bridge.labels.annotations import Progress
from edge_bridge.labels.answers import Answer
from edge_bridge.labels.desk import Desk, Shown
from edge_bridge.storage.engine import StoreError
from edge_bridge.web.dashboard import label_facts
from edge_bridge.web.dashboard.frame import Frame, Part, empty, panel
from edge_bridge.web.dashboard.source import Look, Source

ANNOTATOR: Final = "edgewise-annotator"
"""The cookie that keeps the name of who labels at this browser, where no proxy names its user."""


async def label(source: Source, request: Request) -> None:
    """Draw it."""
    look = await run.io_bound(source.look)
    frame = Frame(source, request, "/label", look)
    if source.desk is None:
        with frame.page(lambda _look: None, every_s=10.0), panel("Labels from the field"):
            empty(
                "Labels are not collected here.",
                "They are off by default: make a labelling key, name it in the bridge's settings, give its public half "
                "to the devices, and state there on whose word crops are kept. The page is docs/labelling.md.",
                'edgewise-bridge labels key labelling.pem\n\n[labels]\nkey = "labelling.pem"',
            )
        return
    who = label_facts.name_of(frame.user or _unquoted(request.cookies.get(ANNOTATOR, "")))
    page = _Label(frame, source.desk, who)
    with frame.page(page.look, every_s=5.0):
        page.draw()
    await page.begin()


class _Label:
    def __init__(self, frame: Frame, desk: Desk, who: str) -> None:
        self._frame, self._desk, self._who = frame, desk, who
        self._shown: Shown | None = None
        self._model_shown = False
        self._busy = False
        self._problem = ""
        self._progress: Progress | None = None

    def draw(self) -> None:
        """Make the page's parts."""
        with ui.element("div").classes("columns two"):
            with panel():
                self._picture = Part(self._draw_picture)
            with panel():
                self._choices = Part(self._draw_choices)
                self._model = Part(self._draw_model)
                self._state = Part(self._draw_state)
        # A button that was clicked keeps the focus, and the next answer may come by key.
        ui.keyboard(on_key=self._on_key, repeating=False, ignore=["input", "select", "textarea"])

    async def begin(self) -> None:
        """Show the first crop, once it is known who answers."""
        if self._who:
            await self._go_on()
        else:
            self._show()

    async def look(self, _look: Look) -> None:
        """Look again whether a crop has come, where none waited."""
        if self._who and self._shown is None and not self._busy:
            await self._go_on()

    async def _on_key(self, event: Any) -> None:
        modified = event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta
        if not event.action.keydown or event.action.repeat or modified or not self._who:
            return
        match label_facts.pressed(str(event.key), self._shown.labels if self._shown is not None else ()):
            case "undo":
                await self._take_back()
            case "model":
                self._show_model()
            case Answer() as answer:
                await self._answer(answer)

    async def _answer(self, answer: Answer) -> None:
        shown = self._shown
        if shown is None or self._busy:  # a second key before the next crop is there would answer that one unseen
            return
        self._busy = True
        try:
            await run.io_bound(self._desk.answer, shown.id, self._who, answer, shown=self._model_shown)
        except StoreError as error:
            self._fail(error)
            return
        finally:
            self._busy = False
        await self._go_on()

    async def _take_back(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            back = await run.io_bound(self._desk.take_back, self._who)
            progress = await run.io_bound(self._desk.progress, self._who)
        except StoreError as error:
            self._fail(error)
            return
        finally:
            self._busy = False
        if back is None:
            ui.notify("You have no answer to take back.")
            return
        self._set(back, progress)

    def _show_model(self) -> None:
        if self._shown is not None:
            self._model_shown = True
            self._show()

    async def _go_on(self) -> None:
        self._busy = True
        try:
            found = await run.io_bound(self._desk.next, self._who)
            progress = await run.io_bound(self._desk.progress, self._who)
        except StoreError as error:
            self._fail(error)
            return
        finally:
            self._busy = False
        self._set(found, progress)

    def _set(self, shown: Shown | None, progress: Progress | None) -> None:
        self._shown, self._progress, self._model_shown, self._problem = shown, progress, False, ""
        self._show()

    def _fail(self, error: StoreError) -> None:
        self._problem = str(error)
        self._show()

    def _show(self) -> None:
        self._picture.show((self._who, self._shown.id if self._shown is not None else None))
        self._choices.show(self._shown.labels if self._shown is not None else None)
        self._model.show((self._shown, self._model_shown))
        self._state.show((self._problem, self._progress, self._who))

    def _draw_picture(self, value: Any) -> None:
        who, crop = value
        if not who:
            self._ask_name()
        elif crop is None:
            empty(
                "Nothing waits to be labelled.",
                "Crops come from devices whose settings have a consent that is in force and this bridge's labelling "
                "key; what they keep and send, `edgewise-agent status` says on the device. This page looks again.",
            )
        else:
            ui.element("img").props(
                f'src="{self._frame.prefix}/label/picture/{crop}.png" alt="the face to label" draggable=false'
            ).classes("crop")

    def _draw_choices(self, labels: Any) -> None:
        if labels is None:
            return
        with ui.element("div").classes("keys"):
            for choice in label_facts.choices(labels):
                with ui.button(on_click=lambda choice=choice: self._answer(choice.answer)).props(
                    "flat no-caps align=left"
                ):
                    if choice.key:
                        ui.label(choice.key).classes("key")
                    ui.label(choice.text)

    def _draw_model(self, value: Any) -> None:
        shown, model_shown = value
        if shown is None:
            return
        with ui.element("div").classes("keys"):
            with ui.button(on_click=self._take_back).props("flat no-caps align=left"):
                ui.label("z").classes("key")
                ui.label("take back")
            with ui.button(on_click=self._show_model).props("flat no-caps align=left"):
                ui.label("m").classes("key")
                ui.label("model's answer")
        if model_shown:
            for line in label_facts.guess_lines(shown):
                ui.label(line).mark("model-answer")
            ui.label("An answer given now counts for training and not for accuracy.").classes("muted small")

    def _draw_state(self, value: Any) -> None:
        problem, progress, who = value
        if problem:
            ui.label(problem).classes("banner")
        if who and progress is not None:
            ui.label(label_facts.progress_line(progress)).classes("muted").mark("progress")
            ui.label(f"You answer as {who}.").classes("muted small")

    def _ask_name(self) -> None:
        ui.label("Who labels?").classes("title")
        ui.label("Your name stands beside each of your answers, so that they can be compared with others'.").classes(
            "muted"
        )
        name = ui.input("Your name").props(f"outlined dense maxlength={label_facts.NAME} autofocus")

        async def begin() -> None:
            self._who = label_facts.name_of(str(name.value or ""))
            if not self._who:
                return
            path = self._frame.prefix or "/"
            ui.run_javascript(
                f"document.cookie = '{ANNOTATOR}=' + encodeURIComponent({_script_text(self._who)}) + "
                f"'; path={path}; max-age=31536000; samesite=lax'"
            )
            await self._go_on()

        name.on("keydown.enter", begin)
        ui.button("Begin", on_click=begin).props("no-caps")


def _unquoted(cookie: str) -> str:
    return unquote(cookie[:1024])


def _script_text(text: str) -> str:
    """A text as JavaScript's own, which no character of it ends."""
    return json.dumps(text).replace("<", "\\u003c")

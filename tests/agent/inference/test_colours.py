"""A model of colours is never shown a grey picture: not the first one, not the one on its way when models change."""

import itertools
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import Source, SourceTraits
from edge_agent.inference.pipeline import Pipeline
from edge_agent.tools.predict import predict
from edge_contract.package import ModelPackage, read_file
from edge_vision.classifier import Classifier
from edge_vision.faces import HaarDetector
from tests.agent.inference.test_pipeline import EAGER, Notes
from tests.conftest import REPOSITORY

RED = np.zeros((48, 64, 3), np.uint8)
RED[..., 2] = 250


def fixture(name: str) -> ModelPackage:
    return read_file(REPOSITORY / "tests" / "fixtures" / f"{name}.ewm")


def colours() -> Classifier:
    """Says red, green or blue; of a grey picture it says green."""
    package = fixture("colours-1")
    return Classifier(package.model, package.manifest)


def brightness() -> Classifier:
    """Says dark or light, and takes grey."""
    package = fixture("short-1")
    return Classifier(package.model, package.manifest)


class RedCamera:
    """A camera in front of a red wall that gives grey or colour as it is asked; it ends after `frames`.

    Live, it waits for each picture to be taken, so that a test knows which one is on its way.
    """

    def __init__(self, frames: int, *, live: bool = False) -> None:
        self.settings = SourceSettings(pace="fast")
        self.traits = SourceTraits("red", kind="file", live=live, camera=False)
        self.fps = 30.0
        self.asked: list[bool] = []
        self._left = frames

    def connect(self) -> "RedCamera":
        return self

    def grab(self) -> bool:
        if self.traits.live:
            time.sleep(0.005)
        self._left -= 1
        return self._left >= 0

    def retrieve(self, *, gray: bool) -> np.ndarray:
        self.asked.append(gray)
        return np.asarray(cv2.cvtColor(RED, cv2.COLOR_BGR2GRAY), np.uint8) if gray else RED

    def close(self) -> None:
        """Nothing is held."""


def run(source: Source, classifier: Classifier | None, on_frame: Callable[[int, Pipeline], None]) -> Notes:
    """Run to the end; `on_frame` is called before each frame with its number, from 1."""
    running: list[Pipeline] = []
    notes = Notes(lambda number: on_frame(number, running[0]))
    chance = random.Random(1)  # noqa: S311
    running.append(
        Pipeline(source, HaarDetector(), classifier, EAGER, clock=time.monotonic, observer=notes, chance=chance)
    )
    running[0].run(threading.Event())
    return notes


def unchanged(number: int, pipeline: Pipeline) -> None:
    """No model replaces the first one."""


def labels(notes: Notes) -> list[str]:
    return [event.label for event in notes.predictions]


@pytest.mark.parametrize("name", ["red.png", "red.jpg"])
def test_look_on_one_red_picture_says_red(name: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / name), RED)
    said: list[str] = []
    summary = predict(
        open_source(SourceSettings(url=str(tmp_path / name), pace="fast")), HaarDetector(), colours(), EAGER,
        on_prediction=lambda event: said.append(event.label), on_error=said.append,
    )  # fmt: skip
    assert (said, summary.frames) == (["red"], 1)


@pytest.mark.parametrize("live", [False, True])
def test_every_frame_from_the_first_on_is_asked_for_in_the_models_colours(live: bool) -> None:
    for model, wanted in ((colours, False), (brightness, True)):
        camera = RedCamera(6, live=live)
        notes = run(camera, model(), unchanged)
        assert camera.asked == [wanted] * 6
        assert set(labels(notes)) == {"dark" if wanted else "red"}


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "order",
    [*itertools.product("cg", repeat=2), *itertools.product("ncg", "cg", "cg")],
    ids="-".join,
)
def test_whatever_model_replaces_whatever_model_no_answer_is_wrong(order: tuple[str, ...], live: bool) -> None:
    """n: no model at first; c: one of colours; g: a grey one. One after the other, some frames apart."""
    kinds = {"c": colours, "g": brightness}
    first = None if order[0] == "n" else kinds[order[0]]()
    swaps = {4 * number: kinds[kind] for number, kind in enumerate(order[1:], start=1)}

    def on_frame(number: int, pipeline: Pipeline) -> None:
        if number in swaps:
            pipeline.swap(swaps[number]())

    notes = run(RedCamera(40, live=live), first, on_frame)
    assert notes.errors == []
    assert set(labels(notes)) <= {"red", "dark"}
    last = "red" if order[-1] == "c" else "dark"
    assert labels(notes)[-1] == last
    if not live:  # then every frame is handed over: with a model that can be shown it, each has its answer
        # (three are on their way: in the pipeline, in the mailbox, and decoded behind it)
        unanswered = 40 - len(notes.predictions) - (4 - 1 if first is None else 0)
        assert 0 <= unanswered <= (3 if first is None else 0)


def test_two_swaps_before_a_frame_leave_the_one_on_its_way_unanswered_or_right() -> None:
    camera = RedCamera(30)

    def on_frame(number: int, pipeline: Pipeline) -> None:
        if number == 10:
            pipeline.swap(brightness())
            time.sleep(0.05)  # a frame is decoded to grey meanwhile
            pipeline.swap(colours())

    notes = run(camera, colours(), on_frame)
    assert set(labels(notes)) == {"red"}
    assert notes.counts["frames"] == 30

"""A model on trial is judged by its own answers: a real pipeline and a real update thread, scene by scene."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.settings import PipelineSettings
from edge_agent.models.slots import ActiveModel
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.observer import MetricsObserver
from edge_simulator.broker import Broker
from edge_vision.classifier import Classifier, ModelFailedError
from edge_vision.faces import Face
from edge_vision.picture import Box, Pixels
from tests.agent.update.update_bench import Device, ReleaseSide, quick_waits, tiny
from tests.eventually import eventually


class Scene:
    """A detector whose scene a test sets: empty, with a face, or one on which the detector fails."""

    name = "scene"

    def __init__(self) -> None:
        self.shows = "nothing"

    def detect(self, picture: Pixels) -> tuple[Face, ...]:
        time.sleep(0.005)  # the pictures come as fast as they are taken: leave the processor to the other tests
        if self.shows == "nothing":
            return ()
        if self.shows == "trouble":
            raise cv2.error("out of memory")
        height, width = picture.shape[:2]
        return (Face(Box(width / 4, height / 4, width / 2, height / 2), 0.9),)


class Broken(Classifier):
    """A model that loads and cannot be run."""

    def raw(self, tensor: Pixels) -> Pixels:  # noqa: ARG002
        raise ModelFailedError("it cannot be run (no memory)")


class Camera:
    """A device with a pipeline on an endless folder of changing pictures."""

    def __init__(self, folder: Path, broker: Broker, side: ReleaseSide) -> None:
        pictures = folder / "pictures"
        pictures.mkdir()
        noise = np.random.default_rng(1)
        for number in range(3):
            cv2.imwrite(str(pictures / f"{number}.png"), noise.integers(0, 256, (120, 160), np.uint8))
        self.scene, self.meter, self.broken = Scene(), Meter(), set[int]()
        self.device = Device(
            folder / "device", broker.port, side.repository.first_root(), feed=False, on_activate=self._activate
        )
        observer = MetricsObserver(
            self.meter, lambda _: None, device="d", site="s", per_minute=1, clock=time.monotonic,
            now=time.time,
        )  # fmt: skip
        self._pipeline = Pipeline(
            open_source(SourceSettings(url=str(pictures), pace="fast", loop=True)),
            self.scene,
            None,
            PipelineSettings(),
            clock=time.monotonic,
            observer=observer,
            evidence=self.device.updates,
            chance=random.Random(1),  # noqa: S311
        )

    def _activate(self, model: ActiveModel) -> None:
        kind = Broken if model.manifest.release in self.broken else Classifier
        self._pipeline.swap(kind(model.model, model.manifest))

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._pipeline.run, args=(stop,), daemon=True)
        with self.device:
            thread.start()
            try:
                yield
            finally:  # or it would take a core of all tests that follow
                stop.set()
                thread.join()

    def pass_frames(self, count: int) -> None:
        """Wait until so many more frames were worked on."""
        goal = self.meter.read().counters["frames"] + count
        eventually(lambda: self.meter.read().counters["frames"] >= goal, "frames")


@pytest.fixture
def camera(tmp_path: Path, broker: Broker, side: ReleaseSide, monkeypatch: pytest.MonkeyPatch) -> Camera:
    quick_waits(monkeypatch)
    return Camera(tmp_path, broker, side)


@pytest.fixture
def side(tmp_path: Path, broker: Broker) -> ReleaseSide:
    return ReleaseSide(tmp_path / "fleet", broker.port)


def test_a_trial_in_an_empty_scene_stays_undecided_and_says_so_until_a_face_comes(
    camera: Camera, side: ReleaseSide
) -> None:
    with camera.running():
        side.push(tiny(1))
        camera.device.until("probation")
        camera.pass_frames(100)
        assert camera.device.until("probation", "on trial: 0 of 3 faces answered.")
        camera.scene.shows = "a face"
        camera.device.until("committed")


def test_a_detector_that_fails_is_reported_as_the_detectors_failure_and_condemns_no_model(
    camera: Camera, side: ReleaseSide
) -> None:
    camera.scene.shows = "trouble"
    with camera.running():
        model = side.push(tiny(1))
        camera.device.until("probation")
        camera.pass_frames(100)
        counters = camera.meter.read().counters
        assert counters["errors_detector"] > 0
        assert counters["errors_detector"] == counters["errors"]
        assert camera.device.reported.state == "probation"
        assert camera.device.store.failure(model.digest, "test") is None
        camera.scene.shows = "a face"
        camera.device.until("committed")


def test_a_model_that_cannot_be_run_on_faces_is_rolled_back_and_its_digest_remembered(
    camera: Camera, side: ReleaseSide
) -> None:
    camera.scene.shows, camera.broken = "a face", {2}
    with camera.running():
        good = side.push(tiny(1))
        camera.device.until("committed")
        bad = side.push(tiny(2))
        camera.device.until("rolled-back", "it cannot be run (no memory)")
        assert camera.device.running == good.digest
        assert camera.device.store.failure(bad.digest, "test") is not None
        assert camera.meter.read().counters["errors_model"] > 0

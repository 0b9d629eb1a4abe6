"""What the agent's benchmark looks at: a clip of one, two, then three moving faces, and how steady the answers are."""

import time
from itertools import chain
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from demo.clip import portrait
from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.locate import FaceLocator
from edge_agent.inference.recognize import Recognizer
from edge_agent.inference.settings import ConsensusSettings, LocateSettings
from edge_contract.package import ModelPackage
from edge_vision.classifier import Classifier
from edge_vision.faces import open_detector
from edge_vision.recognition import answer, search_copy
from tests.agent.scenes import moving_face, write_clip

FPS: Final = 30


def make(path: Path, seconds: float) -> int:
    """640x480, a third of it with one face, a third with two, a third with three, and a sensor's noise; its frames."""
    gray = np.asarray(cv2.cvtColor(portrait(), cv2.COLOR_BGR2GRAY), np.uint8)
    rng = np.random.default_rng(0)
    each = round(seconds * FPS / 3)
    scenes = chain.from_iterable(moving_face(gray, each, faces=faces) for faces in (1, 2, 3))
    noisy = (np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for scene in scenes)
    return write_clip(path, noisy, fps=FPS)


def flips(clip: Path, detector: Path | None, model: ModelPackage) -> dict[str, float]:
    """How often a face's label changes, per face and minute of the clip: each frame by itself, and by the agent."""
    source = open_source(SourceSettings(url=str(clip), pace="fast"))
    stream = source.connect()
    locator = FaceLocator(open_detector(detector), LocateSettings(motion=0.0), time.monotonic, fps=stream.fps)
    classifier = Classifier(model.model, model.manifest)
    recognizer = Recognizer(classifier, ConsensusSettings(), time.monotonic)
    last: dict[int, int] = {}
    raw = agreed = faces = frame = 0
    while stream.grab():
        picture = stream.retrieve(gray=True)
        frame += 1
        copy = search_copy(picture)
        moment = frame / stream.fps
        located = locator.locate(copy.pixels, moment)
        for track in located.faces:
            box = copy.in_picture(track.box)
            label = int(answer(classifier, picture, box).probabilities.argmax())
            faces += 1
            raw += last.get(track.number, label) != label
            last[track.number] = label
            if recognizer.wants(track.number, moved=located.moved, moment=moment):
                seen = recognizer.recognize(track.number, picture, box, moment)
                agreed += seen.announcement is not None and seen.announcement.changed
        locator.refresh(copy.pixels, moment)
    minutes = faces / stream.fps / 60
    return {
        "without_consensus": round(raw / minutes, 1),
        "with_consensus": round(max(0, agreed - len(last)) / minutes, 1),  # a face's first label is no flip
        "face_minutes": round(minutes, 3),
    }

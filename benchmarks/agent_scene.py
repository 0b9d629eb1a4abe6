"""`make bench-agent SCENE=1`: what measuring the picture and counting tracks cost the agent, in processor time a frame.

The pipeline as it ships works through the clip as fast as it can, with and without, in turn: the difference is smaller
than what the machine's other work does to either, so the parts are timed alone as well, and their sum is the answer.
"""

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from benchmarks import agent_clip
from benchmarks.agent_run import MODEL
from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.events import FaceLook
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.sampling import SPACING_S
from edge_agent.inference.settings import PipelineSettings
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.observer import MetricsObserver
from edge_agent.telemetry.scene_meter import SceneMeter
from edge_contract.metrics import DeviceCounter
from edge_contract.package import read_file
from edge_vision.classifier import Classifier
from edge_vision.faces import open_detector
from edge_vision.quality import quality_of, quality_of_tensor
from edge_vision.recognition import search_copy

ROUNDS: Final = 6
SECONDS: Final = 20.0
_FPS: Final = 30.0
_REPEATS: Final = 500


def frame_ms(clip: Path, detector: Path | None, scene: SceneMeter | None) -> float:
    """Processor milliseconds of this process for one frame, over the clip."""
    package, meter = read_file(MODEL), Meter()
    observer = MetricsObserver(
        meter, lambda _: None, device="d", site="s", per_minute=120, clock=time.monotonic, now=time.time
    )
    pipeline = Pipeline(
        open_source(SourceSettings(url=str(clip), pace="fast")),
        open_detector(detector),
        Classifier(package.model, package.manifest),
        PipelineSettings(),
        clock=time.monotonic,
        observer=observer,
        scene=scene,
        chance=random.Random(0),  # noqa: S311  # jitter, not a secret
    )
    began = time.process_time()
    pipeline.run(threading.Event())
    return 1e3 * (time.process_time() - began) / meter.read().counters[DeviceCounter.FRAMES]


def part_us(part: Callable[[], object]) -> float:
    """Processor microseconds of one call, the median of some."""
    taken = []
    for _ in range(_REPEATS):
        began = time.thread_time_ns()
        part()
        taken.append((time.thread_time_ns() - began) / 1e3)
    return statistics.median(taken)


def measure(clip: Path, detector: Path | None) -> dict[str, Any]:
    """All figures, as they are printed."""
    without, having = [], []
    for _ in range(ROUNDS):
        without.append(frame_ms(clip, detector, None))
        having.append(frame_ms(clip, detector, SceneMeter()))
    opened = cv2.VideoCapture(str(clip))
    picture = search_copy(np.asarray(opened.read()[1], np.uint8)).pixels
    opened.release()
    tensor, meter = np.ascontiguousarray(picture[:48, :48])[None, :, :, None], SceneMeter()
    a_picture = part_us(lambda: meter.picture(quality_of(picture)))
    a_face = part_us(lambda: meter.face(FaceLook(quality_of_tensor(tensor), 100, 0.0)))
    a_frame = part_us(lambda: meter.seen(1, 0.0))
    every = (a_picture + a_face) / (SPACING_S * _FPS) + a_frame
    return {
        "without_ms": [round(value, 3) for value in without],
        "with_ms": [round(value, 3) for value in having],
        "picture_us": round(a_picture, 1),
        "face_us": round(a_face, 1),
        "counting_us": round(a_frame, 2),
        "frame_us": round(every, 1),
        "share": round(every / 1e3 / statistics.median(without), 4),
    }


def main(detectors: tuple[Path, ...]) -> None:
    """Measure and print; the only line is one JSON object."""
    detector = next((path for path in detectors if path.is_file()), None)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "faces.avi"
        agent_clip.make(clip, SECONDS)
        print(json.dumps(measure(clip, detector)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("detector", type=Path, nargs="?", help="YuNet's ONNX file; Haar without it")
    options = parser.parse_args()
    main(() if options.detector is None else (options.detector,))

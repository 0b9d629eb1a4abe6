"""Arm instructions of one inference, and of one frame by stage: runs inside the emulated device, prints one JSON line.

The pipeline takes its clock from outside, so here it gets one that ticks once for each instruction its own thread has
executed (`instructions.c`). What the pipeline then reports as nanoseconds of a stage are instructions. The counts do
not depend on the load of the machine, and hardly on the run: milliseconds under emulation would mean nothing.
"""

import argparse
import json
import mmap
import os
import random
import statistics
import threading
from pathlib import Path
from typing import Final

import numpy as np

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.events import PredictionEvent
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.settings import PipelineSettings
from edge_agent.telemetry.scene_meter import SceneMeter
from edge_contract.messages import Stage
from edge_contract.package import read_file
from edge_vision.classifier import Classifier
from edge_vision.faces import open_detector

_IDENTITY: Final = 511
"""The word of the counts file that says which thread called getppid last."""
_NANOSECOND: Final = 1e-9
"""One instruction in the pipeline's seconds: near enough to a 1.5-GHz core for it to choose k as it would there."""
_NEVER: Final = 1e9
"""Deadlines in seconds: two threads' counts do not grow together, so none of them may ever seem overdue."""
_WARM_UP, _RUNS = 3, 11


class InstructionClock:
    """Counts the calling thread's instructions; reading costs about 600 of them."""

    def __init__(self, counts: Path) -> None:
        with counts.open("rb") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)).cast("Q")
        self._own = threading.local()
        self._asking = threading.Lock()

    def __call__(self) -> float:
        """The thread's instructions, as seconds of a processor that executes one a nanosecond."""
        return self.count() * _NANOSECOND

    def count(self) -> int:
        """Instructions this thread has executed."""
        try:
            word: int = self._own.word
        except AttributeError:
            with self._asking:
                os.getppid()
                word = self._own.word = self._words[_IDENTITY]
        return self._words[word]

    def all_threads(self) -> int:
        """Instructions of the whole process."""
        return sum(self._words[:_IDENTITY])


class StageCounts:
    """A pipeline's observer that adds up what each stage took."""

    def __init__(self, clock: InstructionClock) -> None:
        self._clock = clock
        self.frames = self.faces_seen = 0
        self.spent: dict[str, list[float]] = {}
        self.errors: list[str] = []
        self.first = 0
        """Instructions of the process when the second frame came: what it does once stays out."""

    def stage(self, name: Stage, seconds: float) -> None:
        """A stage of one frame; "whole" spans two threads here and says nothing."""
        if self.first and name != "whole":
            self.spent.setdefault(name, []).append(seconds / _NANOSECOND)

    def frame(self, dropped_before: int) -> None:
        if self.frames and not self.first:
            self.first = self._clock.all_threads()
        self.frames += 1 + dropped_before

    def faces(self, count: int) -> None:
        self.faces_seen += count

    def classified(self, label: str, confidence: float) -> None:
        """What it is does not matter here."""

    def prediction(self, event: PredictionEvent) -> None:
        """What it is does not matter here."""

    def error(self, kind: str, detail: str) -> None:
        self.errors.append(f"{kind}: {detail}")

    def reconnect(self) -> None:
        """A file does not reconnect."""


def invocation(classifier: Classifier, clock: InstructionClock) -> int:
    """Instructions from input tensor to answer, the median of some runs after a warm-up."""
    tensor = np.random.default_rng(0).integers(0, 256, classifier.manifest.input.shape, np.uint8)
    runs = []
    for _ in range(_WARM_UP + _RUNS):
        began = clock.count()
        classifier.raw(tensor)
        runs.append(clock.count() - began)
    return int(statistics.median(runs[_WARM_UP:]))


def frames(clip: Path, detector: Path | None, classifier: Classifier, clock: InstructionClock) -> dict[str, object]:
    """Work through the clip as the agent would; mean instructions a frame, by stage and in all."""
    source = open_source(SourceSettings(url=str(clip), pace="fast", read_timeout=_NEVER, open_timeout=_NEVER))
    counts = StageCounts(clock)
    pipeline = Pipeline(
        source,
        open_detector(detector),
        classifier,
        PipelineSettings(),
        clock=clock,
        observer=counts,
        scene=SceneMeter(),
        chance=random.Random(0),  # noqa: S311  # jitter, not a secret
    )
    pipeline.run(threading.Event())
    if counts.errors:
        raise SystemExit(f"frames failed: {counts.errors[:3]}")
    counted = counts.frames - 1
    whole = (clock.all_threads() - counts.first) / counted
    stages = {name: sum(spent) / counted for name, spent in counts.spent.items()}
    per_frame = {**stages, "rest": whole - sum(stages.values()), "whole": whole}
    return {
        "frames": counted,
        "faces": counts.faces_seen,
        "runs": {name: len(spent) for name, spent in counts.spent.items()},
        "per_run": {name: round(statistics.fmean(spent)) for name, spent in counts.spent.items()},
        "per_frame": {name: round(value) for name, value in per_frame.items()},
    }


def main() -> None:
    """Count one package on one clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=Path, required=True, help="the file that the plugin counts in")
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--detector", type=Path)
    options = parser.parse_args()
    clock = InstructionClock(options.counts)
    package = read_file(options.package)
    classifier = Classifier(package.model, package.manifest)
    found: dict[str, object] = {
        "runtime": classifier.runtime,
        "model": f"{package.manifest.name} {package.manifest.release}",
        "invoke": invocation(classifier, clock),
    }
    if options.clip is not None:
        found |= frames(options.clip, options.detector, classifier, clock)
    print(json.dumps(found))  # noqa: T201  # the answer


if __name__ == "__main__":
    main()

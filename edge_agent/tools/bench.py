"""What the model costs on this device: the agent's own pipeline, timed stage by stage, beside the manifest's budgets.

Two runs of the pipeline that `run` uses: paced like the camera (what share of the processor it takes, how late an
answer is), then as fast as frames can be taken (how many a second are possible; not with a camera, which has its own
pace). The memory that counts against the budget is measured by the self-test, in the process that releases are
tried in. No broker, no spool: those cost the same whatever the model.
"""

import random
import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_agent.camera.source import Source
from edge_agent.inference.events import PredictionEvent
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.settings import PipelineSettings
from edge_agent.models.selftest import Verdict
from edge_agent.telemetry.board import Board
from edge_agent.telemetry.scene_meter import SceneMeter
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import Budget
from edge_contract.messages import STAGES, Stage
from edge_contract.metrics import DeviceGauge
from edge_vision.classifier import Classifier
from edge_vision.faces import FaceDetector

_WARM_UP: Final = 15
"""Frames before anything is noted: caches fill, buffers are allocated, the governor raises the clock."""

_DROPPED: Final = 0.01
"""Share of the frames that may be dropped by a device that keeps up: a hiccup is not the model's."""
_CLEARLY: Final = 1.5
"""Times the measured rate from which on the pipeline alone cannot be what held it up."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage took."""

    n: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the pipeline, after the warm-up."""

    frames: int
    dropped: int
    faces: int
    """Faces of all frames; one in ten frames counts ten times."""
    errors: int
    seconds: float
    fps: float
    """Frames worked on, a second."""
    cpu_share: float
    """Of one core, all threads of this process: 0 to the number of cores."""
    stages: dict[Stage, StageTime]
    """`whole` is from a frame in memory to its predictions; detection of known faces comes after it."""
    resident_mb: float | None
    """Of this process at the end; megabytes of a million bytes."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What this device can do with this model."""

    model: str
    runtime: str
    detector: str
    source: str
    board: str
    rate: float
    """Frames a second that the source was asked for."""
    paced: Run
    possible_fps: float | None
    """Measured without a pace; None for a camera."""
    invoke_p95_ms: float | None
    invoke_budget_ms: float
    memory_mb: float | None
    """What loading and running the model adds to a process, by the self-test."""
    memory_budget_mb: float
    complaints: tuple[str, ...]
    """Why this device is not fit for the model; empty when it is."""


def run(
    source: Source,
    detector: FaceDetector,
    classifier: Classifier,
    settings: PipelineSettings,
    *,
    seconds: float,
    board: Board,
    clock: Callable[[], float] = time.monotonic,
    cpu: Callable[[], float] = time.process_time,
) -> Run:
    """Work for `seconds` after the warm-up, or until the source ends.

    Raises:
        SourceError: the source cannot be read.
        EdgewiseError: too few frames came to measure anything.
    """
    stop = threading.Event()
    watch = _Stopwatch(stop, seconds, clock, cpu)
    late = threading.Timer(seconds + source.settings.open_timeout, stop.set)  # a camera may give no frame at all
    late.daemon = True
    late.start()
    try:
        chance = random.Random(0)  # noqa: S311  # jitter of waits, not a secret
        scene = SceneMeter()  # as the agent has one: it takes time too
        Pipeline(source, detector, classifier, settings, clock=clock, observer=watch, scene=scene, chance=chance).run(
            stop
        )
    finally:
        late.cancel()
    if watch.frames < 1 or watch.seconds <= 0:
        if watch.last_error:
            raise EdgewiseError(f"{source.traits.name} gave {watch.seen} frames: {watch.last_error}")
        raise EdgewiseError(f"{source.traits.name} gave no more than {watch.seen} frames", remedy="try a longer clip")
    resident = board.gauges().get(DeviceGauge.RSS_BYTES)
    return Run(
        frames=watch.frames,
        dropped=watch.dropped,
        faces=watch.found,
        errors=watch.errors,
        seconds=round(watch.seconds, 3),
        fps=round(watch.frames / watch.seconds, 1),
        cpu_share=round(watch.cpu_s / watch.seconds, 4),
        stages={name: _percentiles(taken) for name, taken in watch.stages.items() if taken},
        resident_mb=None if resident is None else round(resident / 1e6, 1),
    )


def complaints(paced: Run, possible_fps: float | None, budget: Budget, selftest: Verdict) -> tuple[str, ...]:
    """What does not hold here, one sentence each."""
    found = []
    if not selftest.passed:
        found.append(f"the self-test failed: {selftest.reason}")
    invoke = paced.stages.get("invoke")
    if invoke is None:
        found.append("no face was found, so the model never ran; point the camera at one, or take the built-in picture")
    elif invoke.p95_ms > 1e3 * budget.latency:
        found.append(f"95 of 100 inferences end within {invoke.p95_ms:.1f} ms, the budget is {1e3 * budget.latency:g}")
    share = paced.dropped / (paced.frames + paced.dropped)
    if share > _DROPPED:
        possible = f"; {possible_fps:.0f} a second are possible" if possible_fps is not None else ""
        if possible_fps is not None and possible_fps > paced.fps * _CLEARLY:
            possible += ", so something else keeps this device busy"
        found.append(f"{share:.0%} of the frames were dropped at this rate{possible}")
    if paced.errors:
        found.append(f"{paced.errors} frames failed")
    return tuple(found)


def _percentiles(seconds: "array[float]") -> StageTime:
    ordered = sorted(seconds)
    at = [1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95)]
    return StageTime(len(ordered), round(at[0], 3), round(at[1], 3))


class _Stopwatch:
    """A pipeline's observer that keeps every duration, and stops the pipeline when it has enough."""

    def __init__(
        self, stop: threading.Event, enough: float, clock: Callable[[], float], cpu: Callable[[], float]
    ) -> None:
        self.seen = self.dropped = self.found = self.errors = 0
        self.last_error = ""
        self.stages: dict[Stage, array[float]] = {stage: array("d") for stage in STAGES}
        self._stop, self._enough, self._clock, self._cpu = stop, enough, clock, cpu
        self._began = (0.0, 0.0)
        self.seconds = self.cpu_s = 0.0

    @property
    def frames(self) -> int:
        """Frames noted."""
        return max(0, self.seen - _WARM_UP - 1)  # the last has only begun

    @property
    def _noting(self) -> bool:
        return self.seen > _WARM_UP

    def frame(self, dropped_before: int) -> None:
        self.seen += 1
        if self.seen == _WARM_UP + 1:
            self._began = (self._clock(), self._cpu())
        elif self._noting:
            self.dropped += dropped_before
            self.seconds, self.cpu_s = self._clock() - self._began[0], self._cpu() - self._began[1]
            if self.seconds >= self._enough:
                self._stop.set()

    def stage(self, name: Stage, seconds: float) -> None:
        if self._noting:
            self.stages[name].append(seconds)

    def faces(self, count: int) -> None:
        if self._noting:
            self.found += count

    def classified(self, label: str, confidence: float) -> None:
        """What the model says does not matter here."""

    def prediction(self, event: PredictionEvent) -> None:
        """Nor what the agent would publish."""

    def error(self, kind: str, detail: str) -> None:
        self.errors += 1
        self.last_error = f"{kind}: {detail}"

    def reconnect(self) -> None:
        """Counted as an error already."""

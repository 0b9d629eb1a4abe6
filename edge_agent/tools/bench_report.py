"""`edgewise-agent bench`: the measurement put together from settings and options, and its table for people."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from edge_agent.camera.drawn import DrawnSource
from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import Source
from edge_agent.models import selftest
from edge_agent.models.slots import ActiveModel
from edge_agent.settings import Settings
from edge_agent.telemetry.board import Board
from edge_agent.tools import bench
from edge_agent.tools.bench import Bench
from edge_contract import process_memory
from edge_contract.errors import UsageError
from edge_contract.messages import STAGES, Stage
from edge_vision.faces import open_detector
from edge_vision.patience import BoundedClassifier

_SAID: Final[dict[Stage, str]] = {
    "capture": "decode a frame",
    "detect": "find faces (some frames)",
    "preprocess": "crop a face",
    "invoke": "run the model on a face",
    "whole": "frame in memory to answers",
}


def measure(
    settings: Settings, model: ActiveModel, *, built_in: bool, seconds: float, progress: Callable[[str], None]
) -> Bench:
    """Measure this device; takes about twice `seconds`. `built_in`: the drawn picture, not the settings' source.

    Raises:
        EdgewiseError: source, model or detector cannot be used, or the model does not survive its self-test.
        OSError: no room for the self-test's copy of the model, or no process for it.
    """
    if seconds <= 0:
        raise UsageError(f"bench cannot measure for {seconds:g} s", remedy="give --seconds more than 0")
    process_memory.share_one_heap()
    progress("self-test of the model …")
    verdict = selftest.require_survival(model)
    classifier = BoundedClassifier(
        model.model, model.manifest, threads=settings.model.threads, command="edgewise-agent"
    )
    detector = open_detector(settings.model.face_detector, settings.model.face_detector_sha256)
    board = Board()
    paced_source = _source(settings.source, built_in=built_in, pace="real-time")
    process_memory.forget_start_up()  # as `run` does, so that resident memory is the agent's
    progress(f"{seconds:g} s of {paced_source.traits.name} …")
    paced = bench.run(paced_source, detector, classifier, settings.pipeline, seconds=seconds, board=board)
    possible = None
    if not paced_source.traits.camera:
        progress("the same as fast as possible …")
        fast = _source(settings.source, built_in=built_in, pace="fast")
        possible = bench.run(fast, detector, classifier, settings.pipeline, seconds=seconds, board=board).fps
    budget, invoke = model.manifest.budget, paced.stages.get("invoke")
    return Bench(
        model=f"{model.manifest.name} {model.manifest.release}",
        runtime=classifier.runtime,
        detector=detector.name,
        source=paced_source.traits.name,
        board=board.model(),
        rate=paced_source.traits.fps,
        paced=paced,
        possible_fps=possible,
        invoke_p95_ms=None if invoke is None else invoke.p95_ms,
        invoke_budget_ms=round(1e3 * budget.latency, 3),
        memory_mb=None if verdict.memory is None else round(verdict.memory / 1e6, 1),
        memory_budget_mb=round(budget.memory / 1e6, 1),
        complaints=bench.complaints(paced, possible, budget, verdict),
    )


def lines(found: Bench) -> Iterator[str]:
    """The table for people."""
    yield f"{found.model} on {found.board}: {found.runtime}, faces by {found.detector}, {found.source}"
    yield ""
    yield f"{'':<28}{'times':>8}{'p50 ms':>10}{'p95 ms':>10}"
    for stage in STAGES:
        if stage in found.paced.stages:
            took = found.paced.stages[stage]
            yield f"{_SAID.get(stage, stage):<28}{took.n:>8}{took.p50_ms:>10.2f}{took.p95_ms:>10.2f}"
    yield ""
    run = found.paced
    yield f"{'frames a second':<28}{run.fps:>8.1f}   {run.dropped} dropped, {run.faces} faces seen"
    if found.possible_fps is not None:
        yield f"{'  possible':<28}{found.possible_fps:>8.1f}"
    yield f"{'processor':<28}{100 * run.cpu_share:>8.1f} % of one core"
    if run.resident_mb is not None:
        yield f"{'resident memory':<28}{run.resident_mb:>8.1f} MB, without the broker's connection and the spool"
    yield f"{'one inference, p95':<28}{_or_dash(found.invoke_p95_ms):>8} ms, budget {found.invoke_budget_ms:g}"
    yield f"{'memory the model adds':<28}{_or_dash(found.memory_mb):>8} MB, budget {found.memory_budget_mb:g}"
    yield ""
    if not found.complaints:
        yield "fit: this device runs this model within its budgets"
    for complaint in found.complaints:
        yield f"NOT FIT: {complaint}"


def to_stderr(text: str) -> None:
    """Progress, apart from the report."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # a command's progress


def _source(settings: SourceSettings, *, built_in: bool, pace: str) -> Source:
    fitting = replace(settings, pace="fast" if pace == "fast" else "real-time", loop=True)
    return DrawnSource(fitting) if built_in else open_source(fitting)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"

"""What runs in the self-test's child: limits on itself, then the goldens, the latency and the memory of one slot.

Started by `selftest`, which judges how it ends. The slot is loaded with every digest checked again, and the goldens run
twice: the way the pipeline will run the model the answers must be close, without delegates they must be exact. Latency
is CPU time per invocation, the mean of many: on a busy board the wall clock measures the neighbours, for frames keep
flowing meanwhile, and some kernels count CPU time in ticks.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_agent.models.selftest import Verdict
from edge_agent.models.slots import ActiveModel, read_slot
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.manifest import Budget
from edge_vision.process_limits import limit_memory, limit_process, status_bytes

if TYPE_CHECKING:
    from edge_vision.classifier import Classifier

CPU_SECONDS: Final = 60
"""What the child may use in all; the slowest supported board needs about two for the imports."""
_WARM_UP, _RUNS = 3, 40  # invocations: the first ones fault pages in
_MEASURED_S: Final = 0.15  # CPU seconds to measure at least: fifteen of the coarsest ticks met
_NICENESS: Final = 5  # the pipeline goes first; on a busy board the test still ends within its time


def main(arguments: Sequence[str]) -> int:
    """Examine the slot whose directory is the first argument; print the verdict as the last line of JSON."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    limit_process(CPU_SECONDS)
    try:
        verdict = examine(read_slot(Path(arguments[0])))
    except TrustError as error:
        verdict = Verdict(passed=False, reason=str(error), blame=False, spoiled=True)
    sys.stdout.write(json.dumps({name: getattr(verdict, name) for name in Verdict.__slots__}) + "\n")
    return 0


def examine(model: ActiveModel) -> Verdict:
    """Run goldens and measure. Limits this process's memory for good."""
    # Imported here, under the limits: on a slow board this alone takes seconds of the processor.
    from edge_vision.classifier import Classifier, runtime  # noqa: PLC0415
    from edge_vision.goldens import EXACT, WITH_DELEGATES  # noqa: PLC0415

    manifest = model.manifest
    try:
        runtime()
    except EdgewiseError as error:
        return Verdict(passed=False, reason=str(error), blame=False)
    before = status_bytes("VmRSS")
    limit_memory(manifest.budget.memory)
    try:
        # First as the pipeline will run it, and measured before anything else takes memory.
        classifier = Classifier(model.model, manifest)
        wrong = _wrong(classifier, WITH_DELEGATES)
        _answer_to_everything(classifier)
        latency = _latency(classifier)
        added = max(0, status_bytes("VmRSS") - before)
        wrong = wrong or _wrong(Classifier(model.model, manifest, delegates=False), EXACT)
    except TrustError as error:
        return Verdict(passed=False, reason=str(error), blame=False, spoiled=True)
    except EdgewiseError as error:
        return Verdict(passed=False, reason=str(error))
    except MemoryError:
        return Verdict(passed=False, reason=f"the model needs more memory than its budget of {manifest.budget.memory}.")
    reason = wrong or _over_budget(manifest.budget, latency, added)
    return Verdict(passed=not reason, reason=reason, latency=latency, memory=added)


def _wrong(classifier: "Classifier", tolerance: int) -> str:
    """What the goldens say against the model; nothing when they agree."""
    from edge_vision import goldens  # noqa: PLC0415

    report = goldens.check(classifier, classifier.manifest, tolerance)
    if report.run == 0:
        return "the release carries no known answers, so nothing can be said about it here."
    if not report.ok:
        return (
            f"{report.failed} of {report.run} known inputs were answered wrongly on this board (off by up to "
            f"{report.worst} steps)."
        )
    return ""


def _answer_to_everything(classifier: "Classifier") -> None:
    """Ask for probabilities of some brightnesses, of two halves and of noise, of which goldens may know nothing.

    Raises:
        ModelFailedError: one of the answers holds none.
    """
    import numpy as np  # noqa: PLC0415 - under the limits

    tensor, chance = classifier.input, np.random.default_rng(1)
    for brightness in range(0, 256, 51):
        tensor[...] = brightness
        classifier.classify(tensor)
        tensor[:, : tensor.shape[1] // 2] = 255 - brightness
        classifier.classify(tensor)
        tensor[...] = chance.integers(0, brightness, tensor.shape, np.uint8, endpoint=True)
        classifier.classify(tensor)


def _over_budget(budget: Budget, latency: float, memory: int) -> str:
    if latency > budget.latency:
        return f"one inference takes {latency * 1e3:.1f} ms here, the budget is {budget.latency * 1e3:.1f} ms."
    if memory > budget.memory:
        return f"the model adds {memory:,} bytes of memory here, the budget is {budget.memory:,}."
    return ""


def _latency(classifier: "Classifier") -> float:
    """CPU seconds of one invocation, all threads together, over at least `_RUNS` and `_MEASURED_S`."""
    for _ in range(_WARM_UP):
        classifier.raw(classifier.input)
    began, runs, spent = time.process_time(), 0, 0.0
    while runs < _RUNS or spent < _MEASURED_S:
        classifier.input[...] = runs * 37 % 256
        classifier.raw(classifier.input)
        runs += 1
        spent = time.process_time() - began
    return spent / runs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The self-test: does this very board run the model rightly and within its budget? In a process of its own.

The parent (`SelfTest`) starts `python -m edge_agent.models.selftest SLOT` and judges how it ended; a model that
crashes the interpreter, eats the memory or never returns ends a child, not the agent. The child puts limits on itself,
loads the slot (every digest again) and runs the goldens twice: without delegates the answers must be exact, and the
way the pipeline will run the model they must be close. Latency is CPU time per invocation, the mean of many: on a busy
board the wall clock measures the neighbours, for frames keep flowing meanwhile, and some kernels count CPU time in
ticks.
"""

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_agent.models.slots import ActiveModel, read_slot
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.manifest import Budget

CPU_SECONDS: Final = 60
"""What the child may use in all; the slowest supported board needs about two for the imports."""
WALL_SECONDS: Final = 180.0
"""When it is given up, asleep or swapped out."""
_WARM_UP, _RUNS = 3, 40  # invocations: the first ones fault pages in
_MEASURED_S: Final = 0.15  # CPU seconds to measure at least: fifteen of the coarsest ticks met
_SLACK: Final = 96 * 1024 * 1024  # bytes beside the budget before an allocation fails: arenas and packed weights
_NICENESS: Final = 5  # the pipeline goes first; on a busy board the test still ends within its time
_LONGEST_ANSWER: Final = 64 * 1024

_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""numpy's worker threads, which nothing here uses, allocate when they first run: on a busy board that was after the
memory limit, and they crashed (1 self-test in 140)."""

if TYPE_CHECKING:
    from edge_vision.classifier import Classifier

COMMAND: Final = (sys.executable, "-P", "-B", "-m", "edge_agent.models.selftest")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a self-test ended."""

    passed: bool
    reason: str = ""
    """Why not: one sentence."""
    blame: bool = True
    """The model is at fault, rather than this machine or a slot that was damaged."""
    spoiled: bool = False
    """The slot does not have its digests any more."""
    latency: float | None = None
    """CPU seconds of one invocation, when it was measured."""
    memory: int | None = None
    """Bytes that loading and running the model added, when it was measured."""


class SelfTest:
    """A running child; `ended` is called once from a thread of its own, unless it was cancelled."""

    def __init__(self, slot: Path, ended: Callable[[Verdict], None], command: Sequence[str] = COMMAND) -> None:
        """Start it on a slot's directory.

        Raises:
            OSError: no process could be started.
        """
        self._command = (*command, str(slot))
        self._cancelled = False
        self._lock = threading.Lock()
        self._child = self._start()
        self._thread = threading.Thread(target=self._wait, args=(ended,), name="selftest", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the child; `ended` is not called any more."""
        with self._lock:
            self._cancelled = True
            self._child.kill()
        self._thread.join(5)

    def _start(self) -> "subprocess.Popen[bytes]":
        inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "LANG"}}
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=inherited | _ENVIRONMENT,
            start_new_session=True,
        )

    def _wait(self, ended: Callable[[Verdict], None]) -> None:
        verdict = self._verdict()
        if self._child.returncode < 0 and verdict.blame:
            # A model that crashes the interpreter does it again; a machine short of memory may not. Believe the second.
            with self._lock:
                if not self._cancelled:
                    self._child = self._start()
            verdict = self._verdict()
        if not self._cancelled:
            ended(verdict)

    def _verdict(self) -> Verdict:
        try:
            output, _ = self._child.communicate(timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
            # One that computes for ever meets the CPU limit; this one waited, for a busy or a swapping machine.
            reason = f"the self-test did not end within {WALL_SECONDS:g} s."
            return Verdict(passed=False, reason=reason, blame=False)
        return judge(self._child.returncode, output[-_LONGEST_ANSWER:])


def run(slot: Path, command: Sequence[str] = COMMAND) -> Verdict:
    """Test a slot and wait for the verdict; for `edgewise-agent selftest`."""
    verdicts: list[Verdict] = []
    done = threading.Event()

    def ended(verdict: Verdict) -> None:
        verdicts.append(verdict)
        done.set()

    SelfTest(slot, ended, command)
    done.wait()
    return verdicts[0]


def judge(returncode: int, output: bytes) -> Verdict:
    """What an ended child means. Only a child that ended by itself is asked what it found."""
    if returncode < 0:
        name = signal.Signals(-returncode).name if -returncode in set(signal.Signals) else str(-returncode)
        return Verdict(passed=False, reason=f"the interpreter did not survive this model here ({name}).")
    try:
        answer: Any = json.loads(output.splitlines()[-1])
        return Verdict(**answer)
    except (ValueError, IndexError, TypeError):
        # No fault of the model's is known: the agent's own installation may be broken.
        return Verdict(passed=False, reason=f"the self-test ended with {returncode} and no answer.", blame=False)


def examine(model: ActiveModel) -> Verdict:
    """Run goldens and measure; in the child."""
    from edge_vision.classifier import Classifier, runtime  # noqa: PLC0415 - the child alone loads the runtime
    from edge_vision.goldens import EXACT, WITH_DELEGATES  # noqa: PLC0415

    manifest = model.manifest
    try:
        runtime()
    except EdgewiseError as error:
        return Verdict(passed=False, reason=str(error), blame=False)
    before = _resident()
    _limit_memory(manifest.budget.memory + _SLACK)
    try:
        # First as the pipeline will run it, and measured before anything else takes memory.
        classifier = Classifier(model.model, manifest)
        wrong = _wrong(classifier, WITH_DELEGATES)
        latency = _latency(classifier)
        added = max(0, _resident() - before)
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


def main(arguments: Sequence[str]) -> int:
    """The child: print the verdict as the last line of JSON."""
    _limit_everything()
    try:
        verdict = examine(read_slot(Path(arguments[0])))
    except TrustError as error:
        verdict = Verdict(passed=False, reason=str(error), blame=False, spoiled=True)
    sys.stdout.write(json.dumps({name: getattr(verdict, name) for name in Verdict.__slots__}) + "\n")
    return 0


def _limit_everything() -> None:
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes to a pipe and nowhere else
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def _limit_memory(more: int) -> None:
    """Let the process's data grow by so many bytes at most; then allocations fail."""
    grown = _status("VmData") + more
    resource.setrlimit(resource.RLIMIT_DATA, (grown, grown))


def _resident() -> int:
    return _status("VmRSS")


def _status(field: str) -> int:
    """A size of this process, bytes."""
    found = re.search(rf"^{field}:\s+([0-9]+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The self-test: does this very board run the model rightly and within its budget? In a process of its own.

`SelfTest` starts `python -m edge_agent.models.selftest_child SLOT` and judges how it ended; a model that crashes the
interpreter, eats the memory or never returns ends a child, not the agent. This module loads no interpreter.
"""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_agent.models.slots import ActiveModel, Slots
from edge_contract.errors import EdgewiseError
from edge_vision import process_limits

WALL_SECONDS: Final = 180.0
"""When the child is given up, asleep or swapped out."""
_LONGEST_ANSWER: Final = 64 * 1024

COMMAND: Final = (sys.executable, "-P", "-B", "-m", "edge_agent.models.selftest_child")


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
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=process_limits.environment(),
            start_new_session=True,
        )

    def _wait(self, ended: Callable[[Verdict], None]) -> None:
        verdict = self._verdict()
        if self._child.returncode < 0 and verdict.blame:
            # A model that crashes the interpreter does it again; a machine short of memory may not: the second counts.
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
    """Test a slot and wait for the verdict.

    Raises:
        OSError: no process could be started.
    """
    verdicts: list[Verdict] = []
    done = threading.Event()

    def ended(verdict: Verdict) -> None:
        verdicts.append(verdict)
        done.set()

    test = SelfTest(slot, ended, command)
    try:
        done.wait()
    except BaseException:  # Ctrl-C: the child is in a session of its own, and would go on
        test.cancel()
        raise
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


def run_unstaged(model: ActiveModel) -> Verdict:
    """Test a verified model that lies in no slot, through a temporary one; takes seconds.

    Raises:
        OSError: there is no room for a copy, or no process can be started.
    """
    with tempfile.TemporaryDirectory(prefix="edgewise-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(model.model)
        slots = Slots(Path(folder))
        return run(slots.path(slots.stage(file, model.manifest)))


def require_survival(model: ActiveModel) -> Verdict:
    """The verdict on a model that is to run in this very process next.

    Raises:
        EdgewiseError: it ended or starved the self-test's process, or was never run there. One that ran, and only
            answered wrongly or too slowly, is the caller's to judge.
        OSError: as `run_unstaged`.
    """
    verdict = run_unstaged(model)
    if not verdict.passed and verdict.latency is None:
        raise EdgewiseError(in_words(model, verdict).rstrip("."), remedy="do not run this model here")
    return verdict


def in_words(model: ActiveModel, verdict: Verdict) -> str:
    """The verdict as a sentence."""
    name = f"{model.manifest.name} {model.manifest.release}"
    if not verdict.passed:
        return f"{name} failed: {verdict.reason}"
    latency = f"{1e3 * verdict.latency:.2f} ms an inference" if verdict.latency is not None else "latency unknown"
    memory = f"{verdict.memory / 2**20:.1f} MB" if verdict.memory is not None else "memory unknown"
    return f"{name} answers its {len(model.manifest.goldens)} known inputs rightly here; {latency}, {memory}"

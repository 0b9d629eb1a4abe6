"""The matrix of runtimes a model must answer alike on, each asked in a process of its own (`runtime_child`).

A runtime whose environment is not there is reported as absent, never skipped in silence. A process that dies is
reported with its signal: that too is a result of the model.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.tflite.runtime_child import Report, Request
from edge_contract.manifest import ModelManifest, encode

_REPOSITORY = Path(__file__).resolve().parents[2]
_DEADLINE = 600.0  # seconds; the built-in kernels alone need minutes for the largest test sets


@dataclass(frozen=True, slots=True)
class Runtime:
    """An interpreter package in the environment of one Python."""

    name: str
    python: Path

    @property
    def present(self) -> bool:
        """Whether the environment has been made."""
        return self.python.is_file()


LITERT = Runtime("litert", Path(sys.executable))
"""The reference: every golden is its answer without delegates."""
TFLITE_RUNTIME = Runtime("tflite-runtime", _REPOSITORY / ".venv-tflite/bin/python")
"""2.14, what boards without a LiteRT wheel run; `make setup-tflite` makes the environment."""
MATRIX = (LITERT, TFLITE_RUNTIME)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one runtime did with one model."""

    report: Report
    outputs: NDArray[np.generic] | None
    """Raw answers [N for each way, labels], None when the model was refused or the process died."""

    @property
    def failure(self) -> str:
        """Why there are no answers, empty when there are."""
        return self.report.refused


def ask(
    runtime: Runtime,
    model: bytes,
    manifest: ModelManifest,
    inputs: NDArray[np.uint8],
    *,
    delegates: Sequence[bool] = (True,),
    timed: int = 0,
    prefix: Sequence[str] = (),
) -> Answer:
    """Run `inputs` [N, height, width, channels] through the model on this runtime, once for each of `delegates`.

    The answers stand one after the other, N for each: with the runtime's own delegates (True) or its built-in kernels.
    `prefix` goes before the interpreter's command, such as an emulator. Nothing here raises for what the model does:
    a refusal, a crash and a hang are in the answer.
    """
    with tempfile.TemporaryDirectory(prefix="edgewise-probe-") as name:
        folder = Path(name)
        request = Request(count=len(inputs), delegates=tuple(delegates), timed=timed)
        (folder / "request.json").write_bytes(msgspec.json.encode(request))
        (folder / "manifest.json").write_bytes(encode(manifest))
        (folder / "model.tflite").write_bytes(model)
        np.ascontiguousarray(inputs).tofile(folder / "inputs.u8")
        failure = _run([*prefix, str(runtime.python), "-m", "convert.tflite.runtime_child", name])
        if failure:
            return Answer(Report(runtime=runtime.name, refused=failure), None)
        report = msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)
        if report.refused:
            return Answer(report, None)
        outputs = np.fromfile(folder / "outputs.raw", manifest.output.dtype)
        return Answer(report, outputs.reshape(len(delegates) * len(inputs), len(manifest.labels)))


def _run(command: list[str]) -> str:
    """Run the process; why it failed, empty when it ended well."""
    environment = {"PATH": os.defpath, "PYTHONPATH": str(_REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            command, env=environment, cwd=_REPOSITORY, capture_output=True, timeout=_DEADLINE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_DEADLINE:.0f} seconds"
    if done.returncode < 0:
        return f"the interpreter died of {signal.Signals(-done.returncode).name}"
    if done.returncode > 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the process ended with {done.returncode}"
    return ""

"""One model in one process of its own: load, answer, time, measure memory. Run by `runtimes` under each interpreter.

Reads and writes raw files in one folder, so that any Python with the agent's own packages can run it, and a model that
crashes its interpreter ends only this process: `model.tflite`, `manifest.json`, `request.json`, `inputs.u8` in;
`outputs.raw` and `report.json` out. The interpreter itself is the agent's: `edge_vision.classifier`.
"""

import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from edge_contract.errors import EdgewiseError
from edge_contract.manifest import decode
from edge_vision.classifier import Classifier
from edge_vision.process_limits import limit_memory, status_bytes

_LARGEST = 2 * 2**30  # bytes that a model of at most 32 MB may need before allocations fail
WARM_UP = 10  # invocations before timing: caches, page faults, lazily packed weights


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with the model."""

    count: int
    """Inputs in `inputs.u8`."""
    delegates: tuple[bool, ...] = (True,)
    """Whether the runtime's own delegates are used; with several, all inputs are answered in each of these ways."""
    threads: int = 1
    timed: int = 0
    """Invocations to time after the answers; 0 times none."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What happened; `refused` is the runtime's or the agent's own sentence when the model was not loaded."""

    runtime: str
    refused: str = ""
    cold_start: float = 0.0
    """Seconds from the file's bytes to the first answer."""
    memory: int = 0
    """Bytes of resident memory that loading and running the model added, in the first way."""
    resident: int = 0
    """Bytes of resident memory of the whole process with the model running."""
    seconds: tuple[float, ...] = ()
    """Each timed invocation."""


def main(folder: Path) -> int:
    """Answer the request in `folder`; 0 even when the runtime refuses the model, for that is a result."""
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=Request)
    manifest = decode((folder / "manifest.json").read_bytes())
    inputs = np.fromfile(folder / "inputs.u8", np.uint8).reshape(request.count, *manifest.input.shape)
    model = (folder / "model.tflite").read_bytes()
    limit_memory(_LARGEST)
    before, start = status_bytes("VmRSS"), time.perf_counter()
    answers, report = [], Report(runtime="")
    try:
        for delegates in request.delegates:
            classifier = Classifier(model, manifest, threads=request.threads, delegates=delegates)
            answers.append(classifier.raw(inputs[0]).copy())
            cold_start = time.perf_counter() - start
            answers += [classifier.raw(tensor).copy() for tensor in inputs[1:]]
            if not report.runtime:
                seconds = _time(classifier, inputs[0], request.timed) if request.timed else ()
                resident = status_bytes("VmRSS")
                report = Report(
                    runtime=classifier.runtime,
                    cold_start=cold_start,
                    memory=max(0, resident - before),
                    resident=resident,
                    seconds=seconds,
                )
    except EdgewiseError as error:
        return _write(folder, Report(runtime="", refused=str(error)))
    np.concatenate(answers).tofile(folder / "outputs.raw")
    return _write(folder, report)


def _time(
    classifier: Classifier, tensor: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], count: int
) -> tuple[float, ...]:
    for _ in range(WARM_UP):
        classifier.raw(tensor)
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        classifier.raw(tensor)
        seconds.append(time.perf_counter() - start)
    return tuple(seconds)


def _write(folder: Path, report: Report) -> int:
    (folder / "report.json").write_bytes(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""The goldens of a package that nobody vouches for, run in a child process under limits.

`check` starts `python -m edge_vision.confined_goldens` with the package's bytes on its standard input: a model that
crashes the interpreter, eats the memory or never returns ends the child, and its end is one sentence here.
"""

import signal
import subprocess
import sys
from typing import Final, NamedTuple

import msgspec

from edge_contract import package
from edge_contract.errors import EdgewiseError, TrustError
from edge_vision import process_limits

CPU_SECONDS: Final = 60
WALL_SECONDS: Final = 180.0
"""When the child is given up, asleep or swapped out."""
_REMEDY: Final = "do not run it here"


class Checked(NamedTuple):
    """What the goldens said, without delegates."""

    runtime: str = ""
    run: int = 0
    failed: int = 0
    worst: int = 0
    """The largest difference, in steps of the output's quantization."""
    refused: str = ""
    """Why the model was not run; the other fields say nothing then."""


def check(data: bytes, name: str, *, cpu_seconds: int = CPU_SECONDS) -> Checked:
    """Run the goldens of a package's bytes; `name` names it in errors.

    Raises:
        EdgewiseError: no interpreter is here, or the child had no answer.
        TrustError: the model did not come back, or the runtime refuses it.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-B", "-m", "edge_vision.confined_goldens", str(cpu_seconds)],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=process_limits.environment(),
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TrustError(f"{name} did not answer its goldens within {WALL_SECONDS:g} s", remedy=_REMEDY) from None
    if done.returncode < 0:
        ended = signal.Signals(-done.returncode)
        why = {
            signal.SIGXCPU: f"it used {cpu_seconds} s of the processor without an answer",
            signal.SIGKILL: f"it used {cpu_seconds} s of the processor without an answer, or this machine's memory",
        }.get(ended, ended.name)
        raise TrustError(f"the interpreter did not survive the model of {name} ({why})", remedy=_REMEDY)
    try:
        found = msgspec.json.decode(done.stdout.splitlines()[-1], type=Checked)
    except (msgspec.MsgspecError, IndexError) as error:
        raise EdgewiseError(
            f"the check of {name} ended with {done.returncode} and no answer", remedy="try again with more memory free"
        ) from error
    if found.refused:
        raise TrustError(f"{name} was refused ({found.refused.rstrip('.')})", remedy=_REMEDY)
    return found


def main(arguments: list[str]) -> int:
    """The child: limits first, then the package on standard input; prints a `Checked` as its last line of JSON."""
    process_limits.limit_process(int(arguments[0]))
    from edge_vision import goldens  # noqa: PLC0415  # under the limits, as all that follows
    from edge_vision.classifier import Classifier  # noqa: PLC0415

    found = package.read(sys.stdin.buffer.read())
    process_limits.limit_memory(found.manifest.budget.memory)
    try:
        classifier = Classifier(found.model, found.manifest, delegates=False)
        report = goldens.check(classifier, found.manifest, goldens.EXACT)
        answer = Checked(classifier.runtime, report.run, report.failed, report.worst)
    except EdgewiseError as error:
        answer = Checked(refused=str(error))
    except MemoryError:
        answer = Checked(refused=f"it needs more memory than its budget of {found.manifest.budget.memory:,} bytes")
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What comes of a training, and the one line of JSON in which the pipeline says it.

`{"package": "models/emotion-6.ewm", "name": "emotion", "release": 6, "digest": "…", "measured": {"accuracy": 0.7}}`
where the gate passed the model, `{"reasons": ["…"]}` where it did not. The line is another program's: it is checked
here, and that the package is what it says is checked where the package is read.
"""

import math
from typing import Annotated, Any, Final, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Meta, Struct

from edge_contract.errors import MessageError
from edge_contract.messages import Id, ModelRef, Sha256
from edge_contract.visible import visible

LINE_BYTES: Final = 64 * 1024
_REASONS: Final = 32
_TEXT: Final = 500
_MEASURED: Final = 32


class Request(NamedTuple):
    """What a training is asked for."""

    run: str
    """The same id again is the same training."""
    cause: str
    """Which augmentation matches, such as `dark`; empty for none."""
    field: str
    """The folder of labels; empty for none."""

    def environment(self) -> dict[str, str]:
        """As the pipeline reads it. No limit of the gate is among it."""
        return {"RETRAIN_CAUSE": self.cause, "RETRAIN_FIELD": self.field, "RETRAIN_RUN": self.run}


class Made(NamedTuple):
    """A package, which the gate passed by what the pipeline says."""

    package: str
    release: ModelRef
    measured: dict[str, float]


class Refused(NamedTuple):
    """The gate refused the model."""

    reasons: tuple[str, ...]


class Broken(NamedTuple):
    """It failed."""

    why: str


Outcome = Made | Refused | Broken
Progress = Literal["absent", "running"] | Outcome


class Action(Protocol):
    """Where trainings run. A training is known by its run id alone, also to a process that did not begin it."""

    settle_s: float
    """For so long after it was begun a training may not be seen yet."""

    def look(self, request: Request) -> Progress:
        """How the training of this run stands.

        Raises:
            EdgewiseError: it cannot be told now.
        """

    def begin(self, request: Request) -> None:
        """Begin it.

        Raises:
            EdgewiseError: it cannot be begun now.
        """

    def end(self, run: str) -> None:
        """Return when nothing of this run's training is under way any more.

        Raises:
            EdgewiseError: that cannot be told now.
        """


class _Said(Struct):
    package: Annotated[str, Meta(min_length=1, max_length=4096)]
    name: Id
    release: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    digest: Sha256
    measured: Annotated[dict[Annotated[str, Meta(max_length=64)], Any], Meta(max_length=1000)] = {}


class _Reasons(Struct):
    reasons: Annotated[list[str], Meta(max_length=1000)]


def parse(line: bytes) -> Made | Refused:
    """What the line says.

    Raises:
        MessageError: it is no such line.
    """
    if len(line) > LINE_BYTES:
        raise MessageError(f"its result has {len(line)} bytes, more than {LINE_BYTES}")
    try:
        document = msgspec.json.decode(line)
        if isinstance(document, dict) and "reasons" in document:
            reasons = msgspec.convert(document, _Reasons).reasons
            return Refused(tuple(visible(each)[:_TEXT] for each in reasons[:_REASONS]))
        said = msgspec.convert(document, _Said)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MessageError(f"its result is not what `make retrain` prints ({error})") from error
    release = ModelRef(name=said.name, release=said.release, digest=said.digest)
    return Made(said.package, release, dict(list(_figures(said.measured).items())[:_MEASURED]))


def result_of(status: int | None, line: bytes, where: str) -> Outcome:
    """From how it ended. `status`: its exit status, None where that is not known; `where`: its log, for a sentence."""
    try:
        said: Made | Refused | None = parse(line) if line else None
    except MessageError as error:
        return Broken(f"{error.problem}; see {where}")
    if isinstance(said, Refused) and status != 0:  # make ends with 2, whatever its recipe ended with
        return said
    if status == 3:
        return Refused(("no reason given",))
    if isinstance(said, Made) and status == 0:
        return said
    ended = "ended" if status is None else f"ended with {status}"
    return Broken(f"the training {ended} without a package; see {where}")


def _figures(measured: dict[str, Any]) -> dict[str, float]:
    return {
        visible(name): float(value)
        for name, value in measured.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
        and abs(value) <= 2**53 and math.isfinite(value)
    }  # fmt: skip

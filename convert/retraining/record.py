"""What is known of a retraining between one start and the next: `run.json` in its folder, and `result.json` at its end.

The same id again goes on, or says the same result; for anything else than it was begun with, it is refused.
"""

from pathlib import Path
from typing import Literal

import msgspec

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.durable import write_file
from edge_contract.errors import UsageError

RECORD = "run.json"
RESULT = "result.json"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a retraining was begun with."""

    cause: str
    field_digest: str
    """Of the tables of labels; empty without labels."""
    champion: str
    """Digest of the champion's model."""
    base: str
    """SHA-256 of the dataset file."""


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of `make retrain`: a package, or the gate's reasons against one."""

    package: str = ""
    name: str = ""
    release: int = 0
    digest: str = ""
    measured: dict[str, float] = {}
    reasons: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`."""

    request: Request
    name: str
    release: int
    state: Literal["begun", "passed", "refused"] = "begun"
    result: Result = Result()


class _Refused(msgspec.Struct, frozen=True):
    reasons: tuple[str, ...]


def line(result: Result) -> str:
    """The last line of standard output."""
    return msgspec.json.encode(_Refused(result.reasons) if result.reasons else result).decode()


def read(folder: Path) -> Record | None:
    """The record in a run's folder; None where the run was not begun.

    Raises:
        UsageError: It is damaged.
    """
    path = folder / RECORD
    try:
        return msgspec.json.decode(read_file(path, limits.DOCUMENT_BYTES), type=Record)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{path} is no record of a retraining ({error})", remedy="delete the folder, or give another RETRAIN_RUN"
        ) from error


def write(record: Record, folder: Path) -> None:
    """Leave the record, and at the end the result beside it."""
    if record.state != "begun":
        write_file(folder / RESULT, line(record.result).encode() + b"\n", parents=True)
    write_file(folder / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n", parents=True)


def refuse_another(record: Record, request: Request, run: str) -> None:
    """Stop where this id was begun with something else.

    Raises:
        UsageError: It was; the text says what differs.
    """
    words = {"cause": "cause", "field_digest": "labels", "champion": "champion", "base": "data"}
    asked = ("cause",) if record.state != "begun" else request.__struct_fields__
    other = [words[name] for name in asked if getattr(record.request, name) != getattr(request, name)]
    if other:
        raise UsageError(
            f"the retraining {run} was begun with another {' and '.join(other)}", remedy="give another RETRAIN_RUN"
        )

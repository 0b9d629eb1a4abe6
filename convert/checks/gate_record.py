"""`gate.json`: the gate's decision and what it was made on, written beside the model and read by `package`."""

from pathlib import Path

import msgspec

from convert import artifacts
from convert.checks.measurements import Measurements
from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.durable import write_file
from edge_contract.errors import UsageError
from edge_contract.manifest import GateResult


class GateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`gate.json`: the decision, and on what it was made."""

    digest: str
    """Of the model that was judged."""
    split: str
    n: int
    result: GateResult
    measurements: Measurements


def read(folder: Path) -> GateRecord:
    """The gate's record in a folder.

    Raises:
        UsageError: absent or not what the gate writes.
    """
    path = folder / artifacts.GATE
    try:
        return msgspec.json.decode(read_file(path, limits.DOCUMENT_BYTES), type=GateRecord)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy="run `make gate` first") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} is no gate record ({error})", remedy="run `make gate` again") from error


def write(record: GateRecord, folder: Path) -> None:
    """Leave the record beside the model it judges."""
    data = msgspec.json.format(msgspec.json.encode(record), indent=1)
    write_file(folder / artifacts.GATE, data + b"\n", parents=True)

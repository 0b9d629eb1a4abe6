"""A training's whole state after an epoch, in one archive that is either the old one or the new one, never half.

Holds every variable of the network, the optimizer's slots and step count, the averaged weights, and the history so far.
Random draws need no state: they follow from (seed, epoch, step).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from train.data.dataset import read_archive, write_archive


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State after `epoch` finished epochs; `variables` and `averaged` are in the order of the live variables."""

    epoch: int
    fingerprint: str
    history: list[dict[str, float]]
    variables: list[NDArray[Any]]
    averaged: list[NDArray[Any]]


def fingerprint(*parts: str) -> str:
    """What must not change between a start and a resume: network, data, optimizer, schedule."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write the archive in the place of an older one at `path`."""
    head = json.dumps({"epoch": checkpoint.epoch, "fingerprint": checkpoint.fingerprint, "history": checkpoint.history})
    arrays = {"head": np.array(head)}
    arrays |= {f"variable{index:04d}": value for index, value in enumerate(checkpoint.variables)}
    arrays |= {f"averaged{index:04d}": value for index, value in enumerate(checkpoint.averaged)}
    write_archive(path, arrays)


def load(path: Path, expected_fingerprint: str) -> Checkpoint | None:
    """The checkpoint at `path`, or None when there is none yet.

    Raises:
        UsageError: It belongs to another network, dataset or schedule, or cannot be read.
    """
    if not path.exists():
        return None
    found = _read(path)
    if found.fingerprint != expected_fingerprint:
        raise UsageError(
            f"{path} was made with another network, dataset or training params",
            remedy="restore those, or pass --set-aside to keep it under another name and train from the start",
        )
    return found


def set_aside(path: Path, expected_fingerprint: str) -> Path | None:
    """Rename a checkpoint of another training, so that nothing is lost; its new path, or None where none was there.

    Raises:
        UsageError: It cannot be read.
    """
    if not path.exists():
        return None
    found = _read(path)
    if found.fingerprint == expected_fingerprint:
        return None
    kept = path.with_name(f"{path.stem}-{found.fingerprint[:12]}{path.suffix}")
    path.replace(kept)
    return kept


def load_averaged(path: Path) -> list[NDArray[Any]]:
    """The averaged weights of a checkpoint, whatever training it is of.

    Raises:
        UsageError: The file is missing or cannot be read.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist", remedy="name in train.start_from a run's folder with a checkpoint")
    return _read(path).averaged


def _read(path: Path) -> Checkpoint:
    try:
        archive = read_archive(path)
        head = json.loads(str(archive["head"]))
        names = sorted(archive)
        variables = [archive[name] for name in names if name.startswith("variable")]
        averaged = [archive[name] for name in names if name.startswith("averaged")]
        return Checkpoint(head["epoch"], head["fingerprint"], head["history"], variables, averaged)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read as a checkpoint ({error})", remedy="remove it to train from the start"
        ) from error

"""Where crops wait on disk, and how all of them are deleted at once: the files go, with what was put aside of them."""

import logging
from pathlib import Path
from typing import Final

NAME: Final = "crops.db"
DAMAGED: Final = f"{NAME}.damaged"
_FILES: Final = tuple(f"{name}{suffix}" for name in (NAME, DAMAGED) for suffix in ("", "-wal", "-shm", "-journal"))

_log = logging.getLogger(__name__)


def erase(state_dir: Path) -> bool:
    """Delete every crop that waits here, and whether there was a file of them.

    Raises:
        OSError: the disk refuses; call it again.
    """
    there = [path for name in _FILES if (path := state_dir / name).exists()]
    for path in there:
        path.unlink(missing_ok=True)
    return bool(there)


def erase_or_say(state_dir: Path) -> None:
    """As `erase`, where nothing is to be kept; that the disk refuses is logged and stops nothing else."""
    try:
        if erase(state_dir):
            _log.warning("crops for labelling that waited in %s are deleted: no consent is in force", state_dir)
    except OSError as error:
        _log.error("crops for labelling in %s cannot be deleted (%s); delete %s*", state_dir, error, NAME)

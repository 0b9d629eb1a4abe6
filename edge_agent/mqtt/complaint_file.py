"""What a running agent finds wrong with its broker, for `doctor` and `status`, which must not connect beside it."""

from pathlib import Path
from typing import Final

from edge_contract.bounded_read import read_file
from edge_contract.durable import write_file

_FILE: Final = "broker.txt"
_LONGEST: Final = 2000  # bytes that are shown
_LARGEST: Final = 64 * 1024


class ComplaintFile:
    """Kept by a running agent; written when the text changes, so seldom."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._said: str | None = None

    def keep(self, complaint: str) -> None:
        """Let the file say this; a disk that cannot be written is another part's trouble."""
        if complaint == self._said:
            return
        self._said = complaint
        try:
            write_file(self._path, complaint.encode())
        except OSError:
            return


def read(directory: Path) -> str:
    """What the running agent said last; empty when all is well, or there is no such file."""
    try:
        text = read_file(directory / _FILE, _LARGEST)[:_LONGEST].decode(errors="replace")
    except OSError:
        return ""
    return "".join(sign if sign.isprintable() else " " for sign in text)

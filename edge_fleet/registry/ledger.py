"""Who promoted what, and when: an append-only file whose lines hold one another.

Each line is one JSON entry that carries the SHA-256 of the line before it, so a changed, removed or inserted line
breaks the chain at a line that can be named. A chain cannot show that its newest lines were cut off: keep its head
(`Ledger.heads`) elsewhere as well, as `registry` does in its store.
"""

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from edge_contract import limits
from edge_contract.bounded_read import check_file, read_file
from edge_contract.durable import make_directory, sync_directory
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.manifest import digest_of
from edge_contract.messages import Seconds, Sha256, Text

_FIRST: Final = "0" * 64  # what the first line names as its predecessor
_LINE_BYTES: Final = 16 * 1024  # an entry is a few hundred bytes


class Entry(Struct, frozen=True, kw_only=True):
    """One change of the registry, and its actor."""

    sequence: Annotated[int, Meta(ge=1)]
    time: Seconds
    """Unix time."""
    actor: Text
    action: Text
    """`register` or `promote`."""
    subject: dict[str, str]
    """What it was done to, in strings."""
    previous: Sha256
    """SHA-256 of the line before, without its newline."""


class Ledger:
    """The file; several processes may append to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, actor: str, action: str, subject: Mapping[str, str], time: float) -> Entry:
        """Add an entry behind the newest, on disk before this returns.

        Raises:
            TrustError: the chain is broken; nothing was added.
            EdgewiseError: the file cannot be written.
        """
        try:
            make_directory(self.path.parent)
            with contextlib.suppress(FileNotFoundError):
                check_file(self.path, limits.LEDGER_BYTES - _LINE_BYTES)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                data = file.read()
                entries, whole = _verify(data, self.path)
                file.truncate(whole)  # a last line without an end was never acknowledged
                entry = Entry(
                    sequence=len(entries) + 1,
                    time=time,
                    actor=actor,
                    action=action,
                    subject=dict(subject),
                    previous=_head(data[:whole]),
                )
                file.write(msgspec.json.encode(entry, order="sorted") + b"\n")
                file.flush()
                os.fsync(file.fileno())
                if not entries:
                    sync_directory(self.path.parent)  # the file is new
        except OSError as error:
            raise EdgewiseError(
                f"the ledger {self.path} cannot be written ({error.strerror})", remedy="name another with --ledger"
            ) from error
        return entry

    def entries(self) -> list[Entry]:
        """All entries, oldest first, the chain verified; empty when there is no file yet.

        Raises:
            TrustError: a line was changed, removed or inserted; the text names it.
        """
        return _verify(self._read(), self.path)[0]

    def heads(self) -> list[str]:
        """The digest of each line, oldest first: any of them kept elsewhere proves that its line is still here."""
        data = self._read()
        _verify(data, self.path)
        return [digest_of(line) for line in data.split(b"\n")[:-1]]

    def _read(self) -> bytes:
        try:
            return read_file(self.path, limits.LEDGER_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise EdgewiseError(
                f"the ledger {self.path} cannot be read ({error.strerror})", remedy="name another with --ledger"
            ) from error


def _verify(data: bytes, path: Path) -> tuple[list[Entry], int]:
    """The entries and the length of the whole lines that hold them."""
    *lines, torn = data.split(b"\n")
    entries: list[Entry] = []
    previous = _FIRST
    for number, line in enumerate(lines, start=1):
        try:
            if len(line) > _LINE_BYTES:
                raise ValueError("too long")
            entry = msgspec.json.decode(line, type=Entry)
        except ValueError as error:
            raise TrustError(
                f"line {number} of the ledger {path} is no entry: the record was changed",
                remedy="restore it from a backup",
            ) from error
        if entry.previous != previous or entry.sequence != number:
            raise TrustError(
                f"line {number} of the ledger {path} does not follow line {number - 1}: a line before it was changed, "
                "removed or inserted",
                remedy="restore it from a backup",
            )
        entries.append(entry)
        previous = digest_of(line)
    return entries, len(data) - len(torn)


def _head(whole: bytes) -> str:
    lines = whole.split(b"\n")
    return digest_of(lines[-2]) if len(lines) > 1 else _FIRST

"""A file read once, whole, and never more of it than the reader can mean: for every file that somebody names.

A name may lead to a folder, to a disk image of ten gigabytes, to `/dev/zero` or to a pipe into which nobody writes.
Each of these is an `OSError` here, with the file's name and a text fit for a sentence; none fills the memory or waits
for ever. A pipe that is written to, such as a shell's `<(pass show release-key)`, is read like a file. Where a library
opens the name itself, `check_file` refuses the same beforehand.
"""

import errno
import os
import select
import stat
from pathlib import Path
from typing import Final

PATIENCE: Final = 10.0
"""Seconds that a pipe or device may stay silent."""
_PART: Final = 1 << 20
_SMALLEST: Final = 4096  # under /proc are files that say they have no byte


def read_file(path: Path, at_most: int) -> bytes:
    """The file's bytes, of which there are no more than `at_most`.

    Raises:
        OSError: it cannot be read, is larger, is a folder, or nothing comes out of it.
    """
    descriptor = _opened(path)
    try:
        found = os.fstat(descriptor)
        regular = stat.S_ISREG(found.st_mode)
        if regular and found.st_size > at_most:
            raise _too_large(path, at_most)
        part = max(found.st_size + 1, _SMALLEST) if regular else _PART  # most files in one go, and in no more memory
        return _read(descriptor, path, at_most, part, waits=not regular)
    finally:
        os.close(descriptor)


def check_file(path: Path, at_most: int) -> None:
    """For a library that opens the file itself: it is a regular one that can be read, of `at_most` bytes.

    Raises:
        OSError: as `read_file`, and for a pipe or a device.
    """
    descriptor = _opened(path)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ENODEV, "no regular file, but a pipe or a device", str(path))
        if found.st_size > at_most:
            raise _too_large(path, at_most)
    finally:
        os.close(descriptor)


def read_text(path: Path, at_most: int) -> str:
    """The file as UTF-8 text, without the mark with which editors on Windows begin.

    Raises:
        OSError: as `read_file`.
        UnicodeDecodeError: it is no such text.
    """
    return read_file(path, at_most).decode("utf-8-sig")


def _opened(path: Path) -> int:
    """A descriptor of whatever is there but a folder."""
    try:
        # Not to wait for who writes into a pipe; of a file it changes nothing.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # NUL, or a lone surrogate
        raise OSError(errno.EINVAL, "no file can have such a name", str(path)) from error
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return descriptor


def _read(descriptor: int, path: Path, at_most: int, largest: int, *, waits: bool) -> bytes:
    parts: list[bytes] = []
    left = at_most + 1
    while left > 0:
        if waits and not _ready(descriptor):
            raise TimeoutError(errno.ETIMEDOUT, f"nothing came out of it in {PATIENCE:g} seconds", str(path))
        try:
            part = os.read(descriptor, min(largest, left))
        except BlockingIOError:  # another reader of the pipe was faster
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)
        left -= len(part)
    raise _too_large(path, at_most)


def _ready(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(PATIENCE * 1000))


def _too_large(path: Path, at_most: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than the {at_most:,} bytes that such a file may have", str(path))

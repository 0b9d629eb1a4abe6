"""Files that survive a power cut: whole or not at all, and under the name they were given.

A rename is atomic against a crash of the process. Against a power cut only what was synced counts: the file before the
rename, and the directory after it.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_file(path: Path, data: bytes, *, mode: int | None = None, parents: bool = False) -> None:
    """Create or replace a file; afterwards `data` is on the disk under this name. `mode`, `parents`: as in `replacing`.

    Raises:
        OSError: the disk is full or broken, or the directory is missing; the old file is still there.
    """
    with replacing(path, mode=mode, parents=parents) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None, parents: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which takes the name `path` when the block ends; an exception leaves what was there.

    `mode`: its permissions, whatever the umask says; None leaves them to the umask. `parents`: missing directories are
    made; not so where a missing one is a disk that is not mounted. A second writer of a path waits for the first.

    Raises:
        OSError: the disk is full or broken, or the directory is missing.
    """
    if parents:
        make_directory(path.parent)
    # One name for every try: what a killed writer leaves is written over, so a checkpoint never fills the disk.
    temporary = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(_claimed(temporary, mode), "w+b") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:  # also of closing the file, which writes what its buffer still holds
        if error.errno == errno.ENOSPC and error.filename is None:
            error.filename = str(path)  # of a write the system names no file
        raise
    sync_directory(path.parent)


def move(written: Path, path: Path) -> None:
    """Give a file that was written under another name of the same directory its own name, synced before and after.

    Raises:
        OSError: the disk is full or broken.
    """
    sync_file(written)
    written.replace(path)
    sync_directory(path.parent)


def point_link(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, at once; a reader sees the old link or the new one.

    Raises:
        OSError: the disk is full or broken; the old link is still there.
    """
    if link.is_symlink() and str(link.readlink()) == target:
        return
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    sync_directory(link.parent)


def make_directory(path: Path) -> None:
    """Make a directory and those above it where they are missing; what was made is on the disk."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Wait until the file's content is on the disk."""
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Wait until the directory's entries are on the disk: names given, changed and deleted."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _claimed(temporary: Path, mode: int | None) -> int:
    """A descriptor of the empty file, locked: no other writer has it."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o666 if mode is None else mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), temporary.lstat()):  # else its last writer has moved it away
                    os.ftruncate(descriptor, 0)
                    if mode is not None:
                        os.fchmod(descriptor, mode)
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

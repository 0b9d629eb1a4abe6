"""Files that survive a power cut: whole or not at all, and where they were put.

A rename is atomic against a crash of the process; against a power cut only what was fsynced counts, the file before
the rename and the directory after it.
"""

import contextlib
import os
from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Create or replace a file; afterwards it is on the disk under this name.

    Raises:
        OSError: the disk is full or broken; the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def point_link(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, at once; a reader sees the old link or the new one."""
    if link.is_symlink() and str(link.readlink()) == target:
        return
    temporary = link.with_name(f".{link.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(target)
    temporary.replace(link)
    sync_directory(link.parent)


def sync_file(path: Path) -> None:
    """Wait until the file's content is on the disk."""
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Wait until the directory's entries are on the disk."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that survive a power cut: the order of writing, syncing and renaming, and what a failure leaves behind."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_contract import durable


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the disk, in order: "sync file", "rename", "sync directory"."""
    seen: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noting_sync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append(f"sync {kind}")
        sync(descriptor)

    def noting_replace(self: Path, target: Path) -> Path:
        seen.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting_sync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    return seen


def test_a_file_is_synced_before_its_rename_and_its_directory_after(tmp_path: Path, order: list[str]) -> None:
    durable.write_file(tmp_path / "file", b"new")
    assert order == ["sync file", "rename", "sync directory"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_another_program_wrote_takes_its_name_in_the_same_order(tmp_path: Path, order: list[str]) -> None:
    (tmp_path / "part").write_bytes(b"new")
    durable.move(tmp_path / "part", tmp_path / "file")
    assert order == ["sync file", "rename", "sync directory"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_link_is_replaced_at_once_and_left_alone_where_it_points_there_already(
    tmp_path: Path, order: list[str]
) -> None:
    (tmp_path / ".link.new").symlink_to("left by a power cut")
    durable.point_link(tmp_path / "link", "file")
    assert order == ["rename", "sync directory"]
    order.clear()
    durable.point_link(tmp_path / "link", "file")
    assert order == []
    assert [(path.name, str(path.readlink())) for path in tmp_path.iterdir()] == [("link", "file")]


def test_directories_are_made_only_where_that_is_asked_for_and_synced_then(tmp_path: Path, order: list[str]) -> None:
    with pytest.raises(FileNotFoundError):
        durable.write_file(tmp_path / "a" / "b" / "file", b"new")
    assert (list(tmp_path.iterdir()), order) == ([], [])
    durable.write_file(tmp_path / "a" / "b" / "file", b"new", parents=True)
    assert order == ["sync directory", "sync directory", "sync file", "rename", "sync directory"]


def _full_disk(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def _stopped(_descriptor: int) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fails", [_full_disk, _stopped])
def test_what_fails_before_the_rename_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], None]
) -> None:
    durable.write_file(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises((OSError, KeyboardInterrupt)):
        durable.write_file(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_a_block_that_fails_half_way_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    durable.write_file(tmp_path / "file", b"old")

    def half() -> None:
        with durable.replacing(tmp_path / "file") as file:
            file.write(b"ne")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # raised above, without a text
        half()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_what_a_killed_writer_left_is_written_over_and_does_not_pile_up(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom edge_contract.durable import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'a long text that is never finished')\n    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], check=False)
        assert len(list(tmp_path.iterdir())) == 1
    assert not (tmp_path / "file").exists()
    durable.write_file(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}


def test_two_writers_of_one_path_never_mix_their_bytes(tmp_path: Path) -> None:
    path, size = tmp_path / "file", 200_000
    durable.write_file(path, b"-" * size)

    def write(byte: bytes) -> None:
        for _ in range(30):
            durable.write_file(path, byte * size)

    writers = [threading.Thread(target=write, args=(byte,)) for byte in (b"a", b"b")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = path.read_bytes()
        assert (len(found), len(set(found))) == (size, 1)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o640), (0o644, 0o644), (0o600, 0o600)])
def test_permissions_are_those_asked_for_or_the_umasks(tmp_path: Path, mode: int | None, expected: int) -> None:
    before = os.umask(0o027)
    try:
        durable.write_file(tmp_path / "file", b"new", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == expected

"""A file on its way: which of its chunks are there is found out by hashing what was written, and nothing else."""

import errno
import os
from pathlib import Path

import pytest

from edge_agent.models.chunks import PartFile
from edge_contract.manifest import digest_of
from edge_contract.trust import Blob, Chunks

CUT = 4096
CHUNKS = (bytes(CUT), b"a" * CUT, b"b" * 100)


@pytest.fixture
def blob() -> Blob:
    data = b"".join(CHUNKS)
    digests = tuple(digest_of(chunk) for chunk in CHUNKS)
    return Blob(digest=digest_of(data), size=len(data), chunks=Chunks(size=CUT, digests=digests))


def part(tmp_path: Path, blob: Blob, *chunks: int) -> PartFile:
    made = PartFile(tmp_path, blob)
    for number in chunks:
        assert made.put(number, CHUNKS[number])
    return made


def test_a_file_that_was_not_there_lacks_every_chunk_and_none_is_read(
    tmp_path: Path, blob: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(os, "pread", lambda _file, _length, at: read.append(at))
    assert part(tmp_path, blob).missing == [0, 1, 2]  # also the chunk of zeros, which a hole would read as
    assert read == []


@pytest.mark.parametrize("held", [(), (0,), (1,), (0, 2), (0, 1, 2)])
def test_what_an_earlier_attempt_wrote_is_found_again(tmp_path: Path, blob: Blob, held: tuple[int, ...]) -> None:
    first = part(tmp_path, blob, *held)
    first.close()
    again = PartFile(tmp_path, blob)
    assert set(held) <= set(range(3)) - set(again.missing)
    assert 1 in again.missing or 1 in held


def test_a_file_that_a_power_cut_left_short_lacks_what_is_past_its_end_and_what_is_half_there(
    tmp_path: Path, blob: Blob
) -> None:
    whole = part(tmp_path, blob, 0, 1, 2)
    whole.close(synced=True)
    os.truncate(whole.path, CUT + 10)
    assert PartFile(tmp_path, blob).missing == [1, 2]


def test_a_file_that_cannot_be_brought_to_the_disk_is_closed_all_the_same_and_what_came_is_found_again(
    tmp_path: Path, blob: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = part(tmp_path, blob, 0, 1, 2)
    open_before = len(list(Path("/proc/self/fd").iterdir()))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as refused:
        refused.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            whole.close(synced=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before - 1
    whole.close(synced=True)
    assert PartFile(tmp_path, blob).missing == []

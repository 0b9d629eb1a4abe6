"""A file that is another than the reader means: none fills the memory, and none waits for ever."""

import errno
import os
import threading
from pathlib import Path

import pytest

from edge_contract import bounded_read
from edge_contract.bounded_read import read_file, read_text


def test_a_file_is_read_whole_up_to_the_last_byte_that_it_may_have(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than the 4 bytes") as caught:
        read_file(path, 4)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))


def test_ten_gigabytes_are_refused_by_their_size_and_an_endless_device_by_what_it_gives(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(10 << 30)
    for path in (sparse, Path("/dev/zero")):
        with pytest.raises(OSError, match="larger than the 1,000 bytes"):
            read_file(path, 1000)


@pytest.mark.parametrize(
    ("name", "number"), [("folder", errno.EISDIR), ("absent", errno.ENOENT), ("a\0b", errno.EINVAL)], ids=str
)
def test_what_is_no_file_is_an_error_of_the_system_with_its_name(tmp_path: Path, name: str, number: int) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the number says which
        read_file(tmp_path / name, 10)
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / name))


def test_a_pipe_into_which_nobody_writes_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_read, "PATIENCE", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TimeoutError, match="nothing came out of it"):
        read_file(tmp_path / "pipe", 10)


def test_a_pipe_that_is_written_to_is_read_like_a_file() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(b"\xef\xbb\xbfhush\n")

    thread = threading.Thread(target=write)
    thread.start()
    assert read_text(Path(f"/dev/fd/{reading}"), 100) == "hush\n"
    thread.join()
    os.close(reading)

"""Fetching the face detector: only the pinned bytes are ever written."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_vision.fetch_detector import fetch


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing in the test's output."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/yunet.onnx"
        server.shutdown()
        thread.join()


def test_the_pinned_file_is_written_once_and_then_kept(
    mirror: tuple[Path, str], tmp_path: Path, shared_data: Path
) -> None:
    folder, url = mirror
    content = (shared_data / "face_detection_yunet_2023mar.onnx").read_bytes()
    (folder / "yunet.onnx").write_bytes(content)
    path = tmp_path / "new" / "yunet.onnx"
    assert fetch(path, url)
    assert path.read_bytes() == content
    assert not fetch(path, "https://nobody.invalid/")


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1", b"x" * 500_000])
def test_other_bytes_are_refused_and_leave_nothing_behind(
    mirror: tuple[Path, str], tmp_path: Path, content: bytes
) -> None:
    folder, url = mirror
    (folder / "yunet.onnx").write_bytes(content)
    path = tmp_path / "new" / "yunet.onnx"
    with pytest.raises(TrustError, match="pinned digest"):
        fetch(path, url)
    assert not path.parent.exists()


def test_an_absent_file_is_one_sentence_with_a_remedy(mirror: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match="cannot be fetched"):
        fetch(tmp_path / "yunet.onnx", mirror[1])


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://example.org/yunet.onnx", "ftp://example.org/x"])
def test_only_https_is_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="https"):
        fetch(tmp_path / "yunet.onnx", url)

"""Dimensions before pixels: of every format that OpenCV reads the header tells, and too much is refused unread."""

import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceError
from edge_contract.errors import UsageError
from edge_vision.picture import WHOLE_PIXELS, decode
from edge_vision.picture_size import Size, size_of
from tests.agent.scenes import write_clip

COLOUR = (".jpg", ".png", ".webp", ".bmp", ".tif", ".ppm", ".pam", ".hdr", ".sr", ".pfm")
HUGE = (16_000, 16_000)


def encoded(suffix: str, width: int, height: int, *options: int) -> bytes:
    picture = np.full((height, width, 3), 120, np.uint8)
    if suffix in {".pfm", ".hdr"}:
        picture = picture.astype(np.float32)
    if suffix in {".pgm", ".pbm"}:
        picture = picture[:, :, 0]
    written, data = cv2.imencode(suffix, picture, list(options))
    assert written
    return bytes(data.tobytes())


def huge_jpeg() -> bytes:
    """A small JPEG whose header says 16,000 x 16,000: a decoder takes the memory before it sees that pixels lack."""
    data = bytearray(encoded(".jpg", 64, 48))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", *HUGE)
    return bytes(data)


def huge_png() -> bytes:
    data = bytearray(encoded(".png", 64, 48))
    data[16:24] = struct.pack(">II", *HUGE)
    return bytes(data)


@settings(max_examples=60)
@given(st.sampled_from(COLOUR), st.integers(1, 90), st.integers(1, 90))
def test_the_header_tells_the_size_that_a_decoder_finds(suffix: str, width: int, height: int) -> None:
    data = encoded(suffix, width, height)
    assert size_of(data) == Size(width, height)
    if suffix not in {".hdr", ".pfm"}:
        assert decode(data, gray=False).shape == (height, width, 3)


@pytest.mark.parametrize("suffix", [".gif", ".avif", ".jp2"])
def test_formats_that_not_every_opencv_writes_are_read_too(suffix: str) -> None:
    if not cv2.haveImageWriter(f"picture{suffix}"):
        pytest.skip(f"this OpenCV writes no {suffix}")
    assert size_of(encoded(suffix, 300, 200)) == Size(300, 200)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 40)),
        (".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 1)),
        (".ppm", (cv2.IMWRITE_PXM_BINARY, 0)),
    ],
)
def test_kinds_of_one_format_are_told_alike(suffix: str, options: tuple[int, ...]) -> None:
    assert size_of(encoded(suffix, 77, 55, *options)) == Size(77, 55)


def test_what_stands_before_a_jpegs_size_does_not_hide_it() -> None:
    """A preview in the Exif segment has a size of its own; fill bytes and stray ones stand between segments."""
    plain = encoded(".jpg", 64, 48)
    preview = encoded(".jpg", 8, 8)
    exif = b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview
    first = 2 + 2 + struct.unpack(">H", plain[4:6])[0]  # where the first segment ends
    for extra in (exif, b"\xff\xff\xff", b"\0\0", exif + b"\xff" + exif):
        assert size_of(plain[:first] + extra + plain[first:]) == Size(64, 48)


def test_a_bmp_from_the_top_down_and_an_old_one_have_their_size() -> None:
    data = bytearray(encoded(".bmp", 30, 20))
    data[22:26] = struct.pack("<i", -20)
    assert size_of(bytes(data)) == Size(30, 20)
    assert size_of(b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 30, 20, 1, 24)) == Size(30, 20)


@given(st.sampled_from([*COLOUR, ".gif", ".avif"]), st.data())
def test_no_header_however_damaged_raises_anything(suffix: str, data: st.DataObject) -> None:
    if not cv2.haveImageWriter(f"picture{suffix}"):
        return
    file = bytearray(encoded(suffix, 20, 30)[:200])
    for _ in range(data.draw(st.integers(0, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    size = size_of(bytes(file[: data.draw(st.integers(0, len(file)))]))
    assert size is None or len(size) == 2


@given(st.binary(max_size=100), st.sampled_from([b"", b"\xff\xd8\xff", b"II*\0", b"P6 ", b"BM", b"RIFF0000WEBPVP8X"]))
def test_any_bytes_have_a_size_or_none(data: bytes, begins: bytes) -> None:
    size = size_of(begins + data)
    assert size is None or len(size) == 2


@pytest.mark.parametrize("file", [huge_jpeg(), huge_png()], ids=["jpeg", "png"])
@pytest.mark.parametrize("gray", [True, False])
def test_a_picture_of_16000_by_16000_is_refused_by_its_size(file: bytes, gray: bool) -> None:
    with pytest.raises(UsageError, match=r"16000x16000 pixels passes the limit of \d\d,\d\d\d,\d\d\d; make"):
        decode(file, gray=gray)


def test_refusing_costs_no_memory() -> None:
    """In a process that may grow by 100 MB: a decoder asks for 256 MB before it finds that the pixels lack."""
    code = (
        "import resource, sys\n"
        "from edge_contract.errors import UsageError\n"
        "from edge_vision.picture import decode\n"
        "data = sys.stdin.buffer.read()\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 100 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n"
        "    decode(data, gray=False)\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=huge_jpeg(), capture_output=True, check=True)
    assert b"16000x16000" in done.stdout


def test_an_8k_frame_is_decoded_pixel_for_pixel_and_a_larger_jpeg_at_half_its_sides() -> None:
    assert WHOLE_PIXELS == 8192 * 4320
    frame = np.zeros((4320, 8192), np.uint8)
    for suffix in (".png", ".jpg"):
        assert decode(bytes(cv2.imencode(suffix, frame)[1]), gray=True).shape == frame.shape
    photograph = np.full((6000, 8000), 90, np.uint8)  # a telephone's 48 megapixels
    photograph[:, 4000:] = 200
    file = bytes(cv2.imencode(".jpg", photograph)[1])
    for gray, shape in ((True, (3000, 4000)), (False, (3000, 4000, 3))):
        halved = decode(file, gray=gray)
        assert halved.shape == shape
        assert abs(int(halved[:, :1900].mean()) - 90) <= 1
        assert abs(int(halved[:, 2100:].mean()) - 200) <= 1
    with pytest.raises(UsageError, match="8000x6000 pixels passes the limit of 35,389,440"):
        decode(bytes(cv2.imencode(".png", photograph)[1]), gray=True)


def shades(url: str, most: int) -> list[str]:
    """Of each frame its mean grey, or why it is none."""
    stream = open_source(SourceSettings(url=url, pace="fast", read_timeout=2.0)).connect()
    seen: list[str] = []
    while len(seen) < most and stream.grab():
        try:
            seen.append(str(round(float(stream.retrieve(gray=True).mean()))))
        except UsageError as error:
            seen.append(str(error))
    stream.close()
    return seen


def test_in_a_folder_it_is_named_and_the_next_picture_is_taken(tmp_path: Path) -> None:
    for name, data in (("a.jpg", encoded(".jpg", 64, 48)), ("b.jpg", huge_jpeg()), ("c.jpg", encoded(".jpg", 64, 48))):
        (tmp_path / name).write_bytes(data)
    seen = shades(str(tmp_path), 3)
    assert seen[0] == seen[2] == "120"
    assert "b.jpg: a picture of 16000x16000 pixels" in seen[1]


def test_a_clip_of_frames_past_8k_is_refused_before_one_is_read(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.avi", iter([np.zeros((4400, 8200), np.uint8)]))
    with pytest.raises(SourceError, match=r"clip\.avi: a picture of 8200x4400 pixels passes the limit"):
        open_source(SourceSettings(url=str(tmp_path / "clip.avi"), pace="fast")).connect()


def test_from_a_camera_it_costs_that_frame_only() -> None:
    small = encoded(".jpg", 64, 48)

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for body in (small, huge_jpeg(), small):
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)
                self.wfile.write(head + body + b"\r\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing in the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        seen = shades(f"http://127.0.0.1:{server.server_port}/", 3)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert seen[0] == seen[2] == "120"
    assert "16000x16000" in seen[1]

"""Each kind of source against the real thing: files that OpenCV wrote, an HTTP server, raw camera frames."""

import base64
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.camera.drawn import DrawnSource
from edge_agent.camera.open import open_source
from edge_agent.camera.opencv import CameraDevice, list_cameras, picture_of_raw
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import Source, SourceError
from edge_contract.errors import UsageError
from tests.agent.camera.conftest import Answer
from tests.agent.camera.rtsp_camera import RtspCamera
from tests.agent.scenes import moving_face, write_clip

FAST = SourceSettings(pace="fast", read_timeout=0.5)


def fast(url: object, **fields: object) -> Source:
    return open_source(SourceSettings(**{"url": str(url), "pace": "fast", "read_timeout": 0.5, **fields}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("0", "v4l2"),
        ("/dev/video2", "v4l2"),
        ("picamera2", "picamera"),
        ("http://camera/stream", "mjpeg"),
        ("rtsp://camera/stream", "rtsp"),
        (__file__, "file"),
    ],
)
def test_every_source_says_how_its_pictures_come(url: str, kind: str) -> None:
    assert open_source(SourceSettings(url=url)).traits.kind == kind


def test_the_built_in_picture_is_drawn() -> None:
    assert DrawnSource(SourceSettings()).traits.kind == "drawn"


def shades(source: Source, *, most: int = 100, gray: bool = True) -> list[int]:
    """The mean grey of each frame, damaged ones as -1."""
    stream = source.connect()
    seen: list[int] = []
    try:
        while len(seen) < most and stream.grab():
            try:
                seen.append(round(float(stream.retrieve(gray=gray).mean())))
            except UsageError:
                seen.append(-1)
    finally:
        stream.close()
    return seen


def flat(shade: int) -> np.ndarray:
    return np.full((48, 64), shade, np.uint8)


# --- files ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "fourcc"), [("clip.avi", "MJPG"), ("clip.mp4", "mp4v")])
def test_every_frame_of_a_video_comes_once_in_order(tmp_path: Path, name: str, fourcc: str) -> None:
    write_clip(tmp_path / name, (flat(shade) for shade in range(20, 220, 20)), fourcc=fourcc)
    seen = shades(fast(tmp_path / name))
    assert len(seen) == 10
    assert max(abs(a - b) for a, b in zip(seen, range(20, 220, 20), strict=True)) <= 3


@pytest.mark.parametrize("fourcc", ["MJPG", "mp4v"])
def test_a_video_gives_grey_or_bgr_as_asked(tmp_path: Path, fourcc: str) -> None:
    path = tmp_path / "clip.avi"
    write_clip(path, iter([np.full((48, 64, 3), (10, 60, 200), np.uint8)] * 2), fourcc=fourcc)
    stream = fast(path).connect()
    assert stream.grab()
    gray, color = stream.retrieve(gray=True), stream.retrieve(gray=False)
    assert gray.shape == (48, 64)
    assert color.shape == (48, 64, 3)
    assert np.abs(color[20, 20].astype(int) - (10, 60, 200)).max() <= 6
    assert abs(int(gray[20, 20]) - int(cv2.cvtColor(color, cv2.COLOR_BGR2GRAY)[20, 20])) <= 3


@pytest.mark.parametrize("fourcc", ["MJPG", "mp4v"])
def test_a_looped_video_begins_again(tmp_path: Path, fourcc: str) -> None:
    path = tmp_path / "clip.avi"
    write_clip(path, (flat(shade) for shade in (40, 120, 200)), fourcc=fourcc)
    seen = shades(fast(path, loop=True), most=7)
    assert [round(shade / 40) for shade in seen] == [1, 3, 5, 1, 3, 5, 1]


def test_a_video_knows_its_own_pace(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.avi", iter([flat(9)] * 3), fps=12.0)
    assert fast(tmp_path / "clip.avi").connect().fps == pytest.approx(12.0)


def test_real_time_takes_the_clips_own_time(tmp_path: Path) -> None:
    """A lower bound only: a busy machine may be slower, never faster."""
    write_clip(tmp_path / "clip.avi", iter([flat(9)] * 6), fps=30.0)
    began = time.monotonic()
    assert len(shades(fast(tmp_path / "clip.avi", pace="real-time"))) == 6
    assert time.monotonic() - began >= 5 / 30


def test_a_file_that_is_no_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.avi").write_bytes(b"shopping list" * 100)
    with pytest.raises(SourceError, match=r"notes\.avi is no video"):
        fast(tmp_path / "notes.avi").connect()


def test_a_truncated_video_ends_where_it_is_cut(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    write_clip(whole, (rng.integers(0, 256, (48, 64), np.uint8) for _ in range(30)))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 5 < len(shades(fast(cut))) < 30


def test_images_come_by_name_and_a_bad_one_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "b.png"), flat(50))
    cv2.imwrite(str(tmp_path / "a.jpg"), flat(100))
    cv2.imwrite(str(tmp_path / "d.png"), np.full((48, 64), 150 << 8, np.uint16))
    cv2.imwrite(str(tmp_path / "e.png"), np.full((48, 64, 4), 200, np.uint8))
    (tmp_path / "c.png").write_bytes(b"not a picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    assert shades(fast(tmp_path)) == [100, 50, -1, 150, 200]
    assert shades(fast(tmp_path / "b.png")) == [50]
    stream = fast(tmp_path / "c.png").connect()
    stream.grab()
    with pytest.raises(UsageError, match=r"c\.png: 13 bytes are no picture"):
        stream.retrieve(gray=True)


def test_an_image_deleted_meanwhile_is_one_bad_frame(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), flat(70))
    source = fast(tmp_path)
    (tmp_path / "b.png").unlink()
    assert shades(source) == [70, -1, 70]


# --- names ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("nowhere.mp4", r"nowhere\.mp4"),
        ("", "''"),
        ("gopher://x/", "gopher://"),
        ("http:///stream", "names no host"),
        ("-1", "-1"),
    ],
)
def test_a_name_that_means_no_source_is_refused_by_name(url: str, names: str) -> None:
    with pytest.raises(UsageError, match=names):
        fast(url)


@pytest.mark.parametrize("name", ["a.jfif", "a.gif", "a.avif", "a"])
def test_a_folder_gives_every_picture_that_training_reads(tmp_path: Path, name: str) -> None:
    form = {"a.gif": ".gif", "a.avif": ".avif"}.get(name, ".jpg")
    if not cv2.haveImageWriter(f"a{form}"):
        pytest.skip(f"this OpenCV ({cv2.__version__}) writes no {form}")
    (tmp_path / name).write_bytes(cv2.imencode(form, np.full((32, 32, 3), 128, np.uint8))[1].tobytes())
    (tmp_path / "a.txt").write_text("0 1 2")
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert shades(fast(tmp_path)) == [pytest.approx(128, abs=2)]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no image"):
        fast(tmp_path)


@pytest.mark.parametrize("url", ["63", "/dev/video63"])
def test_a_camera_that_is_not_there_is_a_lost_camera_not_a_bad_name(url: str) -> None:
    source = fast(url)
    assert source.traits.camera
    with pytest.raises(SourceError, match="/dev/video63 is not there"):
        source.connect()


def test_picamera2_explains_its_absence() -> None:
    with pytest.raises(SourceError, match="apt install python3-picamera2"):
        fast("picamera2").connect()


def test_rtsp_that_nobody_answers_is_a_lost_camera() -> None:
    with pytest.raises(SourceError, match=r"rtsp://127\.0\.0\.1:9/stream gives no video"):
        fast("rtsp://user:secret@127.0.0.1:9/stream", open_timeout=1.0).connect()


def test_an_rtsp_camera_gives_its_frames_and_is_lost_when_it_goes() -> None:
    with RtspCamera((40, 120, 200)) as camera:
        stream = fast(camera.url, read_timeout=2.0).connect()
        seen = []
        for _ in range(4):
            assert stream.grab()
            seen.append(round(float(stream.retrieve(gray=True).mean())))
        assert stream.retrieve(gray=False).shape == (120, 160, 3)
    assert seen == [40, 120, 200, 40]
    while stream.grab():  # what was sent before it went
        pass
    stream.close()


def test_a_password_never_reaches_a_log() -> None:
    assert fast("http://admin:hunter2@cam/video?token=hunter2").traits.name == "http://cam/video"
    assert fast("rtsp://cam:554/user=admin&password=hunter2&channel=1").traits.name == "rtsp://cam:554/…"


@given(
    st.text(st.sampled_from('/?#@:=&%;[ "é\n'), max_size=4),
    st.text(st.sampled_from('/?#@:=&%;[ "é\n'), max_size=4),
    st.sampled_from(["http", "https", "rtsp", "HTTP"]),
    st.sampled_from(
        ["{}://admin:{}@127.0.0.1:9/v", "{}://127.0.0.1:9/v?user=a&pwd={}", "{}://127.0.0.1:9/password={}"]
    ),
)
@settings(max_examples=60)
def test_whatever_a_cameras_password_holds_neither_name_nor_error_repeats_it(
    before: str, after: str, scheme: str, form: str
) -> None:
    url = form.format(scheme, f"{before}hunter2{after}")
    said = ""
    try:
        source = fast(url, open_timeout=0.2)
        said += source.traits.name
        if not url.lower().startswith("rtsp"):  # FFmpeg takes a second a try
            source.connect()
    except (UsageError, SourceError) as error:
        said += str(error)
    assert said
    assert "hunter2" not in said
    assert said.isprintable()


def test_an_address_that_its_password_breaks_is_refused_with_how_to_write_it() -> None:
    with pytest.raises(UsageError, match=r"address http://… cannot be read; write %2F for / in its user or password"):
        fast("http://admin:p/hunter2@cam/video")
    with pytest.raises(UsageError) as caught:
        fast("admin:hunter2@cam/video")
    assert "hunter2" not in str(caught.value)


# --- Motion JPEG over HTTP --------------------------------------------------------------------------------------------
def jpeg(shade: int) -> bytes:
    return cv2.imencode(".jpg", flat(shade))[1].tobytes()


def part(body: bytes, *, length: bool = True, boundary: bytes = b"frame") -> bytes:
    head = b"--" + boundary + b"\r\nContent-Type: image/jpeg\r\n"
    return head + (b"Content-Length: %d\r\n" % len(body) if length else b"") + b"\r\n" + body + b"\r\n"


def streaming(*pieces: bytes, kind: str = "multipart/x-mixed-replace; boundary=frame") -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(piece)
            handler.wfile.flush()

    return answer


@pytest.mark.parametrize("length", [True, False], ids=["with lengths", "without lengths"])
@pytest.mark.parametrize(
    "kind",
    ["multipart/x-mixed-replace; boundary=frame", 'multipart/x-mixed-replace;boundary="frame"',
     "multipart/x-mixed-replace; boundary=--frame"],
)  # fmt: skip
def test_an_mjpeg_stream_gives_every_frame(http_camera: Callable[[Answer], str], kind: str, length: bool) -> None:
    url = http_camera(
        streaming(*(part(jpeg(shade), length=length) for shade in (50, 100, 150)), b"--frame--", kind=kind)
    )
    assert shades(fast(url)) == [50, 100, 150]


def test_a_damaged_jpeg_between_good_ones_is_one_bad_frame(http_camera: Callable[[Answer], str]) -> None:
    url = http_camera(streaming(part(jpeg(50)), part(b"\xff\xd8\xff\xe0 broken"), part(jpeg(150))))
    assert shades(fast(url)) == [50, -1, 150]


def test_a_stream_that_falls_silent_is_lost_after_the_read_timeout(http_camera: Callable[[Answer], str]) -> None:
    over = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        streaming(part(jpeg(50)))(handler)
        over.wait(30)

    stream = fast(http_camera(silent)).connect()
    assert stream.grab()
    with pytest.raises(SourceError, match="broke"):
        stream.grab()
    over.set()
    stream.close()


def test_user_and_password_of_the_url_are_sent(http_camera: Callable[[Answer], str]) -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "Authorization" not in handler.headers:
            handler.send_error(401)
            return
        asked.append(handler.headers["Authorization"])
        streaming(part(jpeg(50)))(handler)

    url = http_camera(answer).replace("http://", "http://admin:p%40ss@")
    assert shades(fast(url)) == [50]
    assert base64.b64decode(asked[0].removeprefix("Basic ")) == b"admin:p@ss"


def test_what_is_no_mjpeg_stream_is_refused_by_what_it_is(http_camera: Callable[[Answer], str]) -> None:
    with pytest.raises(SourceError, match="sends text/html, not an MJPEG stream"):
        fast(http_camera(streaming(b"<html>", kind="text/html"))).connect()
    with pytest.raises(SourceError, match="answers 401 Unauthorized; check path and password"):
        fast(http_camera(lambda handler: handler.send_error(401))).connect()
    with pytest.raises(SourceError, match="does not answer"):
        fast("http://127.0.0.1:9/video").connect()


@pytest.mark.parametrize(
    "body",
    [b"x" * 20_000, b"--frame\r\n" + b"X-Long: 1\r\n" * 2_000, b"\xff\xd8\xff\xda\x00\x02" + bytes(17 << 20)],
    ids=["no picture", "endless header", "endless picture"],
)
def test_an_endless_anything_is_cut_off(http_camera: Callable[[Answer], str], body: bytes) -> None:
    with pytest.raises(SourceError):
        shades(fast(http_camera(streaming(body))))


# --- raw camera frames ------------------------------------------------------------------------------------------------
YUYV, MJPG = cv2.VideoWriter.fourcc(*"YUYV"), cv2.VideoWriter.fourcc(*"MJPG")


def test_the_grey_plane_of_yuyv_is_every_other_byte() -> None:
    raw = np.random.default_rng(1).integers(0, 256, (4, 6, 2), np.uint8)
    assert np.array_equal(picture_of_raw(raw, YUYV, gray=True), raw[:, :, 0])
    assert picture_of_raw(raw, YUYV, gray=False).shape == (4, 6, 3)


@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1)])
def test_a_cameras_jpeg_decodes_in_whatever_shape_its_bytes_come(shape: tuple[int, ...]) -> None:
    raw = np.frombuffer(jpeg(90), np.uint8).reshape(shape)
    assert round(float(picture_of_raw(raw, MJPG, gray=True).mean())) == 90


def test_a_driver_that_converts_although_told_not_to_is_understood() -> None:
    assert picture_of_raw(np.full((4, 6, 3), 7, np.uint8), YUYV, gray=True).shape == (4, 6)


@pytest.mark.parametrize(
    ("array", "fourcc"),
    [(np.zeros((0, 6, 2), np.uint8), YUYV), (np.zeros((1, 30), np.uint8), MJPG), (np.zeros((4, 6, 2), np.uint8), None)],
)
def test_a_broken_raw_frame_is_refused(array: np.ndarray, fourcc: int | None) -> None:
    with pytest.raises(UsageError):
        picture_of_raw(array, fourcc, gray=True)


def test_cameras_are_listed_by_what_the_kernel_says_of_them(tmp_path: Path) -> None:
    def answer(driver: bytes, card: bytes, capabilities: int, own: int) -> bytes:
        return struct.pack("=16s32s32sIII12x", driver, card, b"usb", 0, capabilities, own)

    said = {
        "video0": answer(b"uvcvideo", b"HD Webcam", 0x84A00001, 0x04200001),
        "video1": answer(b"uvcvideo", b"HD Webcam metadata", 0x84A00001, 0x04A00000),
        "video2": answer(b"unicam", b"unicam", 0x85200001, 0x85200001),
        "video10": answer(b"bcm2835-codec", b"codec", 0x84204000, 0x04204000),
    }
    for name in (*said, "video3"):
        (tmp_path / name).touch()

    def capability(device: Path) -> bytes:
        if device.name not in said:
            raise PermissionError
        return said[device.name]

    assert list_cameras(tmp_path, capability) == [
        CameraDevice(str(tmp_path / "video0"), "HD Webcam"),
        CameraDevice("picamera2", f"CSI camera behind {tmp_path / 'video2'} (unicam)"),
        CameraDevice(str(tmp_path / "video3"), "cannot be asked: permission, or gone"),
    ]


def test_a_file_that_is_no_device_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    assert list_cameras(tmp_path)[0].name.startswith("cannot be asked")


def test_the_test_scene_moves(portrait: np.ndarray) -> None:
    first, second = moving_face(portrait, 2)
    assert first.shape == (480, 640)
    assert not np.array_equal(first, second)

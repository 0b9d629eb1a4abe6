"""The capture thread against a camera that really hangs, freezes, breaks and comes back."""

import random
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge_agent.camera.capture import Capture
from edge_agent.camera.mailbox import Mailbox
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import SourceError, SourceTraits
from edge_contract.errors import UsageError
from tests.agent.scenes import PipeCamera

QUICK = SourceSettings(read_timeout=0.15, open_timeout=0.5, frozen_after=0.3, first_wait=0.01, longest_wait=0.02)
NOISE = [np.random.default_rng(seed).integers(0, 256, (48, 64), np.uint8) for seed in range(8)]


class Attendant:
    """Tends a capture and remembers what it was told."""

    def __init__(self, source: object) -> None:
        self.errors: list[tuple[str, str]] = []
        self.reconnects = 0
        self.mailbox = Mailbox()
        self.capture = Capture(
            source,  # type: ignore[arg-type]
            self.mailbox,
            time.monotonic,
            random.Random(1),  # noqa: S311
            on_error=lambda kind, detail: self.errors.append((kind, detail)),
            on_reconnect=self._reconnect,
        )

    def _reconnect(self) -> None:
        self.reconnects += 1

    def until(self, happened: Callable[[], object]) -> None:
        """Tend until it happened; the test's timeout ends a wait in vain."""
        while not happened():
            self.capture.tend()
            time.sleep(0.005)


@pytest.fixture
def camera() -> PipeCamera:
    return PipeCamera(QUICK, NOISE)


@pytest.fixture
def attendant(camera: PipeCamera) -> Iterator[Attendant]:
    attendant = Attendant(camera)
    yield attendant
    attendant.capture.stop(timeout=0.0)


def test_a_read_that_hangs_for_ever_is_abandoned_and_the_next_connection_gives_frames(
    camera: PipeCamera, attendant: Attendant
) -> None:
    attendant.until(lambda: camera.connected == 1)
    camera.show()
    attendant.until(lambda: attendant.mailbox.take(0.0))
    attendant.until(lambda: camera.connected == 2)  # nothing more was shown: the first read hangs still
    assert camera.closed == 0
    assert attendant.reconnects == 1
    assert "hangs" in attendant.errors[0][1]
    camera.show()
    attendant.until(lambda: attendant.mailbox.take(0.0))
    camera.release(0)
    attendant.until(lambda: camera.closed == 1)  # the abandoned thread came back, closed its device and left


def test_reads_that_all_hang_do_not_pile_up_threads(camera: PipeCamera, attendant: Attendant) -> None:
    attendant.until(lambda: camera.connected == 4)
    hanging = camera.connected
    deadline = time.monotonic() + 1.0
    attendant.until(lambda: time.monotonic() > deadline)
    assert camera.connected == hanging
    camera.release(0)
    attendant.until(lambda: camera.connected == hanging + 1)


def test_a_frozen_picture_is_a_lost_camera() -> None:
    camera = PipeCamera(QUICK, NOISE[:1])
    attendant = Attendant(camera)

    def show_and_ask() -> bool:
        if camera.connected == 1:
            camera.show()
        return camera.connected > 1

    attendant.until(show_and_ask)
    assert "not changed in a single bit" in attendant.errors[0][1]
    attendant.capture.stop(timeout=0.0)


def test_a_camera_that_comes_back_with_the_same_picture_has_been_frozen_all_along() -> None:
    camera = PipeCamera(QUICK, NOISE[:1])
    attendant = Attendant(camera)
    unchanged: list[float] = []

    def frozen_through_two_connections() -> bool:
        camera.show() if camera.connected else None
        if (taken := attendant.mailbox.take(0.0)) is not None:
            assert taken.frame.unchanged is not None
            unchanged.append(taken.frame.unchanged)
        return camera.connected > 2 and len(unchanged) > 3

    attendant.until(frozen_through_two_connections)
    assert unchanged == sorted(unchanged)
    assert unchanged[-1] > 2 * QUICK.frozen_after
    camera.pictures = NOISE  # it lives again
    attendant.until(lambda: camera.show() or _unchanged(attendant) == 0.0)
    attendant.capture.stop(timeout=0.0)


def _unchanged(attendant: Attendant) -> float | None:
    taken = attendant.mailbox.take(0.0)
    return None if taken is None else taken.frame.unchanged


def test_of_a_file_it_is_not_told_whether_its_picture_changes() -> None:
    attendant = Attendant(Scripted([[NOISE[0]] * 2], camera=False))
    frames = list[float | None]()
    while not attendant.capture.ended or attendant.mailbox.waiting():
        attendant.capture.tend()
        if (taken := attendant.mailbox.take(0.01)) is not None:
            frames.append(taken.frame.unchanged)
    assert frames == [None, None]


def test_a_camera_that_ends_its_stream_is_tried_again(camera: PipeCamera, attendant: Attendant) -> None:
    attendant.until(lambda: camera.connected == 1)
    camera.release(0)
    attendant.until(lambda: camera.connected == 2)
    assert "no more frames" in attendant.errors[0][1]
    assert camera.closed == 1


class Scripted:
    """A camera whose connections do what a list says."""

    def __init__(self, script: list[Exception | list[Exception | np.ndarray]], *, camera: bool = True) -> None:
        self.settings = QUICK
        self.traits = SourceTraits("scripted", kind="v4l2", live=camera, camera=camera)
        self._script = script
        self.fps = 30.0

    def connect(self) -> "Scripted":
        now = self._script.pop(0)
        if isinstance(now, Exception):
            raise now
        self._frames = iter(now)
        return self

    def grab(self) -> bool:
        try:
            self._frame = next(self._frames)
        except StopIteration:
            return False
        return True

    def retrieve(self, *, gray: bool) -> np.ndarray:  # noqa: ARG002
        if isinstance(self._frame, Exception):
            raise self._frame
        return self._frame

    def close(self) -> None:
        """Nothing is open."""


def test_a_device_that_vanished_is_waited_for() -> None:
    attendant = Attendant(Scripted([SourceError("/dev/video0 is not there"), SourceError("still not"), [NOISE[0]], []]))
    attendant.until(lambda: attendant.mailbox.take(0.0))
    assert [detail for _, detail in attendant.errors][:2] == [
        "scripted: /dev/video0 is not there",
        "scripted: still not",
    ]


def test_a_damaged_frame_is_told_and_the_next_one_comes() -> None:
    attendant = Attendant(Scripted([[UsageError("a damaged JPEG"), NOISE[0]], []]))
    attendant.until(lambda: attendant.mailbox.take(0.0))
    attendant.until(lambda: attendant.errors)
    assert attendant.errors[0] == ("frame", "a damaged JPEG")


def test_a_camera_of_damaged_frames_only_is_a_lost_camera() -> None:
    attendant = Attendant(Scripted([[UsageError("damaged")] * 200, []]))
    attendant.until(lambda: attendant.reconnects)
    assert ("source", "scripted: 100 frames in a row cannot be decoded") in attendant.errors


def test_a_drivers_surprise_leads_to_a_new_connection() -> None:
    attendant = Attendant(Scripted([[ZeroDivisionError("driver bug")], [NOISE[0]], []]))
    attendant.until(lambda: attendant.mailbox.take(0.0))
    assert "ZeroDivisionError" in attendant.errors[0][1]


def test_a_file_that_breaks_ends_with_its_reason() -> None:
    attendant = Attendant(Scripted([SourceError("no video")], camera=False))
    attendant.until(lambda: attendant.capture.ended)
    assert attendant.capture.failure == "no video"
    assert attendant.reconnects == 0


def test_stopping_closes_the_camera(camera: PipeCamera) -> None:
    attendant = Attendant(camera)
    attendant.until(lambda: camera.connected == 1)
    stopper = threading.Thread(target=attendant.capture.stop, args=(10.0,))
    stopper.start()
    camera.show()
    stopper.join()
    assert camera.closed == 1

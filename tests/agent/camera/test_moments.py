"""Where a frame lies in its clip: by the container's timestamps where they go forward, and never back."""

import itertools
import math
import random
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.files import VideoStream
from edge_agent.camera.moments import Moments
from edge_agent.camera.open import open_source
from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.pipeline import Pipeline
from edge_contract.package import read_file
from edge_vision.classifier import Classifier
from edge_vision.faces import HaarDetector
from tests.agent.inference.test_pipeline import EAGER, Notes
from tests.agent.scenes import write_clip
from tests.conftest import REPOSITORY

UNEVEN = [0.1, 0.5, 0.1, 0.7, 0.1, 0.9, 0.04, 0.04, 2.3]
"""Seconds from each frame to the next: 4.78 in all, for ten frames."""


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    while start < end:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        yield start, size, kind
        start += size


def write_uneven(path: Path, gaps: list[float]) -> None:
    """An MP4 of variable frame rate: one that OpenCV wrote, with another table of times."""
    write_clip(path, (np.full((48, 64), 20 * number, np.uint8) for number in range(len(gaps) + 1)), fourcc="mp4v")
    data = path.read_bytes().replace(b"edts", b"free")  # the edit list would cut at the old duration
    header = data.index(b"mdhd")
    (scale,) = struct.unpack(">I", data[header + 16 : header + 20])
    start, end, parents = 0, len(data), []
    for wanted in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        at, size = next((at, size) for at, size, kind in _boxes(data, start, end) if kind == wanted)
        parents.append((at, size))
        start, end = at + 8, at + size
    at, size = parents.pop()
    times = [*gaps, 0.1]
    table = struct.pack(">I4sII", 16 + 8 * len(times), b"stts", 0, len(times))
    table += b"".join(struct.pack(">II", 1, round(gap * scale)) for gap in times)
    changed = bytearray(data[:at] + table + data[at + size :])
    for parent, its_size in parents:
        changed[parent : parent + 4] = struct.pack(">I", its_size + len(table) - size)
    path.write_bytes(changed)


def moments(path: Path, frames: int, **settings: object) -> list[float]:
    stream = VideoStream(path, SourceSettings(**{"pace": "fast", **settings}))  # type: ignore[arg-type]
    found = []
    while len(found) < frames and stream.grab():
        found.append(stream.moment)
    stream.close()
    return found


def expected(gaps: list[float]) -> list[float]:
    return list(itertools.accumulate(gaps, initial=0.0))


def test_a_clip_of_variable_rate_has_the_moments_of_its_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mp4"
    write_uneven(path, UNEVEN)
    found = moments(path, 100)
    assert found == pytest.approx(expected(UNEVEN), abs=0.002)
    average = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
    assert abs(5 / average - found[5]) > 0.5


def test_a_gif_whose_pictures_stay_for_different_times_has_their_moments(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow, which writes the clip, is not installed")
    pictures = [image.fromarray(np.full((48, 64), 30 * number, np.uint8)) for number in range(6)]
    stays = [100, 500, 100, 500, 40, 40]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=stays, loop=0)
    found = moments(tmp_path / "a.gif", 100)
    assert found == pytest.approx(expected([stay / 1000 for stay in stays[:-1]]), abs=0.002)


@pytest.mark.parametrize(("name", "fourcc"), [("clip.avi", "MJPG"), ("clip.mp4", "mp4v"), ("clip.avi", "mp4v")])
def test_a_clip_of_one_rate_counts_from_nought_and_goes_on_when_it_is_looped(
    tmp_path: Path, name: str, fourcc: str
) -> None:
    write_clip(tmp_path / name, (np.full((48, 64), 40 * number, np.uint8) for number in range(5)), fourcc=fourcc)
    interval = 1 / cv2.VideoCapture(str(tmp_path / name)).get(cv2.CAP_PROP_FPS)
    assert moments(tmp_path / name, 100) == pytest.approx([number * interval for number in range(5)], abs=0.002)
    looped = moments(tmp_path / name, 12, loop=True)
    assert looped == pytest.approx([number * interval for number in range(12)], abs=0.01)


def test_a_looped_clip_of_variable_rate_never_goes_back(tmp_path: Path) -> None:
    write_uneven(tmp_path / "uneven.mp4", UNEVEN)
    found = moments(tmp_path / "uneven.mp4", 25, loop=True)
    assert len(found) == 25
    assert all(after > before for before, after in itertools.pairwise(found))
    again = [moment - found[10] for moment in found[10:20]]
    assert again == pytest.approx(expected(UNEVEN), abs=0.002)


def test_look_names_the_place_that_a_player_would(tmp_path: Path) -> None:
    write_uneven(tmp_path / "uneven.mp4", UNEVEN)
    package = read_file(REPOSITORY / "tests" / "fixtures" / "colours-1.ewm")
    notes = Notes()
    source = open_source(SourceSettings(url=str(tmp_path / "uneven.mp4"), pace="fast"))
    Pipeline(
        source, HaarDetector(), Classifier(package.model, package.manifest), EAGER,
        clock=time.monotonic, observer=notes, chance=random.Random(1),  # noqa: S311
    ).run(threading.Event())  # fmt: skip
    assert [event.moment for event in notes.predictions] == pytest.approx(expected(UNEVEN), abs=0.002)


stamps = st.one_of(st.floats(), st.floats(-10, 100), st.sampled_from([0.0, -1.0, math.nan, math.inf, 1e300]))


@given(st.lists(stamps, max_size=60), st.floats(0.001, 1.0))
def test_whatever_the_file_says_moments_are_numbers_that_grow(stated: list[float], interval: float) -> None:
    clip = Moments(interval)
    found = [clip.next(stamp) for stamp in stated]
    assert all(map(math.isfinite, found))
    assert all(after > before for before, after in itertools.pairwise(found))
    assert found[:1] in ([], [0.0])


@given(st.lists(st.floats(0.001, 3600.0), max_size=40), st.floats(-1e6, 1e6), st.floats(0.001, 1.0))
def test_timestamps_that_go_forward_count_wherever_they_begin(gaps: list[float], start: float, interval: float) -> None:
    clip = Moments(interval)
    found = [clip.next(start + moment) for moment in expected(gaps)]
    assert found == pytest.approx(expected(gaps), abs=1e-3)


@pytest.mark.parametrize("stated", [0.0, -1.0, math.nan, math.inf])
def test_a_file_that_states_no_times_goes_by_its_rate(stated: float) -> None:
    clip = Moments(0.04)
    assert [clip.next(stated) for _ in range(5)] == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])


def test_clips_joined_into_one_go_on_where_the_times_begin_anew_or_leap() -> None:
    clip = Moments(0.1)
    found = [clip.next(stated) for stated in (5.0, 5.2, 0.0, 0.3, 1e9, 1e9 + 0.5)]
    assert found == pytest.approx([0.0, 0.2, 0.3, 0.6, 0.7, 1.2])

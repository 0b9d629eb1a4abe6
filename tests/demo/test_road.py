"""The road's cameras and its picture: what is shown is known, and what changes is what the acts say."""

import itertools
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo.road.cameras import Cameras
from demo.road.people import FACE, HEIGHT, WIDTH, Noise, Person, people, picture
from demo.road.timeline import Span, draw


@pytest.fixture(scope="module")
def persons() -> list[Person]:
    return list(itertools.islice(people(5), 3))


def test_each_picture_of_a_still_scene_has_noise_of_its_own(persons: list[Person]) -> None:
    noise = Noise(1)
    one, two = (picture(persons[0], 0.5, "as it was", noise) for _ in range(2))
    assert one.shape == (HEIGHT, WIDTH)
    assert not np.array_equal(one, two)
    assert 3 < np.std(one.astype(float) - two) < 6  # of two pictures' noise, 3 each


def test_glare_makes_all_brighter_and_takes_contrast_and_a_turned_camera_sees_a_narrow_face(
    persons: list[Person],
) -> None:
    noise = Noise(1)
    before, glare, turned = (picture(persons[0], 0.5, scene, noise) for scene in ("as it was", "glare", "turned"))  # type: ignore[arg-type]
    assert glare.mean() > before.mean() + 40
    assert glare.std() < 0.7 * before.std()

    def width(seen: np.ndarray) -> int:
        columns = cv2.GaussianBlur(seen, (9, 9), 0).astype(float).std(axis=0) > 8
        return int(columns.sum())

    assert width(turned) < 0.75 * width(before) <= FACE


def test_a_camera_streams_and_what_it_showed_is_known_afterwards(persons: list[Person]) -> None:
    cameras = Cameras({"door": persons})
    with cameras, urllib.request.urlopen(cameras.url("door"), timeout=10) as stream:  # noqa: S310  # its own address
        began = time.time()
        read = b""
        while read.count(b"\xff\xd8\xff") < 20:
            read += stream.read(4096)
        ended = time.time()
    moments = np.linspace(began, ended, 50)
    assert {cameras.truth("door", moment) for moment in moments} <= {None, *(each.emotion for each in persons)}
    assert any(cameras.truth("door", moment) for moment in moments)
    assert cameras.truth("door", began - 3600) is None


def test_the_timeline_is_drawn_whatever_happened(tmp_path: Path) -> None:
    spans = [
        Span("build", "made", 0.0, 0.1),
        Span("loop", "a long sentence " * 20, 5.0, 5.0),
        Span("light", "dark", 5, 9),
    ]
    for number, drawn in enumerate((spans, spans[:1])):
        draw(drawn, "`make test-road`", tmp_path / f"{number}.png")
        seen = cv2.imread(str(tmp_path / f"{number}.png"))
        assert seen is not None
        assert seen.shape[1] > 500

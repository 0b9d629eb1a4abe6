"""Rooms with people before a camera, as tracks: who comes when, what they show, and what the model makes of it.

Tracks of one person are alike: a person makes several, keeps the same face over most of them, and often the very
picture; hours, days and weekends differ in mix and light. Answers are those of the real model to real pictures of the
same expression, as they are or spoiled.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_pictures import Answers
from edge_bridge.drift.tracks import BUCKETS
from edge_bridge.drift.week import DAY_PARTS, PARTS, part_of
from edge_contract.metrics import DeviceGauge

DAY_S: Final = 86400.0
WINDOW_S: Final = 300.0
MONDAY: Final = 1_767_571_200.0
"""A Monday, 00:00 UTC."""
STICKY_FACE: Final = 0.8
"""Tracks of a person that show what the one before did."""
STICKY_PICTURE: Final = 0.6
"""Of these, those in which the model sees the very same picture."""
WANDERS: Final = 60.0
"""Concentration of the Dirichlet distribution from which the mix of a part of the week, and of each day, is drawn."""
HOURS: Final = np.array([1, 1, 0, 0, 0, 1, 3, 6, 8, 8, 8, 9, 10, 9, 8, 8, 9, 10, 9, 7, 5, 4, 3, 2], float)

Kind = Literal["shop", "hall", "home"]
_PEOPLE: Final[dict[Kind, tuple[float, float]]] = {"shop": (150, 400), "hall": (40, 120), "home": (5, 15)}
_TRACKS: Final[dict[Kind, float]] = {"shop": 2.0, "hall": 3.0, "home": 12.0}
_GAP_S: Final[dict[Kind, float]] = {"shop": 60.0, "hall": 120.0, "home": 300.0}


class Room(NamedTuple):
    """One camera's place."""

    kind: Kind
    people: float
    """A day."""
    mix: NDArray[np.float64]
    """[parts of the week, labels] of what people show."""
    light: NDArray[np.float64]
    """[parts of the day] beside that of the test pictures."""
    pixels: float
    roll: float


class Spoiled(NamedTuple):
    """What happens to a camera."""

    answers: Answers
    neutral: float = 0.0
    """Share of people who are answered with the last label from then on."""
    light: float = 1.0
    pixels: float = 1.0
    roll: float = 0.0
    faceless: float = 0.0


class Window(NamedTuple):
    """Tracks that ended within `WINDOW_S`."""

    time: float
    cells: list[int]
    sure: int
    gauges: dict[str, float]
    people: int
    """Who came for the first time in it."""


def room(rng: np.random.Generator, kind: Kind, mix: NDArray[np.float64]) -> Room:
    """A room whose people show about this mix [labels]."""
    low, high = _PEOPLE[kind]
    parts = np.stack([_dirichlet(rng, mix) for _ in range(PARTS)])
    light = np.clip(rng.normal(1.0, 0.15, DAY_PARTS), 0.6, 1.4)
    return Room(kind, rng.uniform(low, high), parts, light, rng.uniform(60, 160), rng.normal(0, 2))


def windows(
    rng: np.random.Generator,
    place: Room,
    by_expression: list[NDArray[np.intp]],
    clean: Answers,
    days: int,
    sure_above: float,
    spoiled: Spoiled | None = None,
    at: float = np.inf,
) -> Iterator[Window]:
    """What the camera sends, window by window; from the time `at` on it is spoiled.

    `by_expression`: the pictures of each label, as places in the answers.
    """
    for day in range(days):
        begin = MONDAY + day * DAY_S
        mixes = np.stack([_dirichlet(rng, place.mix[part_of(begin + h * 3600)]) for h in range(24)][::4])
        arrivals = rng.poisson(place.people * HOURS / HOURS.sum())
        hour = np.repeat(np.arange(24), arrivals)
        tracks = 1 + rng.geometric(1 / _TRACKS[place.kind], len(hour)) - 1 * (place.kind == "shop")
        tracks = np.maximum(tracks, 1)
        person = np.repeat(np.arange(len(hour)), tracks)
        first = np.r_[True, person[1:] != person[:-1]] if len(person) else np.zeros(0, bool)
        start = begin + hour * 3600 + rng.uniform(0, 3600, len(hour))
        gaps = np.where(first, 0.0, rng.exponential(_GAP_S[place.kind], len(person)))
        passed = np.cumsum(gaps)
        times = start[person] + passed - np.repeat(passed[first], tracks)
        picture = _shown(rng, mixes[(hour // 4)[person]], first, by_expression)
        after = times >= at
        if spoiled is not None and spoiled.neutral and after.any():
            turns = rng.random(len(hour))[person] < spoiled.neutral  # a person turns, not a track
            neutral = np.flatnonzero(clean.label == len(by_expression) - 1)
            picture = np.where(after & turns, rng.choice(neutral, len(picture)), picture)
        order = np.argsort(times, kind="stable")
        yield from _sent(rng, place, times[order], picture[order], first[order], clean, sure_above, spoiled, at)


def _shown(
    rng: np.random.Generator,
    mixes: NDArray[np.float64],
    first: NDArray[np.bool_],
    by_expression: list[NDArray[np.intp]],
) -> NDArray[np.intp]:
    """What each track shows, and the picture of it: as the one before of the same person, mostly."""
    n = len(first)
    fresh = (rng.random((n, 1)) > mixes.cumsum(axis=1)).sum(axis=1).clip(0, mixes.shape[1] - 1)
    fresh = np.where(np.array([len(each) for each in by_expression])[fresh] > 0, fresh, mixes.shape[1] - 1)
    anew = first | (rng.random(n) > STICKY_FACE)
    source = np.maximum.accumulate(np.where(anew, np.arange(n), 0)) if n else np.zeros(0, np.intp)
    expression = fresh[source]
    sizes = np.array([len(each) for each in by_expression])
    starts = np.r_[0, sizes.cumsum()[:-1]]
    chosen = np.minimum((rng.random(n) * sizes[expression]).astype(np.intp), sizes[expression] - 1)
    pictures = np.concatenate(by_expression)[starts[expression] + chosen]
    repaint = anew | (rng.random(n) > STICKY_PICTURE)
    source = np.maximum.accumulate(np.where(repaint, np.arange(n), 0)) if n else source
    shown: NDArray[np.intp] = pictures[source]
    return shown


def _sent(
    rng: np.random.Generator, place: Room, times: NDArray[np.float64], picture: NDArray[np.intp],
    first: NDArray[np.bool_], clean: Answers, sure_above: float, spoiled: Spoiled | None, at: float,
) -> Iterator[Window]:  # fmt: skip
    slots = np.floor(times / WINDOW_S)
    edges: list[int] = np.flatnonzero(np.diff(slots, prepend=np.nan) != 0).tolist()
    for begin, end in zip(edges, [*edges, len(times)][1:], strict=True):
        rows = picture[begin:end]
        now = (slots[begin] + 1) * WINDOW_S
        bad = spoiled if spoiled is not None and times[begin] >= at else None
        answers = bad.answers if bad is not None else clean
        light = place.light[part_of(now) % DAY_PARTS] * rng.normal(1, 0.05)
        brightness, contrast, sharpness = answers.quality[rows].mean(axis=0)
        gauges: dict[str, float] = {
            DeviceGauge.FACE_BRIGHTNESS: min(1.0, float(brightness * light)),
            DeviceGauge.FACE_CONTRAST: float(contrast * light),
            DeviceGauge.FACE_SHARPNESS: float(sharpness * rng.normal(1, 0.05)),
            DeviceGauge.FACE_PIXELS: place.pixels * float(rng.lognormal(0, 0.1)) * (bad.pixels if bad else 1.0),
            DeviceGauge.FACE_ROLL_DEGREES: place.roll + float(rng.normal(0, 3)) + (bad.roll if bad else 0.0),
            # The whole picture keeps more of its kind than a face does: the answers' means stand in for it.
            DeviceGauge.BRIGHTNESS: min(1.0, float(answers.quality[:, 0].mean() * light)),
            DeviceGauge.CONTRAST: float(answers.quality[:, 1].mean() * light),
            DeviceGauge.SHARPNESS: float(answers.quality[:, 2].mean() * rng.normal(1, 0.05)),
            DeviceGauge.FACELESS: float(np.clip(rng.normal(0.4, 0.1) + (bad.faceless if bad else 0.0), 0, 1)),
        }
        cells = (answers.label[rows] * BUCKETS + answers.bucket[rows]).tolist()
        sure = int((answers.confidence[rows] >= sure_above).sum())
        yield Window(float(now), cells, sure, gauges, int(first[begin:end].sum()))


def _dirichlet(rng: np.random.Generator, mix: NDArray[np.float64]) -> NDArray[np.float64]:
    return rng.dirichlet(np.maximum(mix, 1e-3) * WANDERS)

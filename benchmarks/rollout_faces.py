"""Faces as two classifiers see them, drawn: an explicit model, so that what the gates are measured on can be read.

**Truth.** Each camera has a mix of seven emotions of its own (Dirichlet around `MIX`, the shares that emotion 5 answers
on FER2013's PublicTest). A track is one person: four in five pass by (two looks on average, ten seconds apart), one in
five stays (fifteen). A person's emotion is drawn anew at three looks of ten.

**Two classifiers.** The scores of both begin alike: `SURE` for the true emotion, `ALIKE` for those it is confused with,
noise of the person (light, age, glasses) and noise of the look. Then each has noise of its own, again a part that stays
with the person; how much of it is how far apart two trainings are. Softmax gives probabilities, the largest the label;
`COLD`, by the label, is how sure of it networks are.

**Calibrated** to the releases in this repository's history, on PublicTest: accuracy 0.69; two releases of one training
agree on 95 % (emotion 4 and 5), two trainings of one recipe on 89 % (3 and 4). A good release is anywhere between. Each
emotion is recognized as often as by emotion 5 (`SURE`), and each label is answered with a top probability of at least
0.8 as often (`COLD`). What follows, drawn and measured: a top probability of 0.71 and 0.71 on average; 41 % and 42 % of
the looks sure, of which 91 % and 91 % are right; of these the other release contradicts 0.0 to 0.3 %, and 0.0 to 0.2 %.

**Bad ones** are good ones with one thing more: `worse` has noise that costs it five points of accuracy; `neutral` says
neutral for one answer in five, whatever it was; `slow` takes twice the time on one kind of board; `swapped` exchanges
two labels, drawn anew for each rollout, on one look in ten.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

LABELS: Final = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
MIX: Final = np.array([0.13, 0.015, 0.10, 0.25, 0.195, 0.19, 0.12])
NEUTRAL: Final = 4
SURE: Final = np.array([3.06, 2.41, 2.59, 3.75, 3.02, 3.08, 3.5])
ALIKE: Final = np.array([
    [0.0, 0.6, 0.9, -0.5, 0.9, 1.3, -0.5],
    [2.0, 0.0, 0.5, -0.5, 0.0, 0.8, -0.5],
    [0.8, -0.5, 0.0, -0.5, 0.6, 1.9, 1.2],
    [-0.5, -1.0, -0.5, 0.0, 0.4, 0.0, 0.0],
    [0.3, -1.0, 0.3, 0.2, 0.0, 1.7, -0.2],
    [0.9, -0.5, 1.4, -0.3, 1.8, 0.0, -0.8],
    [-0.2, -1.0, 1.2, 0.2, 0.2, -0.5, 0.0],
])  # fmt: skip
PERSON: Final = 1.05
LOOK: Final = 0.9
STAYS: Final = 0.6
"""Of a classifier's own noise, the share of variance that stays with the person."""
OWN: Final = (0.12, 0.24)
"""Standard deviation of a classifier's own noise: two releases of one training, two trainings of one recipe."""
LEANS: Final = 0.08
"""Standard deviation of what a release's training adds to or takes from each label's score."""
WORSE: Final = 0.73
"""What is added to a release's noise to lose five points of accuracy."""
COLD: Final = np.array([1.27, 3.12, 1.15, 1.7, 1.0, 0.94, 1.57])
"""The scores are multiplied by this before the softmax, by the label that is answered."""

Fault = Literal["", "worse", "neutral", "slow", "swapped"]
FAULTS: Final[tuple[Fault, ...]] = ("worse", "neutral", "slow", "swapped")


@dataclass(frozen=True, slots=True)
class Looks:
    """Looks at faces in the order of time; arrays [N]."""

    seconds: NDArray[np.float64]
    device: NDArray[np.int64]
    truth: NDArray[np.int64]
    champion: NDArray[np.int64]
    challenger: NDArray[np.int64]
    champion_sure: NDArray[np.float64]
    challenger_sure: NDArray[np.float64]
    slower: NDArray[np.bool_]
    """The challenger took more than one and a half times as long."""


class Room:
    """What cameras have in front of them, and the two classifiers of one rollout."""

    def __init__(self, rng: np.random.Generator, slow_devices: NDArray[np.bool_], fault: Fault) -> None:
        """`slow_devices` [devices]: those of the kind of board on which a `slow` release is slow."""
        self._rng, self._slow_devices, self._fault = rng, slow_devices, fault
        devices = len(slow_devices)
        self._mixes = rng.dirichlet(MIX * 12 + 0.05, devices).cumsum(axis=1)
        rate = rng.lognormal(0.0, 0.6, devices)
        self._rate = rate / rate.sum()
        self._own = rng.uniform(*OWN)
        self._leans = LEANS * rng.normal(size=7)
        self._exchanged = rng.choice(7, 2, replace=False)

    def looks(self, count: int) -> Looks:
        """About so many more."""
        rng, devices = self._rng, len(self._rate)
        tracks = int(count / (0.8 * 2 + 0.2 * 15)) + 1
        length = np.where(rng.random(tracks) < 0.8, rng.geometric(1 / 2, tracks), rng.geometric(1 / 15, tracks))
        camera = rng.choice(devices, tracks, p=self._rate)
        begins = rng.random(tracks) * count / devices * 60.0  # one look a minute at the mean camera
        track = np.repeat(np.arange(tracks), length)
        n = len(track)
        seconds = begins[track] + 10.0 * (np.arange(n) - np.repeat(np.cumsum(length) - length, length))
        person, now = self._drawn(camera), self._drawn(camera[track])
        truth = np.where(rng.random(n) < 0.3, now, person[track])
        shared = ALIKE[truth] + PERSON * rng.normal(size=(tracks, 7))[track] + LOOK * rng.normal(size=(n, 7))
        shared[np.arange(n), truth] += SURE[truth]
        champion, champion_sure = _answer(shared + _noise(rng, self._own, tracks, track))
        scores = shared + _noise(rng, self._own, tracks, track) + self._leans
        if self._fault == "worse":
            scores += _noise(rng, WORSE, tracks, track)
        challenger, challenger_sure = _answer(scores)
        if self._fault == "neutral":
            challenger = np.where(rng.random(n) < 0.2, NEUTRAL, challenger)
        if self._fault == "swapped":
            one, two = self._exchanged
            hit = rng.random(n) < 0.1
            challenger = np.where(hit & (challenger == one), two, np.where(hit & (challenger == two), one, challenger))
        slow = (self._fault == "slow") & self._slow_devices[camera[track]]
        slower = rng.random(n) < np.where(slow, 0.97, 0.01)
        order = np.argsort(seconds, kind="stable")
        return Looks(
            seconds=seconds[order],
            device=camera[track][order],
            truth=truth[order],
            champion=champion[order],
            challenger=challenger[order],
            champion_sure=champion_sure[order],
            challenger_sure=challenger_sure[order],
            slower=slower[order],
        )

    def _drawn(self, camera: NDArray[np.int64]) -> NDArray[np.int64]:
        """An emotion of each camera's mix."""
        below = self._mixes[camera] < self._rng.random((len(camera), 1))
        drawn: NDArray[np.int64] = below.sum(axis=1).clip(0, 6)
        return drawn


def _noise(rng: np.random.Generator, scale: float, tracks: int, track: NDArray[np.int64]) -> NDArray[np.float64]:
    stays = np.sqrt(STAYS) * rng.normal(size=(tracks, 7))[track]
    return np.asarray(scale * (stays + np.sqrt(1 - STAYS) * rng.normal(size=(len(track), 7))))


def _answer(scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    label = scores.argmax(axis=1).astype(np.int64)
    top = scores.max(axis=1, keepdims=True)
    return label, np.asarray(1 / np.exp(COLD[label, None] * (scores - top)).sum(axis=1))

"""Waves of a rollout, drawn: what cameras answer in stretches of two minutes, before a release and after.

Forty cameras, each with a mix of its own that wanders (standard deviation 0.5 of its log-shares, remembered for an
hour) and follows the time of day with all others (0.2, remembered for four). People come one by one (one in two minutes
on average, more at busy cameras), are seen in 20 to 400 frames, and the frames of one person resemble one another:
their labels are drawn around the camera's mix as seen through the model's confusions (Dirichlet of strength 3), their
confidence has one mean for all of them (standard deviation 0.12). Faults are those of `rollout_faces`, on the table of
confusions; `swapped` leaves every mix as it is, so that no canary can see it, and is drawn as a good release here.

Before the first wave there are four hours of the old release, as a shadow leaves them. Waves: 1, 4, 20 and 40 cameras.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.rollout_faces import ALIKE, MIX, NEUTRAL, Fault
from benchmarks.rollout_faces import LABELS as NAMES
from edge_fleet.rollout.devices.standing import Standing
from edge_fleet.rollout.evidence.evidence import Answers, Evidence
from edge_fleet.rollout.evidence.stretches import Series
from edge_fleet.rollout.gates.verdict import Outcome
from edge_fleet.rollout.gates.wave import judge_wave
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.plans.plan import DEFAULT

CAMERAS: Final = 40
BOARDS: Final = 4
WAVES: Final = (1, 4, 20, 40)
BEFORE: Final = 120
"""Stretches of two minutes before the first wave."""
LONGEST: Final = 360
"""Stretches of one wave, before a person is asked."""
LOOK_EVERY: Final = 5
HOUR: Final = 30
"""Stretches."""
KIND_OF: Final = [Kind(board=f"board-{number % BOARDS}", runtime="litert", camera="v4l2") for number in range(CAMERAS)]
INVOKE_S: Final = np.array([0.004, 0.006, 0.010, 0.030])

Sums = NDArray[np.float64]
"""As drawn, [cameras, stretches, measures]: faces, errors, confidence, seconds, then each label."""


def canary(rng: np.random.Generator, fault: Fault) -> Outcome:
    """How the waves of one release end: passed by all, failed in one, or waiting for a person in one."""
    state = _State(rng)
    before = _summed(state.draw(BEFORE, np.zeros(CAMERAS, bool), ""))
    order = rng.permutation(CAMERAS)
    for number, size in enumerate(WAVES, 1):
        inside = np.zeros(CAMERAS, bool)
        inside[order[:size]] = True
        stretches, after = LOOK_EVERY, _summed(state.draw(LOOK_EVERY, inside, fault))
        outcome = Outcome.INCONCLUSIVE
        while outcome is Outcome.INCONCLUSIVE and stretches < LONGEST:
            stretches, after = stretches + LOOK_EVERY, after + _summed(state.draw(LOOK_EVERY, inside, fault))
            outcome = _judge(number, inside, before, after, stretches)
        if outcome is not Outcome.PASS:
            return outcome
        before = before + np.where(inside[:, None, None], 0.0, after)
    return Outcome.PASS


class _State:
    """What is in front of the cameras now."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._own = np.log(rng.dirichlet(MIX * 12 + 0.05, CAMERAS) + 1e-3)
        self._rate = rng.lognormal(0.0, 0.6, CAMERAS)
        self._wander = rng.normal(size=(CAMERAS, 7))
        self._day = rng.normal(size=7)
        self._seen = _confusions("")
        self._bias = rng.normal(size=7) * 0.05
        self._flaky = rng.exponential(1e-4, CAMERAS)

    def draw(self, stretches: int, trial: NDArray[np.bool_], fault: Fault) -> Sums:
        """So many stretches on, with the release on trial on some cameras."""
        rng = self._rng
        sums = np.zeros((CAMERAS, stretches, 4 + 7))
        challenger = _confusions(fault) * np.exp(self._bias)
        challenger /= challenger.sum(axis=1, keepdims=True)
        for stretch in range(stretches):
            keeps, day_keeps = np.exp(-1 / HOUR), np.exp(-1 / (4 * HOUR))
            self._wander = keeps * self._wander + np.sqrt(1 - keeps**2) * rng.normal(size=(CAMERAS, 7))
            self._day = day_keeps * self._day + np.sqrt(1 - day_keeps**2) * rng.normal(size=7)
            mix = np.exp(self._own + 0.5 * self._wander + 0.2 * self._day)
            mix /= mix.sum(axis=1, keepdims=True)
            seen = np.where(trial[:, None], mix @ challenger, mix @ self._seen)
            people = rng.poisson(self._rate)
            camera = np.repeat(np.arange(CAMERAS), people)
            frames = rng.integers(20, 400, len(camera)).astype(float)
            shares = rng.standard_gamma(3 * seen[camera] + 1e-6)
            shares /= shares.sum(axis=1, keepdims=True)
            np.add.at(sums[:, stretch, 4:], camera, shares * frames[:, None])
            np.add.at(sums[:, stretch, 0], camera, frames)
            lower = 0.05 if fault == "worse" else 0.0
            sure = 0.7 - np.where(trial[camera], lower, 0.0) + 0.12 * rng.normal(size=len(camera))
            np.add.at(sums[:, stretch, 2], camera, frames * sure.clip(0.15, 0.99))
        faces = sums[:, :, 0]
        sums[:, :, 1] = rng.poisson(faces * self._flaky[:, None])
        slow = np.where(trial & (np.arange(CAMERAS) % BOARDS == 0) & (fault == "slow"), 2.0, 1.0)
        cost = INVOKE_S[np.arange(CAMERAS) % BOARDS] * slow
        sums[:, :, 3] = faces * cost[:, None] * rng.lognormal(0.0, 0.08, faces.shape)
        return sums


def _confusions(fault: Fault) -> NDArray[np.float64]:
    """[true, answered]: how often each label is answered; a softmax of what labels are alike, 0.68 right."""
    scores = 0.9 * ALIKE + 3.1 * np.eye(7)
    table = np.exp(scores)
    table /= table.sum(axis=1, keepdims=True)
    if fault == "worse":
        table = 0.93 * table + 0.07 * (table @ table)
    if fault == "neutral":
        table = 0.8 * table
        table[:, NEUTRAL] += 0.2
    return table


def _summed(drawn: Sums) -> Sums:
    """Over stretches, [cameras, measures, 6]: what a `Series` of each measure holds."""
    faces = drawn[:, :, :1]
    weights = np.concatenate([faces + drawn[:, :, 1:2], np.broadcast_to(faces, (*faces.shape[:2], 9))], axis=2)
    values = drawn[:, :, 1:]
    parts = ((weights > 0).astype(float), weights, values, weights**2, weights * values, values**2)
    return np.stack([part.sum(axis=1) for part in parts], axis=2)


def _judge(number: int, inside: NDArray[np.bool_], before: Sums, after: Sums, stretches: int) -> Outcome:
    old, new = _answers(before), _answers(after)
    standings, wave, controls = [], {}, {}
    for camera in range(CAMERAS):
        name = f"cam-{camera}"
        if inside[camera]:
            standings.append(Standing(device=name, kind=KIND_OF[camera], progress="running", since=0.0))
            wave[name] = Evidence(release="a" * 64, wave=number, before=old[camera], trial=new[camera])
        else:
            controls[name] = Evidence(release="a" * 64, wave=number, before=old[camera], kept=new[camera])
    return judge_wave(DEFAULT, standings, wave, controls, now=stretches * 120.0).outcome


def _answers(sums: Sums) -> list[Answers]:
    """As `Evidence` holds them."""
    found = []
    for camera in sums.tolist():
        errors, confidence, latency, *labels = (Series(int(row[0]), *row[1:]) for row in camera)
        mix = dict(zip(NAMES, labels, strict=True))
        found.append(Answers(errors=errors, confidence=confidence, latency=latency, mix=mix))
    return found

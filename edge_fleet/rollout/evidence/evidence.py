"""What one device's telemetry says of a release: folded message by message into one row, whatever order or loss. Pure.

Two kinds of evidence. From a shadow: what both models said of the same faces, added up over the sessions of the device.
From what it answers: confidence, mix of answers, errors and latency, in stretches of two minutes, apart for the release
before, for the release before since the wave began, and for the release on trial.

A device may lie. What cannot be (a count that falls within a session, more agreed than compared, more looks than a
camera has frames) is put aside with its window, counted, and said with the verdict. What could be and is not true
weighs no more than another device's: `weights` sees to that.
"""

from collections.abc import Mapping
from statistics import median_low
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from edge_contract.errors import MessageError
from edge_contract.messages import Amount, Count, Key, Label, ModelRef, Seconds, Sha256, ShadowCounts, Telemetry
from edge_fleet.rollout.evidence.gains import (
    LABELS,
    LONGEST_WINDOW_S,
    Fault,
    Shadow,
    Totals,
    added,
    fault_of,
    gained,
    shadow_added,
    shadow_fault_of,
    shadow_gained,
    totals_of,
)
from edge_fleet.rollout.evidence.stretches import Series

STRETCH_S: Final = 120.0
"""Of what a device answers. In two minutes a face comes and goes; shorter ones would be copies of one another."""
SHADOW_STRETCH_S: Final = 600.0
"""Of a shadow, whose looks at one face are spaced: long enough to hold several looks at the same person."""
HEAVIEST: Final = 4.0
"""No device counts for more than so many times what the median device saw: else one busy (or lying) device would be the
verdict. Four times is what a hall sees beside an office; a majority of liars would be needed to move the median."""
LIGHT: Final = 50.0
"""Looks up to which no device is held to the median: while there are few, each counts."""


class Open(Struct, frozen=True, kw_only=True):
    """A stretch that is not over."""

    since: Seconds
    weight: Amount = 0.0
    value: Amount = 0.0


class Answers(Struct, frozen=True, kw_only=True):
    """What a device answered while one release ran: over stretches, for each face."""

    errors: Series = Series()
    """Faces without an answer, of all faces."""
    confidence: Series = Series()
    latency: Series = Series()
    """Seconds of an inference."""
    mix: dict[Label, Series] = {}

    def joined(self, other: "Answers") -> "Answers":
        """The stretches of both."""
        mix = {
            label: self.share_of(label).joined(other.share_of(label))
            for label in sorted({*self.mix, *other.mix})[:LABELS]
        }
        return Answers(
            errors=self.errors.joined(other.errors),
            confidence=self.confidence.joined(other.confidence),
            latency=self.latency.joined(other.latency),
            mix=mix,
        )

    def share_of(self, label: str) -> Series:
        """Of a label that was not answered, all stretches with nothing in them."""
        return self.mix.get(label) or self.confidence.without_value()


class Evidence(Struct, frozen=True, kw_only=True):
    """One device's; a row of the store. `take` returns it with one more message."""

    release: Sha256
    """The digest of the release on trial."""
    wave: Count = 0
    """The wave that was under way at the last message; 0 before the first."""
    last: Key = (0, 0)
    end: Seconds = 0.0
    """Of the last window, by the device's clock."""
    model: Sha256 | None = None
    totals: Totals | None = None
    shadow_totals: ShadowCounts | None = None
    shadow: Shadow = Shadow()
    shadow_open: Open | None = None
    stretch: Totals | None = None
    """What the stretch under way gained."""
    stretch_since: Seconds = 0.0
    before_model: Sha256 | None = None
    before: Answers = Answers()
    """By the release that ran before, until this wave began."""
    kept: Answers = Answers()
    """By the release that ran before, since this wave began: what the devices that are not in it are compared by."""
    trial: Answers = Answers()
    """By the release on trial, since this wave began."""
    faults: dict[Fault, Count] = {}
    """Windows that were put aside, by what was wrong with them."""

    def take(self, telemetry: Telemetry, wave: int = 0) -> "Evidence":
        """With one window more; an old or known one changes nothing. `wave`: the one under way, counted from 1."""
        key = (telemetry.session, telemetry.sequence)
        if key <= self.last:
            return self
        found = self if wave == self.wave else self._in_wave(wave)
        anew = telemetry.session != found.last[0]
        if anew:
            found = replace(found, totals=None, shadow_totals=None, stretch=None)
        seconds = max(0.0, telemetry.end - (telemetry.start if anew else found.end))
        found = found._behaved(telemetry, min(seconds, LONGEST_WINDOW_S))
        found = found._compared(telemetry, min(seconds, LONGEST_WINDOW_S))
        model = telemetry.model.digest if telemetry.model is not None else None
        return replace(found, last=key, end=telemetry.end, model=model)

    def _in_wave(self, wave: int) -> "Evidence":
        """A wave begins: what was answered until now is before it."""
        return replace(
            self, wave=wave, before=self.before.joined(self.kept), kept=Answers(), trial=Answers(), stretch=None
        )

    def _fault(self, fault: Fault) -> "Evidence":
        return replace(self, faults={**self.faults, fault: self.faults.get(fault, 0) + 1})

    def _behaved(self, telemetry: Telemetry, seconds: float) -> "Evidence":
        totals = totals_of(telemetry)
        before, found = self.totals, replace(self, totals=totals)
        model = telemetry.model.digest if telemetry.model is not None else None
        if before is None or model is None or model != self.model:
            # The first window of a session, or one in which the model changed: nobody knows whose answers it holds.
            return replace(found, stretch=None)
        gain = gained(before, totals)
        if gain is None:
            return replace(found, stretch=None)._fault("counts fell")
        if fault := fault_of(gain, seconds):
            return replace(found, stretch=None)._fault(fault)
        stretch = gain if self.stretch is None else added(self.stretch, gain)
        since = self.stretch_since if self.stretch is not None else self.end
        if telemetry.end - since < STRETCH_S and telemetry.end >= since:
            return replace(found, stretch=stretch, stretch_since=since)
        return found._closed(stretch, model)

    def _closed(self, stretch: Totals, model: str) -> "Evidence":
        """The stretch is over, and belongs to the model that ran in it."""
        found = replace(self, stretch=None)
        if model == self.release:
            return replace(found, trial=_longer(self.trial, stretch))
        if model != self.before_model:
            found = replace(found, before_model=model, before=Answers(), kept=Answers())
        if self.wave:
            return replace(found, kept=_longer(found.kept, stretch))
        return replace(found, before=_longer(found.before, stretch))

    def _compared(self, telemetry: Telemetry, seconds: float) -> "Evidence":
        now = telemetry.shadow
        if now is None or now.challenger.digest != self.release:
            return self
        before, found = self.shadow_totals, replace(self, shadow_totals=now)
        if now.champion.digest != self.shadow.champion:
            found = replace(found, shadow=Shadow(champion=now.champion.digest), shadow_open=None)
            before = None
        gain = shadow_gained(before, now)
        if gain is None:
            return found._fault("counts fell")
        if fault := shadow_fault_of(gain, seconds if before is not None else LONGEST_WINDOW_S):
            return found._fault(fault)
        shadow = shadow_added(found.shadow, gain)
        stretch = found.shadow_open or Open(since=telemetry.start)
        stretch = replace(stretch, weight=stretch.weight + gain.looks, value=stretch.value + gain.looks - gain.agreed)
        if 0 <= telemetry.end - stretch.since < SHADOW_STRETCH_S:
            return replace(found, shadow=shadow, shadow_open=stretch)
        disagreed = shadow.disagreed.added(stretch.weight, stretch.value)
        return replace(found, shadow=replace(shadow, disagreed=disagreed), shadow_open=None)


def begin(release: ModelRef) -> Evidence:
    """Of a device of which nothing is known."""
    return Evidence(release=release.digest)


def encode(evidence: Evidence) -> bytes:
    """A row for the store."""
    return msgspec.msgpack.encode(evidence)


def decode(row: bytes) -> Evidence:
    """A row of the store.

    Raises:
        MessageError: it is damaged.
    """
    try:
        return msgspec.msgpack.decode(row, type=Evidence)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a row of evidence is damaged ({error})", remedy="put it aside and begin anew") from error


def weights(looks: Mapping[str, float]) -> dict[str, float]:
    """What each device's counts are multiplied by, so that none weighs more than `HEAVIEST` times the median."""
    seen = [count for count in looks.values() if count > 0]
    most = HEAVIEST * max(median_low(seen), LIGHT / HEAVIEST) if len(seen) > 1 else float("inf")
    return {device: 1.0 if count <= most else most / count for device, count in looks.items()}


def _longer(answers: Answers, stretch: Totals) -> Answers:
    """With one stretch more."""
    faces = float(stretch.faces)
    labels = [*answers.mix, *(label for label in stretch.emotions if label not in answers.mix)][:LABELS]
    return Answers(
        errors=answers.errors.added(faces + stretch.errors, float(stretch.errors)),
        confidence=answers.confidence.added(faces, stretch.confidence),
        latency=answers.latency.added(float(stretch.inferences), stretch.seconds),
        mix={label: answers.share_of(label).added(faces, float(stretch.emotions.get(label, 0))) for label in labels},
    )

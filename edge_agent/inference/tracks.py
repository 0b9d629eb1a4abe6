"""Which face is which: boxes of one frame joined to the faces known before.

Pure: `step(state, event) -> state`. The detector looks at some frames (`Detected`); between them a follower says where
each face went (`Followed`). A face gets a number at its first sighting and keeps it until it was missed for a while.
Following itself is `follow`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from edge_vision.faces import Face
from edge_vision.picture import Box

_JOIN: Final = 0.2
"""Least intersection over union at which a found box is a known face: it moved since the last detection."""

_SURE: Final = 0.8
"""Detector score at which one sighting is enough; a doubtful face needs a second one, on the next frame."""

_MISSES: Final = 2
"""A face not found in this many detections in a row is gone: blinks and turns of the head last one."""


@dataclass(frozen=True, slots=True)
class Track:
    """One face over time."""

    number: int
    box: Box
    score: float
    """The detector's confidence at the last sighting."""
    sightings: int = 1
    misses: int = 0
    """Detections in a row that did not find it."""
    roll: float | None = None
    """How far it leaned at the last sighting; see `Face`."""

    @property
    def confirmed(self) -> bool:
        """Seen surely once, or twice."""
        return self.score >= _SURE or self.sightings > 1


@dataclass(frozen=True, slots=True)
class Tracks:
    """All faces known now; start with `Tracks()`."""

    known: tuple[Track, ...] = ()
    """Largest first."""
    next_number: int = 1

    @property
    def confirmed(self) -> tuple[Track, ...]:
        """Those worth classifying."""
        return tuple(track for track in self.known if track.confirmed and track.misses == 0)

    @property
    def doubtful(self) -> bool:
        """A detection on the next frame would settle something."""
        return any(not track.confirmed for track in self.known)


@dataclass(frozen=True, slots=True)
class Detected:
    """What the detector found in this frame: all faces, or none."""

    faces: Sequence[Face]


@dataclass(frozen=True, slots=True)
class Followed:
    """Where known faces are in this frame, by track number; one that is missing was not found again."""

    boxes: Mapping[int, Box]


@dataclass(frozen=True, slots=True)
class SceneChanged:
    """This frame has nothing to do with the last."""


Event = Detected | Followed | SceneChanged


def step(state: Tracks, event: Event) -> Tracks:
    """The tracks after this event."""
    match event:
        case Detected():
            return _detected(state, event.faces)
        case Followed():
            return replace(
                state,
                known=tuple(
                    replace(track, box=event.boxes[track.number])
                    if track.number in event.boxes
                    else replace(track, misses=max(1, track.misses))
                    for track in state.known
                ),
            )
        case SceneChanged():
            return Tracks(next_number=state.next_number)
        case _:
            assert_never(event)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (one.width * one.height + other.width * other.height - both)


def _detected(state: Tracks, faces: Sequence[Face]) -> Tracks:
    """Join best pairs first; the rest are new faces and missed ones."""
    pairs = sorted(
        (
            (overlap(track.box, face.box), index, track.number)
            for track in state.known
            for index, face in enumerate(faces)
        ),
        reverse=True,
    )
    face_of: dict[int, int] = {}
    for shared, index, number in pairs:
        if shared >= _JOIN and number not in face_of and index not in face_of.values():
            face_of[number] = index
    known: list[Track] = []
    for track in state.known:
        found = face_of.get(track.number)
        if found is None:
            if track.misses + 1 < _MISSES and track.confirmed:
                known.append(replace(track, misses=track.misses + 1))
        else:
            face = faces[found]
            sightings = track.sightings + 1
            known.append(replace(track, box=face.box, score=face.score, sightings=sightings, misses=0, roll=face.roll))
    number = state.next_number
    for index, face in enumerate(faces):
        if index not in face_of.values():
            known.append(Track(number, face.box, face.score, roll=face.roll))
            number += 1
    known.sort(key=lambda track: track.box.width * track.box.height, reverse=True)
    return Tracks(tuple(known), number)

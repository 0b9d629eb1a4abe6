"""Answers that were given elsewhere, added: all of a file or nothing.

A crop that is not here any more is counted and passed over, as is an answer no newer than one which the same person
gave to the same crop: so a file that is imported twice changes nothing. A label that no model gave to the crop refuses
the file, for it is a mistake of the file and not of one row.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edge_bridge.labels import annotations
from edge_bridge.labels.answers import Answer
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.door import guess_in
from edge_bridge.labels.tables import annotations as annotation_table
from edge_bridge.labels.tables import crops
from edge_contract.errors import MessageError, UsageError
from edge_contract.visible import visible

ANSWERS: Final = 1_000_000
"""In one file, at most."""
NAME: Final = 64
_LATEST: Final = 2.0**37


class Given(NamedTuple):
    """One answer as a file has it."""

    crop: str
    """`device-session-sequence`."""
    annotator: str
    answer: Answer
    time: float
    shown: bool


class Imported(NamedTuple):
    """What became of a file's answers."""

    added: int
    known: int
    """No newer than what the same person said here."""
    gone: int
    """Of crops that are not here: forgotten, erased, or of another bridge."""


def add(database: LabelDatabase, given: Sequence[Given], now: float) -> Imported:
    """Add them, the oldest first.

    Raises:
        UsageError: one of them cannot be; none was added.
        StoreError: none was added.
    """
    added = known = gone = 0
    with database.transaction() as connection:
        for each in sorted(given, key=lambda each: each.time):
            _check(each, now)
            crop = _crop(connection, each.crop)
            if crop is None:
                gone += 1
            elif _newest(connection, crop[0], each.annotator) >= each.time:
                known += 1
            elif each.answer.kind == "label" and each.answer.label not in crop[1]:
                raise UsageError(
                    f"no model answers the crop {each.crop} with {visible(each.answer.label)[:80]!r}",
                    remedy=f"known are {', '.join(map(visible, crop[1]))}",
                )
            else:
                annotations.add(connection, crop[0], each.annotator, each.answer, each.time, shown=each.shown)
                added += 1
    return Imported(added, known, gone)


def _check(each: Given, now: float) -> None:
    name = each.annotator
    if not 0 < len(name) <= NAME or visible(name) != name or not name.strip():
        raise UsageError(
            f"the annotator {visible(name)[:80]!r} is no name", remedy=f"give one line of 1 to {NAME} characters"
        )
    if not 0 <= each.time <= min(now + 86400, _LATEST):
        raise UsageError(
            f"the answer to {visible(each.crop)[:160]} was given at no time that can be", remedy="correct its time"
        )


def _crop(connection: Connection, name: str) -> tuple[int, list[str]] | None:
    device, _, rest = name.rpartition("-")
    device, _, session = device.rpartition("-")
    if not (session.isascii() and session.isdecimal() and rest.isascii() and rest.isdecimal()):
        return None
    if max(len(session), len(rest)) > 18:
        return None
    row = connection.execute(
        sa.select(crops.c.id, crops.c.champion, crops.c.challenger).where(
            crops.c.device == device, crops.c.session == int(session), crops.c.sequence == int(rest)
        )
    ).one_or_none()
    if row is None:
        return None
    try:
        guesses = [guess_in(text) for text in (row.champion, row.challenger) if text is not None]
    except MessageError:
        return None
    return row.id, list(dict.fromkeys(label for each in guesses for label in each.probabilities))


def _newest(connection: Connection, crop: int, annotator: str) -> float:
    newest = connection.execute(
        sa.select(sa.func.max(annotation_table.c.time)).where(
            annotation_table.c.crop == crop, annotation_table.c.annotator == annotator
        )
    ).scalar()
    return -1.0 if newest is None else float(newest)

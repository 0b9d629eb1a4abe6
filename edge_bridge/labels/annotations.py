"""What people say, in the database: added, taken back, and which crop a person is asked of next.

Rows are added and never changed. Each function works in the caller's transaction.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edge_bridge.labels.answers import Annotation, Answer, standing
from edge_bridge.labels.door import answer_of, guess_in
from edge_bridge.labels.queue import SHUFFLE, Question, Waiting, begins_at, choose
from edge_bridge.labels.tables import annotations, crops
from edge_contract.crop import Stratum
from edge_contract.errors import MessageError

UNDO: Final = "undo"


class Progress(NamedTuple):
    """How far labelling has come."""

    crops: int
    """That can be shown."""
    answered: int
    """With an answer of anyone."""
    mine: int
    """Crops with an answer of this person."""


def add(connection: Connection, crop: int, annotator: str, answer: Answer, time: float, *, shown: bool) -> int | None:
    """Note an answer; its number, or None where there is no such crop any more."""
    row = connection.execute(sa.select(crops.c.model, crops.c.champion).where(crops.c.id == crop)).one_or_none()
    if row is None:
        return None
    try:
        guess = answer_of(guess_in(row.champion))
    except MessageError:
        guess = ""
    return _note(
        connection, crop, annotator, time, kind=answer.kind, label=answer.label, shown=shown, model=row.model,
        guess=guess,
    )  # fmt: skip


def take_back(connection: Connection, annotator: str, time: float) -> int | None:
    """Take back this person's last answer that stands; its crop, or None where there is none."""
    last = connection.execute(
        sa.select(annotations)
        .where(annotations.c.annotator == annotator, annotations.c.kind != UNDO, ~_undone(annotations.c.number))
        .order_by(annotations.c.number.desc())
        .limit(1)
    ).one_or_none()
    if last is None:
        return None
    _note(
        connection, last.crop, annotator, time, kind=UNDO, label="", shown=last.shown, model=last.model,
        guess=last.guess, undoes=last.number,
    )  # fmt: skip
    return int(last.crop)


def rows(connection: Connection, of: Iterable[int] | None = None) -> list[Annotation]:
    """All rows, or those of some crops, oldest first; a row that no reader knows is left out."""
    query = sa.select(annotations).order_by(annotations.c.number)
    if of is not None:
        query = query.where(annotations.c.crop.in_(list(of)))
    found = []
    for row in connection.execute(query):
        if row.kind in {"label", "not-a-face", "cannot-tell"}:
            answer: Answer | None = Answer(row.kind, str(row.label))
        elif row.kind == UNDO:
            answer = None
        else:
            continue
        found.append(Annotation(row.number, row.crop, row.annotator, answer, row.time, bool(row.shown), row.undoes))
    return found


def next_crop(connection: Connection, annotator: str, key: bytes, second_share: float) -> int | None:
    """Which crop this person is asked of next; None where nothing waits. `key`: the id of the key that can open it."""
    limit = int(second_share * SHUFFLE)
    shown = (crops.c.key == key) & (crops.c.damaged == "")
    other = shown & (crops.c.answers == 1) & (crops.c.shuffle < limit) & ~_answered_by(annotator)
    strata: dict[Stratum, Waiting] = {}
    counted = sa.select(
        crops.c.stratum, sa.func.count().filter(crops.c.answers > 0), sa.func.count().filter(crops.c.answers == 0)
    ).where(shown)
    again = sa.select(crops.c.stratum, sa.func.count()).where(other).group_by(crops.c.stratum)
    second: dict[Stratum, int] = {row[0]: row[1] for row in connection.execute(again)}
    for stratum, answered, first in connection.execute(counted.group_by(crops.c.stratum)):
        strata[stratum] = Waiting(answered, first, second.get(stratum, 0))
    question = choose(strata, _mine(connection, annotator))
    if question is None:
        return None
    return _first(connection, question, other if question.second else shown & (crops.c.answers == 0), annotator)


def progress(connection: Connection, annotator: str) -> Progress:
    """How far it has come."""
    both = sa.select(sa.func.count(), sa.func.count().filter(crops.c.answers > 0)).where(crops.c.damaged == "")
    count, answered = connection.execute(both).one()
    return Progress(count, answered, _mine(connection, annotator))


def _note(
    connection: Connection, crop: int, annotator: str, time: float, *, kind: str, label: str, shown: bool, model: str,
    guess: str, undoes: int | None = None,
) -> int:  # fmt: skip
    made = connection.execute(
        sa.insert(annotations).values(
            crop=crop, annotator=annotator, kind=kind, label=label, time=time, shown=shown, model=model, guess=guess,
            undoes=undoes,
        )
    )  # fmt: skip
    stands = standing(rows(connection, [crop])).get(crop, {})
    connection.execute(sa.update(crops).where(crops.c.id == crop).values(answers=len(stands)))
    key = made.inserted_primary_key
    assert key is not None  # noqa: S101  # the table has one
    return int(key[0])


def _first(connection: Connection, question: Question, waits: sa.ColumnElement[bool], annotator: str) -> int | None:
    """The first one in the order of crops from where this person begins, round."""
    of_stratum = sa.select(crops.c.id).where(waits, crops.c.stratum == question.stratum).order_by(crops.c.shuffle)
    begin = begins_at(annotator)
    for further in (of_stratum.where(crops.c.shuffle >= begin), of_stratum):
        found: int | None = connection.execute(further.limit(1)).scalar()
        if found is not None:
            return found
    return None


def _mine(connection: Connection, annotator: str) -> int:
    mine = sa.select(sa.func.count(sa.distinct(annotations.c.crop))).where(
        annotations.c.annotator == annotator, annotations.c.kind != UNDO, ~_undone(annotations.c.number)
    )
    return int(connection.execute(mine).scalar_one())


def _undone(number: "sa.ColumnElement[int] | sa.Column[int]") -> sa.ColumnElement[bool]:
    undo = annotations.alias("undo")
    return sa.exists().where(undo.c.undoes == number)


def _answered_by(annotator: str) -> sa.ColumnElement[bool]:
    mine = annotations.alias("mine")
    undo = annotations.alias("undo_of_mine")
    return sa.exists().where(
        mine.c.crop == crops.c.id,
        mine.c.annotator == annotator,
        mine.c.kind != UNDO,
        ~sa.exists().where(undo.c.undoes == mine.c.number),
    )

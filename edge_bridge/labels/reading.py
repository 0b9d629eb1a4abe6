"""From the tables to what is reported and exported: crops that somebody answered, as facts without pictures."""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edge_bridge.labels import annotations
from edge_bridge.labels.answers import Annotation, standing
from edge_bridge.labels.door import answer_of, guess_in, model_of
from edge_bridge.labels.queue import STRATA
from edge_bridge.labels.report import Facts, Report, report
from edge_bridge.labels.tables import annotations as annotation_table
from edge_bridge.labels.tables import crops, tombstones
from edge_contract.errors import MessageError


class Labelled(NamedTuple):
    """What people answered."""

    facts: list[Facts]
    stands: dict[int, dict[str, Annotation]]
    damaged: int
    """Crops left out, for what is stored beside them is damaged."""


def labelled(connection: Connection) -> Labelled:
    """Every crop with an answer that stands, oldest first, and those answers."""
    return _with_facts(connection, sa.select(*_FACTS).where(crops.c.answers > 0))


def every_crop(connection: Connection) -> Labelled:
    """Every crop that can be shown, answered or not."""
    return _with_facts(connection, sa.select(*_FACTS).where(crops.c.damaged == ""))


def overview(connection: Connection) -> Report:
    """All that is reported."""
    found = labelled(connection)
    counted = sa.select(crops.c.stratum, sa.func.count()).group_by(crops.c.stratum)
    by_stratum = {row[0]: row[1] for row in connection.execute(counted)}
    hidden = connection.execute(sa.select(sa.func.count()).where(crops.c.damaged != "")).scalar_one()
    erased = connection.execute(sa.select(sa.func.count()).select_from(tombstones)).scalar_one()
    return report(
        {each: by_stratum.get(each, 0) for each in STRATA}, found.facts, found.stands,
        damaged=hidden + found.damaged, tombstones=erased,
    )  # fmt: skip


def state(connection: Connection) -> tuple[int, ...]:
    """Numbers that change whenever what `overview` reads has changed."""
    return tuple(
        connection.execute(sa.select(sa.func.coalesce(value, 0))).scalar_one()
        for value in (
            sa.select(sa.func.max(annotation_table.c.number)).scalar_subquery(),
            sa.select(sa.func.max(crops.c.id)).scalar_subquery(),
            sa.select(sa.func.count()).select_from(crops).scalar_subquery(),
            sa.select(sa.func.max(tombstones.c.number)).scalar_subquery(),
        )
    )


_FACTS = (
    crops.c.id, crops.c.device, crops.c.session, crops.c.sequence, crops.c.taken, crops.c.track, crops.c.stratum,
    crops.c.inclusion, crops.c.champion, crops.c.challenger,
)  # fmt: skip


def _with_facts(connection: Connection, query: "sa.Select[tuple[object, ...]]") -> Labelled:
    stands = standing(annotations.rows(connection))
    facts, damaged = [], 0
    for row in connection.execute(query.order_by(crops.c.taken, crops.c.id)):
        try:
            facts.append(_facts(row))
        except (MessageError, TypeError):
            damaged += 1
    return Labelled(facts, stands, damaged)


def _facts(row: "sa.Row[tuple[object, ...]]") -> Facts:
    answers: dict[str, str] = {}
    for text in (row.champion, row.challenger):
        if text is not None:
            guess = guess_in(text)
            answers.setdefault(model_of(guess), answer_of(guess))
    return Facts(
        row.id, row.device, row.session, row.sequence, row.taken, row.track, row.stratum, row.inclusion, answers
    )

"""Crops for Label Studio, and its answers back: its JSON, as `Import` takes it and as `Export` gives it.

A task holds its picture as a data URL, so the file is all that Label Studio needs, and pictures are in the clear in it.
The model's answer is no part of it, unless it is asked for: who sees it leans towards it. docs/labelling.md has the
labelling interface that belongs to it.
"""

import base64
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct, field

from edge_bridge.labels import crops, reading
from edge_bridge.labels.answer_csv import seconds
from edge_bridge.labels.answers import Answer
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.importing import ANSWERS, NAME, Given
from edge_bridge.labels.picture import png
from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.crop import unseal
from edge_contract.durable import write_file
from edge_contract.errors import MessageError, UsageError
from edge_contract.visible import visible

NOT_A_FACE: Final = "not a face"
CANNOT_TELL: Final = "cannot tell"
CONTROL: Final = "answer"
"""The name of the choices in the labelling interface."""
_SPECIAL: Final = {NOT_A_FACE: Answer("not-a-face"), CANNOT_TELL: Answer("cannot-tell")}


class Exported(NamedTuple):
    """What was written, and what was left out."""

    tasks: int
    over: int
    """Past the limit."""
    damaged: int


def export_tasks(
    database: LabelDatabase, key: X25519PrivateKey, file: Path, limit: int, *, with_model: bool
) -> Exported:
    """Write a task a crop, those with the fewest answers first, at most `limit`.

    Raises:
        UsageError: the file would be larger than can be read again.
        StoreError: the database is away.
        OSError: the file cannot be written; one that was there stays as it was.
    """
    tasks, damaged, size = [], 0, 0
    with database.reading() as connection:
        found = reading.every_crop(connection)
        ordered = sorted(found.facts, key=lambda each: (len(found.stands.get(each.id, {})), each.id))
        for each in ordered[:limit]:
            try:
                stored = crops.opened(connection, each.id)
                picture = None if stored is None else png(unseal(stored.sealed, stored.device, key))
            except MessageError:
                picture = None
            if picture is None:
                damaged += 1
                continue
            data = {"image": f"data:image/png;base64,{base64.b64encode(picture).decode()}", "crop": each.name}
            task: dict[str, Any] = {"data": data}
            if with_model:
                task["predictions"] = [
                    {"model_version": model, "result": [_result(answer)]} for model, answer in each.answers.items()
                ]
            tasks.append(msgspec.json.encode(task))
            size += len(tasks[-1]) + 2
            if size > limits.DOCUMENT_BYTES:
                raise UsageError(f"{len(tasks):,} pictures do not fit into one file", remedy="give a smaller --limit")
    write_file(file, b"[" + b",\n".join(tasks) + b"]\n", mode=0o600)
    return Exported(len(tasks), max(0, len(ordered) - limit), damaged + found.damaged)


def _result(answer: str) -> dict[str, Any]:
    return {"from_name": CONTROL, "to_name": "image", "type": "choices", "value": {"choices": [answer]}}


class _Value(Struct, frozen=True):
    choices: list[str] = field(default_factory=list)


class _Result(Struct, frozen=True):
    type: str = ""
    value: _Value = field(default_factory=_Value)


class _Person(Struct, frozen=True):
    id: int | None = None
    email: str = ""


class _Annotation(Struct, frozen=True):
    result: list[_Result] = field(default_factory=list)
    completed_by: int | _Person | None = None
    created_at: str = ""
    was_cancelled: bool = False


class _Data(Struct, frozen=True):
    crop: str = ""


class _Task(Struct, frozen=True):
    data: _Data
    annotations: list[_Annotation] = field(default_factory=list)
    predictions: list[msgspec.Raw] = field(default_factory=list)


def read_tasks(file: Path) -> list[Given]:
    """The answers in what Label Studio exported as JSON; a skipped task has none.

    Raises:
        UsageError: it cannot be read, or an answer of it is none; the text names the task.
    """
    try:
        tasks = msgspec.json.decode(read_file(file, limits.DOCUMENT_BYTES), type=list[_Task])
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error})", remedy="name a JSON file of Label Studio") from error
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
        raise UsageError(
            f"{file} is no export of Label Studio ({visible(str(error))})", remedy="export it there as JSON"
        ) from error
    found = []
    for task in tasks:
        for each in task.annotations:
            if each.was_cancelled or not each.result:
                continue
            try:
                found.append(_given(task, each))
            except (ValueError, OverflowError) as error:
                raise UsageError(
                    f"{file}, task of crop {visible(task.data.crop)[:160]!r}: {error}", remedy="correct this task"
                ) from error
    if len(found) > ANSWERS:
        raise UsageError(f"{file} has more than {ANSWERS:,} answers", remedy="import it in parts")
    return found


def _given(task: _Task, each: _Annotation) -> Given:
    if not task.data.crop:
        raise ValueError("it names no crop: import what `edgewise labels export --label-studio` wrote")
    chosen = [choice for result in each.result if result.type == "choices" for choice in result.value.choices]
    if len(chosen) != 1:
        raise ValueError(f"it has {len(chosen)} choices, not one")
    who = each.completed_by
    if isinstance(who, _Person):
        name = who.email or (f"label-studio-{who.id}" if who.id is not None else "")
    else:
        name = f"label-studio-{who}" if who is not None else ""
    if not name:
        raise ValueError("it does not say who completed it")
    answer = _SPECIAL.get(chosen[0], Answer("label", chosen[0]))
    return Given(task.data.crop, name[:NAME], answer, seconds(each.created_at), bool(task.predictions))

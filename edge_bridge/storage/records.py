"""What the database holds of devices and sums, read back and checked: a whole record, or the reason why there is none.

The same bounds as at the door: a record that passes can be shown, added to, and written again. Pure.
"""

from typing import TypeVar

import msgspec

from edge_bridge.drift import state
from edge_bridge.drift.state import DriftState
from edge_bridge.fleet.acknowledgement import Progress
from edge_bridge.fleet.histograms import of_confidence, of_stage
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.state import Key, Sum
from edge_contract.errors import UsageError
from edge_contract.messages import STAGES, Histogram, Prediction, Seconds
from edge_contract.topics import checked_id

T = TypeVar("T")


class DamagedError(ValueError):
    """A record is not what this bridge, or an older one, writes."""


def device(name: object, record: object) -> Device:
    """The record of the device of this name.

    Raises:
        DamagedError: it cannot be read; so for all functions here.
    """
    found = _decoded(record, Device)
    if found.id != name:
        raise DamagedError(f"it is of {found.id}")
    try:
        windows = found.windows
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedError(f"a window: {error}") from error
    for stages in (*found.stages.values(), *(each.stages for each in windows)):
        _check_stages(stages)
    confidence = [each.confidence for each in windows]
    confidence += [answer for each in windows if each.tracks is not None for answer in each.tracks.answers.values()]
    if not all(map(of_confidence, confidence)):
        raise DamagedError("a histogram of confidence has not one count per bucket")
    return found


def progress(name: object, record: object) -> Progress:
    """How far the messages of the device of this name are stored."""
    try:
        checked_id(_text(name), "device id")
    except UsageError as error:
        raise DamagedError(error.problem) from error
    return _decoded(record, Progress)


def key(site: object, model: object) -> Key:
    """What a sum is over."""
    return Key(_text(site), _text(model))


def total(record: object) -> Sum:
    """The sum of one site and model."""
    found = _decoded(record, Sum)
    _check_stages(found.stages)
    if not found.stages.keys() <= set(STAGES):
        raise DamagedError("it counts a stage that there is not")
    confidence = [*found.tracks.values(), *((found.confidence,) if found.confidence is not None else ())]
    if not all(map(of_confidence, confidence)):
        raise DamagedError("its histogram of confidence has not one count per bucket")
    return found


def drift(name: object, record: object) -> DriftState:
    """What is known of the drift of the device of this name."""
    found = _decoded(record, DriftState)
    if found.device != name:
        raise DamagedError(f"it is of {found.device}")
    if problem := state.problem(found):
        raise DamagedError(problem)
    return found


def prediction(fields: dict[str, object], probabilities: object, box: object) -> Prediction:
    """A logged prediction; `probabilities` and `box` are the JSON in their columns."""
    try:
        lists = {"probabilities": _json(probabilities), "box": _json(box)}
        return msgspec.convert(fields | lists, Prediction)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedError(str(error)) from error


def received(value: object) -> float:
    """When a logged prediction was received, seconds since 1970."""
    try:
        return msgspec.convert(value, Seconds)
    except msgspec.ValidationError as error:
        raise DamagedError(f"when it was received: {error}") from error


def _check_stages(stages: dict[str, Histogram]) -> None:
    if not all(map(of_stage, stages.values())):
        raise DamagedError("a histogram of latency has not one count per bucket")


def _decoded(record: object, kind: type[T]) -> T:
    if not isinstance(record, bytes | str):  # SQLite keeps any type in any column
        raise DamagedError(f"it is of type {type(record).__name__}")
    try:
        return msgspec.json.decode(record, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedError(str(error)) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise DamagedError(f"its name is of type {type(value).__name__}")
    return value


def _json(text: object) -> object:
    if not isinstance(text, bytes | str):
        raise DamagedError(f"a list is of type {type(text).__name__}")
    return msgspec.json.decode(text)

"""From a request that was read to its answer, on whichever thread.

What fails becomes an answer too: one request's end is not the server's.
"""

import logging
from http import HTTPStatus
from typing import NamedTuple

import numpy as np

from edge_contract.errors import UsageError
from edge_contract.messages import Stage
from edge_serve.http.message import RefusedError, Response, refusal
from edge_serve.metrics.counts import Observed
from edge_serve.model.engine import Engine, Photograph
from edge_serve.protocols.asked import Asked
from edge_vision.probabilities import ModelFailedError, Probabilities

_log = logging.getLogger(__name__)


class Answered(NamedTuple):
    """One request's end."""

    response: Response
    observed: Observed | None = None
    failed: str = ""
    """By the device's kinds of errors: `frame`, `model`, `pipeline`; empty where nothing of ours failed."""


def answered(asked: Asked, engine: Engine) -> Answered:
    """The answer to it; never an error."""
    try:
        seen = {place: engine.look(data) for place, data in asked.photographs.items()}
        if not len(asked.tensors):
            return Answered(asked.written(np.zeros((0, 0), np.float32), seen), _observed(None, 0.0, seen))
        found, seconds = engine.classify(asked.tensors)
        return Answered(asked.written(found, seen), _observed(found, seconds, seen))
    except Exception as error:  # noqa: BLE001  # each becomes an answer
        return failed(error)


def failed(error: BaseException) -> Answered:
    """A request that ended with an error."""
    if isinstance(error, RefusedError):
        return Answered(refusal(error))
    if isinstance(error, UsageError):  # of a picture that no decoder takes
        return Answered(refusal(RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))), failed="frame")
    if isinstance(error, ModelFailedError):
        return Answered(refusal(RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))), failed="model")
    _log.error("a request failed", exc_info=error)
    why = RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "this server failed; its log says why.")
    return Answered(refusal(why), failed="pipeline")


def _observed(found: Probabilities | None, seconds: float, seen: dict[int, Photograph]) -> Observed:
    rows = [] if found is None else [_best(row) for row in found.tolist()]
    stages: list[tuple[Stage, float]] = [("invoke", seconds)] * len(rows)
    frames = faces = len(rows)
    for photograph in seen.values():
        stages += photograph.stages
        rows += [_best(each.probabilities.tolist()) for each in photograph.found]
        frames, faces = frames + 1, faces + len(photograph.found)
    return Observed(stages, rows, frames, faces)


def _best(row: list[float]) -> tuple[int, float]:
    """Of a handful of numbers in a list: NumPy takes longer for its calls than for them."""
    most = max(row)
    return row.index(most), most

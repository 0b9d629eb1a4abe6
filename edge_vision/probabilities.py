"""From a model's raw answer to probabilities, or the refusal of what are none.

A model may answer its goldens well and real pictures with what is no number, or with numbers that are no
probabilities. Such an answer is the model's failure: shown or sent on it would only look like a low confidence.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import EdgewiseError
from edge_contract.manifest import ModelManifest

Probabilities = NDArray[np.float32]

SLACK: Final = 0.02
"""How far from 0..1 a probability, and from 1 the sum of all, may be beside the rounding of a quantized output."""

_BYTES: Final = "bB"  # NumPy's letters of int8 and uint8


class ModelFailedError(EdgewiseError):
    """The model was run and gave no answer that can be used."""


def tolerance(manifest: ModelManifest) -> float:
    """How far from 1 the probabilities of one answer may sum.

    Each may be rounded by half a step of a quantized output, all the same way. That alone was never passed: 0.0117 of
    0.0137 by the shipped models over 3,000 pictures, 0.23 of 0.59 by a softmax of 300 classes, on two runtimes.
    """
    step = 0.0 if manifest.output.dtype == "float32" else manifest.output.scale
    return SLACK + len(manifest.labels) * step / 2


def probabilities(answers: NDArray[Any], manifest: ModelManifest) -> Probabilities:
    """Probability of each label: float32 of the same shape, each within 0..1.

    `answers`: [..., labels] as the model wrote them, quantized or float.

    Raises:
        ModelFailedError: they hold what is no finite number, or are no probabilities: one lies outside 0..1 or those
            of one answer do not sum to 1, beyond rounding.
    """
    output = manifest.output
    if answers.dtype.char in _BYTES:
        table = _table(answers.dtype.char, output.scale, output.zero_point)
        index = answers.view(np.uint8)
        real = table.real.take(index)
        clipped, sound = (real if table.clipped is table.real else table.clipped.take(index)), table.sound
    else:
        real = _real(answers, output.scale, output.zero_point)
        clipped, sound = np.asarray(np.clip(real, 0.0, 1.0), np.float32), False
    if not sound:
        _refuse_outside(real, manifest)
    allowed = tolerance(manifest)
    for row in real.reshape(-1, real.shape[-1]).tolist():  # of so few numbers quicker than by NumPy
        if abs(sum(row) - 1) > allowed:
            raise _failure(manifest, f"answered probabilities that sum to {sum(row):.3g} and not to 1")
    return clipped


class _Table(NamedTuple):
    """What each of the 256 values of a byte stands for, float32 [256]: the arithmetic is done once, not an answer."""

    real: Probabilities
    clipped: Probabilities
    """Within 0..1; the same array as `real` where nothing has to be clipped."""
    sound: bool
    """No value is one that would be refused."""


@lru_cache(maxsize=16)
def _table(char: str, scale: float, zero_point: int) -> _Table:
    real = _real(np.arange(256, dtype=np.uint8).view(char), scale, zero_point)
    clipped = np.asarray(np.clip(real, 0.0, 1.0), np.float32)
    sound = bool(((real >= -SLACK) & (real <= 1 + SLACK)).all())
    return _Table(real, real if np.array_equal(real, clipped) else clipped, sound)


def _real(answers: NDArray[Any], scale: float, zero_point: int) -> Probabilities:
    return np.asarray((answers.astype(np.float32) - np.float32(zero_point)) * np.float32(scale), np.float32)


def _refuse_outside(real: Probabilities, manifest: ModelManifest) -> None:
    if not np.isfinite(real).all():
        raise _failure(manifest, "answered what is no number")
    if real.size and not -SLACK <= float(real.min()) <= float(real.max()) <= 1 + SLACK:
        raise _failure(manifest, f"answered {real.min():.3g} to {real.max():.3g}, which are no probabilities")


def _failure(manifest: ModelManifest, what: str) -> ModelFailedError:
    return ModelFailedError(f"{manifest.name} {manifest.release} {what}")

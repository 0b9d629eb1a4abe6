"""From a model's raw answer to probabilities, or the refusal of what are none.

A model may answer its goldens well and real pictures with what is no number, or with numbers that are no
probabilities. Such an answer is the model's failure: shown or sent on it would only look like a low confidence.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import EdgewiseError
from edge_contract.manifest import ModelManifest

Probabilities = NDArray[np.float32]

SLACK: Final = 0.02
"""How far from 0..1 a probability, and from 1 the sum of all, may be beside the rounding of a quantized output."""


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
    output, name = manifest.output, f"{manifest.name} {manifest.release}"
    real = (answers.astype(np.float32) - np.float32(output.zero_point)) * np.float32(output.scale)
    if not np.isfinite(real).all():
        raise ModelFailedError(f"{name} answered what is no number")
    if real.size and not -SLACK <= float(real.min()) <= float(real.max()) <= 1 + SLACK:
        raise ModelFailedError(f"{name} answered {real.min():.3g} to {real.max():.3g}, which are no probabilities")
    sums = real.sum(axis=-1, dtype=np.float64)
    off = np.abs(sums - 1)
    if off.size and float(off.max()) > tolerance(manifest):
        worst = float(sums.reshape(-1)[int(off.argmax())])
        raise ModelFailedError(f"{name} answered probabilities that sum to {worst:.3g} and not to 1")
    return np.asarray(np.clip(real, 0.0, 1.0), np.float32)

"""Known answers: does this runtime, on this board, compute what the model's maker computed?

A runtime can load a model without an error and answer garbage; digests and signatures cannot see that. Goldens can:
synthetic inputs with the raw answers of the reference runtime, carried in the manifest.
"""

from typing import Final, NamedTuple

import numpy as np

from edge_contract.manifest import ModelManifest
from edge_vision.classifier import Classifier

EXACT: Final = 0
"""Tolerance for a classifier made without delegates: the reference kernels give the same bits on every processor."""
WITH_DELEGATES: Final = 1
"""Tolerance with delegates, in steps of the quantized output: one rule for the gate and for every device's self-test.

Delegates round by processor, so exact is too much to ask. More than one step is not needed: goldens are chosen for
answers that hold still (`convert.goldens`), and those of every shipped package were within one step on each processor
tried, with AVX512-VNNI, AVX512, AVX2 and SSE4 and on Cortex-A53, A72 and A76. What is further off is another function.
"""

_FLOAT_STEPS: Final = 256
"""A float answer is compared in steps of 1/256, an 8-bit answer's resolution."""


class GoldenReport(NamedTuple):
    """What a check of all goldens found."""

    ok: bool
    """Every golden was answered within the tolerance, and there was at least one."""
    worst: int
    """The largest difference, in steps of the output's quantization."""
    failed: int
    """How many goldens were answered outside the tolerance."""
    run: int
    """How many goldens were run; without any, nothing is known and `ok` is False."""


def check(classifier: Classifier, manifest: ModelManifest, tolerance: int) -> GoldenReport:
    """Run every golden of the manifest; `tolerance` in steps of the output (`EXACT`, `WITH_DELEGATES`).

    Raises:
        UsageError: a golden's input cannot be unpacked.
    """
    shape = manifest.input.shape
    length = int(np.prod(shape))
    steps = _FLOAT_STEPS if manifest.output.dtype == "float32" else 1
    worst = failed = 0
    for golden in manifest.goldens:
        pixels = np.frombuffer(golden.pixels(length), np.uint8).reshape(shape)
        answer = classifier.raw(pixels)[0].astype(np.float64)
        off = np.abs(answer - np.asarray(golden.output)) * steps
        largest = round(float(off.max())) if np.isfinite(off).all() else _FLOAT_STEPS
        worst = max(worst, largest)
        failed += largest > tolerance
    return GoldenReport(bool(manifest.goldens) and failed == 0, worst, failed, len(manifest.goldens))

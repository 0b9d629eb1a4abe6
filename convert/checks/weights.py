"""Every stored whole number must be the rounded float: the one check that finds a single damaged weight.

Post-training quantization rounds each weight to the nearest step, so the int8 file and the float file from the same
network differ by at most half a step anywhere. One flipped byte changes no measured accuracy; it shows here.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from convert.tflite.flatbuffer import WEIGHTED, Graph, Tensor

_ROUNDING: Final = 0.51  # steps: half, and what float32 arithmetic in the converter adds
_BIAS_STEPS: Final = 1.51
"""Biases have 32 bits and a step of input scale times weight scale; the converter rounds that product in float32."""


@dataclass(frozen=True, slots=True)
class WeightReport:
    """How the int8 constants differ from the float ones."""

    compared: int
    """Numbers compared."""
    missing: tuple[str, ...]
    """Float constants of layers that have no partner of the same shape in the int8 file."""
    worst: float
    """Largest difference, in the tensor's own steps."""
    damaged: tuple[str, ...]
    """Tensors with a number further off than rounding explains, as "name[index] by N steps"."""


def compare(float_graph: Graph, int8_graph: Graph) -> WeightReport:
    """Hold each quantized constant of the int8 graph against the float constant of the same name."""
    floats, quantized = _layers(float_graph), _layers(int8_graph)
    missing, damaged, worst, compared = [], [], 0.0, 0
    for key, reference in floats.items():
        partner = quantized.get(key)
        if partner is None or partner.shape != reference.shape or partner.quantization is None:
            missing.append(reference.name)
            continue
        off = np.abs(partner.values - reference.values) / partner.steps
        compared += off.size
        largest = np.unravel_index(int(off.argmax()), off.shape)
        worst = max(worst, float(off[largest]))
        if off[largest] > _allowed(partner):
            place = ",".join(map(str, largest))
            damaged.append(f"{reference.name}[{place}] by {off[largest]:.1f} steps")
    return WeightReport(compared, tuple(missing), worst, tuple(damaged))


def _layers(graph: Graph) -> dict[tuple[int, int], Tensor]:
    """Weights and biases by (position among layers with weights, input number): names repeat, positions do not."""
    layers = [operator for operator in graph.operators if operator.name in WEIGHTED]
    return {
        (position, number): graph.tensors[index]
        for position, operator in enumerate(layers)
        for number, index in enumerate(operator.inputs)
        if number > 0 and index >= 0 and graph.tensors[index].data is not None
    }


def _allowed(tensor: Tensor) -> float:
    return _BIAS_STEPS if tensor.dtype == "INT32" else _ROUNDING

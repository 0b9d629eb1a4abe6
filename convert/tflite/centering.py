"""Take the rescaling out of the graph: what the first layer multiplies can be in its weights.

`pixel * scale + offset` in front of the first convolution costs two int8 operators, and the steps they round to: with
an offset of -1 a picture keeps some 170 of its 256 grey levels (11 dB in the layer report), and runtimes round it
differently. So the graph is given `pixel - zero_point` instead, with whole-number zero point: the stored byte itself.
The kernel takes the scale; the bias takes the rest of the offset, at most half a grey level. Zero padding stays what
it was in training to that half level, which is why the offset cannot simply go into the bias.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

_ABSORBING = ("Conv2D", "Dense")


@dataclass(frozen=True, slots=True)
class Centering:
    """How a network's rescaling folds into its first layer."""

    rescaling: str
    """Name of the rescaling layer."""
    absorber: str
    """Name of the layer whose weights take it."""
    zero_point: int
    """The pixel that is zero to the network."""
    scale: float
    rest: float
    """What is left of the offset once the zero point is whole."""

    def absorb(self, network: Any) -> None:
        """Change the first layer's weights in a copy of the network."""
        layer = network.get_layer(self.absorber)
        weights = layer.get_weights()
        kernel = weights[0].astype(np.float64)
        # Sum over all inputs of an output: every axis of the kernel but the last.
        shift = self.rest * kernel.sum(axis=tuple(range(kernel.ndim - 1)))
        weights[0] = (kernel * self.scale).astype(np.float32)
        if self.rest:
            weights[1] = (weights[1] + shift).astype(np.float32)
        layer.set_weights(weights)

    def release(self, network: Any) -> None:
        """The reverse of `absorb`: give the first layer's weights back what rescaling does."""
        layer = network.get_layer(self.absorber)
        weights = layer.get_weights()
        kernel = weights[0].astype(np.float64) / self.scale
        weights[0] = kernel.astype(np.float32)
        if self.rest:
            weights[1] = (weights[1] - self.rest * kernel.sum(axis=tuple(range(kernel.ndim - 1)))).astype(np.float32)
        layer.set_weights(weights)


def plan(network: Any) -> Centering | None:
    """How this network's rescaling can be folded; None where it has none or not in front of one dense layer or
    convolution with a bias."""
    rescalings = [layer for layer in network.layers if type(layer).__name__ == "Rescaling"]
    if len(rescalings) != 1:
        return None
    (rescaling,) = rescalings
    consumers = [node.operation for node in rescaling._outbound_nodes]
    if len(consumers) != 1 or type(consumers[0]).__name__ not in _ABSORBING:
        return None
    scale, offset = float(np.asarray(rescaling.scale)), float(np.asarray(rescaling.offset))
    if scale <= 0:
        return None
    zero_point = int(np.clip(np.ceil(-offset / scale - 0.5), 0, 255))
    rest = scale * zero_point + offset
    if rest and not consumers[0].use_bias:
        return None
    return Centering(rescaling.name, consumers[0].name, zero_point, scale, rest)

"""A request that was read and checked: what is to be worked out, and how the answer to it is written."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edge_contract.manifest import ModelManifest
from edge_serve.http.message import Response
from edge_serve.model.engine import Photograph
from edge_vision.classifier import Probabilities
from edge_vision.picture import Pixels


class Asked(NamedTuple):
    """See the module."""

    tensors: Pixels
    """uint8 [n, height, width, channels], n may be 0"""
    photographs: dict[int, bytes]
    """By their place among what is asked."""
    written: Callable[[Probabilities, dict[int, Photograph]], Response]
    """Given the probabilities, float32 [n, labels], and what was seen in the photographs, by their place."""


def no_tensors(manifest: ModelManifest) -> Pixels:
    """As `Asked.tensors`, for none."""
    return np.zeros((0, *manifest.input.shape[1:]), np.uint8)

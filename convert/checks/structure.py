"""Operators, types and shapes of a model file, held against what every device runs; nothing is executed."""

from typing import Final

from convert.tflite.flatbuffer import Graph
from edge_contract.manifest import ImageInput

OPERATORS: Final = {
    "ABS": 3,
    "ADD": 5,
    "AVERAGE_POOL_2D": 3,
    "BATCH_MATMUL": 3,
    "CONCATENATION": 3,
    "CONV_2D": 6,
    "DEPTHWISE_CONV_2D": 6,
    "FULLY_CONNECTED": 9,
    "GELU": 2,
    "HARD_SWISH": 1,
    "LEAKY_RELU": 2,
    "LOGISTIC": 3,
    "MAXIMUM": 4,
    "MAX_POOL_2D": 3,
    "MEAN": 3,
    "MINIMUM": 4,
    "MIRROR_PAD": 3,
    "MUL": 7,
    "PAD": 4,
    "PRELU": 1,
    "QUANTIZE": 2,
    "REDUCE_MAX": 3,
    "REDUCE_MIN": 3,
    "RELU": 3,
    "RELU6": 3,
    "RESHAPE": 1,
    "RESIZE_BILINEAR": 4,
    "SOFTMAX": 3,
    "SPLIT": 4,
    "STRIDED_SLICE": 4,
    "SUB": 5,
    "SUM": 2,
    "TANH": 3,
    "TRANSPOSE": 5,
    "TRANSPOSE_CONV": 3,
}
"""Operators a shipped model may use, each to the highest version for which tflite-runtime 2.14, the oldest runtime of
the matrix, has a reference kernel as well. Found by raising the version in a model until 2.14 refused it; a test does
it again."""

_WHOLE_NUMBERS: Final = {"INT8", "UINT8", "INT32", "INT64"}


def foreign_operators(graph: Graph) -> list[str]:
    """Operators, such as "FULLY_CONNECTED v12", that some runtime of the matrix does not have."""
    found = {(operator.name, operator.version) for operator in graph.operators}
    return [f"{name} v{version}" for name, version in sorted(found) if version > OPERATORS.get(name, 0)]


def open_shapes(graph: Graph, image: ImageInput) -> list[str]:
    """Tensors whose shape is left open, and the input when its batch is not one."""
    names = [tensor.name for tensor in graph.tensors if tensor.dynamic]
    if not names and graph.input.shape[:1] != (1,):
        names.append(graph.input.name)
    if not names and graph.input.shape != image.shape:
        names.append(f"{graph.input.name} is {list(graph.input.shape)}, not {list(image.shape)}")
    return names


def float_tensors(graph: Graph) -> list[str]:
    """Tensors that are not whole numbers: a full int8 model has none."""
    return [tensor.name for tensor in graph.tensors if tensor.dtype not in _WHOLE_NUMBERS]


def weight_count(graph: Graph) -> int:
    """Weights in constants of more than one axis: convolution kernels and dense matrices."""
    return sum(
        tensor.data.size for tensor in graph.constants.values() if tensor.data is not None and tensor.data.ndim > 1
    )

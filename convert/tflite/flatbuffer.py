"""The structure of a TFLite file: tensors, operators, shapes, constants. Reads bytes, runs nothing.

A file that reads well here can still answer nonsense: structure says nothing about weights (see `weights`) or about
the runtimes (see `runtimes`).
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_contract.errors import UsageError

_OPERATORS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_TYPES: dict[int, str] = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
WEIGHTED: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Operators that multiply by weights."""
_NUMPY = {"INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64, "FLOAT32": np.float32}


@dataclass(frozen=True, slots=True)
class Quantization:
    """value = (stored - zero_point) * scale, one scale a tensor or one for each index of `axis`."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the graph; `data` is its constant, None for an activation."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    dynamic: bool
    """Some dimension is left open until run time."""
    quantization: Quantization | None
    data: NDArray[Any] | None

    @property
    def values(self) -> NDArray[np.float64]:
        """The constant as real numbers, dequantized where it is quantized; an empty array for an activation."""
        if self.data is None:
            return np.empty(0)
        real = self.data.astype(np.float64)
        if self.quantization is None:
            return real
        return (real - self._per_channel(self.quantization.zero_point)) * self._per_channel(self.quantization.scale)

    @property
    def steps(self) -> NDArray[np.float64]:
        """The size of one quantization step, in a shape that broadcasts over `values`."""
        return np.ones(()) if self.quantization is None else self._per_channel(self.quantization.scale)

    def _per_channel(self, numbers: NDArray[Any]) -> NDArray[np.float64]:
        if self.quantization is None or numbers.size <= 1:
            return numbers.astype(np.float64).reshape(())
        shape = [1] * len(self.shape)
        shape[self.quantization.axis] = numbers.size
        return numbers.astype(np.float64).reshape(shape)


@dataclass(frozen=True, slots=True)
class Operator:
    """One step of the graph, by the indices of its tensors (-1: an input left out)."""

    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """The one subgraph of a model, operators in the order in which they run."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def input(self) -> Tensor:
        """The model's only input."""
        return self.tensors[self.inputs[0]]

    @property
    def output(self) -> Tensor:
        """The model's only output."""
        return self.tensors[self.outputs[0]]

    @property
    def constants(self) -> dict[str, Tensor]:
        """Weights, biases and other constants by name."""
        return {tensor.name: tensor for tensor in self.tensors if tensor.data is not None}

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, in convolutions and dense layers."""
        return sum(self.macs_of(operator) for operator in self.operators)

    def macs_of(self, operator: Operator) -> int:
        """Multiply-accumulates of one operator; 0 for one without weights."""
        if operator.name not in WEIGHTED:
            return 0
        output = math.prod(self.tensors[operator.outputs[0]].shape)
        weights = self.tensors[operator.inputs[1]].shape
        match operator.name:
            case "DEPTHWISE_CONV_2D":  # weights [1, height, width, channels]: each output sees one channel
                return output * weights[1] * weights[2]
            case _:  # convolution [out, height, width, in], dense [out, in]: each output sees all but the first axis
                return output * math.prod(weights[1:])


def parse(model: bytes, name: str = "the model") -> Graph:
    """Read a TFLite file.

    Raises:
        UsageError: not a TFLite file, cut short, or not one graph with one input and one output.
    """
    if model[4:8] != b"TFL3":
        raise UsageError(f"{name} is no TFLite file (its identifier is missing)", remedy="convert the network again")
    try:
        tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
        (subgraph,) = tree.subgraphs
        buffers = [buffer.data for buffer in tree.buffers]
        tensors = tuple(_tensor(tensor, buffers) for tensor in subgraph.tensors)
        operators = tuple(_operator(operator, tree.operatorCodes) for operator in subgraph.operators)
        graph = Graph(tensors, operators, _indices(subgraph.inputs), _indices(subgraph.outputs))
    except Exception as error:
        raise UsageError(
            f"{name} is a damaged TFLite file ({type(error).__name__})", remedy="convert it again"
        ) from error
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UsageError(f"{name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs instead of one each.")
    return graph


def _tensor(tensor: Any, buffers: list[Any]) -> Tensor:
    shape = tuple(int(side) for side in tensor.shape) if tensor.shape is not None else ()
    signature = tensor.shapeSignature if tensor.shapeSignature is not None else ()
    dtype = _TYPES[tensor.type]
    raw = buffers[tensor.buffer]
    data = None
    if raw is not None and dtype in _NUMPY:
        data = np.frombuffer(bytes(raw), _NUMPY[dtype]).reshape(shape)
    return Tensor(
        name=tensor.name.decode(),
        dtype=dtype,
        shape=shape,
        dynamic=any(side < 0 for side in signature),
        quantization=_quantization(tensor.quantization),
        data=data,
    )


def _quantization(parameters: Any) -> Quantization | None:
    if parameters is None or parameters.scale is None or len(parameters.scale) == 0:
        return None
    return Quantization(
        np.asarray(parameters.scale, np.float32),
        np.asarray(parameters.zeroPoint, np.int64),
        int(parameters.quantizedDimension),
    )


def _operator(operator: Any, codes: list[Any]) -> Operator:
    code = codes[operator.opcodeIndex]
    # Files older than schema 3a keep the operator in the deprecated field; newer ones repeat small numbers there.
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = code.customCode.decode() if code.customCode else _OPERATORS[builtin]
    return Operator(name, int(code.version), _indices(operator.inputs), _indices(operator.outputs))


def _indices(numbers: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers) if numbers is not None else ()

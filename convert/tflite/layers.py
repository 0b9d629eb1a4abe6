"""Which layer loses the picture: signal-to-quantization-noise ratio of every layer's output, int8 against float.

Both files run on the same images with all tensors kept; a layer's signal is the float activation, its noise the
difference of the dequantized int8 one. The noise of earlier layers is in it, so the layer where the ratio falls is
the bad one. SQNR = 10 log10(E[signal^2] / E[noise^2]) in dB; 8 perfectly used bits give about 50.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from convert.tflite.flatbuffer import WEIGHTED, Graph, Tensor, parse

_SILENT: Final = 1e-20  # a mean square below this is no signal


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator's output, in float and int8."""

    name: str
    operator: str
    low: float
    """Smallest float value seen."""
    high: float
    scale: float
    """Step of the int8 tensor."""
    zero_point: int
    sqnr: float
    """dB, cumulative from the input to here."""
    drop: float
    """dB lost against the worst of this layer's inputs: what this layer itself costs."""
    clipped: float
    """Share of float values outside the int8 range."""


def report(
    float_model: bytes, int8_model: bytes, images: NDArray[np.uint8], progress: Callable[[int], None] = lambda _: None
) -> tuple[Layer, ...]:
    """Run both models on `images` [N, height, width, channels] and compare every operator's output they share."""
    float_graph, int8_graph = parse(float_model), parse(int8_model)
    pairs = _shared_outputs(float_graph, int8_graph)
    sums = {index: _Sums() for _, index in pairs}
    float_run, int8_run = _interpreter(float_model), _interpreter(int8_model)
    for count, image in enumerate(images):
        progress(count)
        for interpreter in (float_run, int8_run):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[np.newaxis])
            interpreter.invoke()
        for float_index, int8_index in pairs:
            sums[int8_index].add(
                float_run.get_tensor(float_index).astype(np.float64),
                int8_run.get_tensor(int8_index).astype(np.float64),
                int8_graph.tensors[int8_index],
            )
    return _layers(int8_graph, sums)


class _Sums:
    """Running sums over images of one tensor."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0
        self.low, self.high = np.inf, -np.inf
        self.clipped = self.count = 0

    def add(self, real: NDArray[np.float64], stored: NDArray[np.float64], tensor: Tensor) -> None:
        scale, zero_point = _step(tensor)
        self.signal += float(np.square(real).sum())
        self.noise += float(np.square((stored - zero_point) * scale - real).sum())
        self.low, self.high = min(self.low, float(real.min())), max(self.high, float(real.max()))
        ends = np.iinfo(np.uint8 if tensor.dtype == "UINT8" else np.int8)
        # Rounding to the outermost step is no clipping: half a step beyond it still rounds there.
        position = real / scale + zero_point
        self.clipped += int(((position < ends.min - 0.5) | (position > ends.max + 0.5)).sum())
        self.count += real.size

    @property
    def sqnr(self) -> float:
        if self.signal < _SILENT:
            return 0.0
        return float(10 * np.log10(self.signal / max(self.noise, _SILENT * self.signal)))


def _layers(graph: Graph, sums: dict[int, _Sums]) -> tuple[Layer, ...]:
    found, ratios = [], dict.fromkeys(graph.inputs, np.inf)
    for operator in graph.operators:
        index = operator.outputs[0]
        before = min((ratios[source] for source in operator.inputs if source in ratios), default=np.inf)
        if index not in sums:
            ratios[index] = before
            continue
        total = sums[index]
        scale, zero_point = _step(graph.tensors[index])
        ratios[index] = total.sqnr
        found.append(
            Layer(
                name=short_name(graph.tensors[index].name),
                operator=operator.name,
                low=total.low,
                high=total.high,
                scale=scale,
                zero_point=int(zero_point),
                sqnr=total.sqnr,
                drop=max(0.0, before - total.sqnr) if np.isfinite(before) else 0.0,
                clipped=total.clipped / total.count,
            )
        )
    return tuple(found)


def short_name(name: str) -> str:
    """The layer in a converter's tensor name: "network_1/conv_2_1/Relu;network…" is "conv_2"."""
    parts = name.partition(";")[0].split("/")
    return "answer" if len(parts) == 1 else parts[1].removesuffix("_1")  # the copy's scope, not the layer's name


def _shared_outputs(float_graph: Graph, int8_graph: Graph) -> list[tuple[int, int]]:
    """Index pairs (float, int8) of quantized operator outputs that exist in both graphs under the same name."""
    floats = {float_graph.tensors[operator.outputs[0]].name: operator.outputs[0] for operator in float_graph.operators}
    pairs = []
    for operator in int8_graph.operators:
        tensor = int8_graph.tensors[operator.outputs[0]]
        if tensor.name in floats and tensor.quantization is not None:
            pairs.append((floats[tensor.name], operator.outputs[0]))
    return pairs or _weighted_outputs(float_graph, int8_graph)


def _weighted_outputs(float_graph: Graph, int8_graph: Graph) -> list[tuple[int, int]]:
    """Output pairs of the layers that have weights, by position: a network trained anew has names of its own."""
    floats, quantized = (
        [operator.outputs[0] for operator in graph.operators if operator.name in WEIGHTED] + list(graph.outputs)
        for graph in (float_graph, int8_graph)
    )
    return list(zip(floats, quantized, strict=True)) if len(floats) == len(quantized) else []


def _step(tensor: Tensor) -> tuple[float, float]:
    if tensor.quantization is None:
        return 1.0, 0.0
    return float(tensor.quantization.scale[0]), float(tensor.quantization.zero_point[0])


def _interpreter(model: bytes) -> Any:
    """An interpreter that keeps every tensor; the agent's classifier has no use for that, so it is made here."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415

    interpreter = Interpreter(
        model_content=model,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter

"""Where the time of one inference goes, layer by layer, beside what this core can multiply at most.

LiteRT's Python package has no operator profiler, and its default delegate turns a whole graph into one node that any
profiler would see as one. So the file is cut: its first operator alone, its first two, and so on to the whole graph,
each a valid model that ends in the next layer's output. The time of a layer is what it adds to the graph before it, so
the layers sum up to the whole inference, and caches stand as they do in it. A layer timed alone would be flattered.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from convert.tflite.flatbuffer import parse
from convert.tflite.layers import short_name

TIMED: Final = 200  # invocations a round, of which the median counts: a layer may take less than a microsecond
_WARM_UP: Final = 20


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One operator of the graph. Layers that multiply nothing have no rate, but they cost time."""

    name: str
    operator: str
    output: tuple[int, ...]
    """Shape of what it writes."""
    mmac: float
    us: float
    """Microseconds it adds to the inference, the median over rounds. The first operator's hold the call itself; those
    of the small ones at the end are within what a graph's time differs by its last tensor, and may be negative."""
    gops: float | None
    peak_share: float | None
    lost_share: float
    """What it costs of the network's share of the peak: its time beyond what its arithmetic takes at the peak, as a
    share of the whole inference. These and the network's share of the peak sum up to 1."""


def profile(model: bytes, peak: Callable[[], float], rounds: int) -> list[LayerCost]:
    """The layers of a TFLite model on LiteRT with its default delegates and one thread.

    `peak` measures this core's operations a second at the model's precision; it is asked in each round.
    """
    graph = parse(model)
    interpreters = [_interpreter(part) for part in prefixes(model)]
    pixels = np.random.default_rng(0).integers(0, 256, graph.input.shape, dtype=np.uint8)
    for interpreter in interpreters:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    added: list[list[float]] = [[] for _ in interpreters]
    ceilings = []
    for _ in range(rounds):
        ceilings.append(peak())
        before = 0.0
        for interpreter, times in zip(interpreters, added, strict=True):
            whole = _median_seconds(interpreter)
            times.append(whole - before)
            before = whole
    ceiling = statistics.median(ceilings)
    seconds = [statistics.median(times) for times in added]
    total = sum(seconds)
    return [
        LayerCost(
            name=short_name(graph.tensors[operator.outputs[0]].name) if macs else operator.name.lower(),
            operator=operator.name,
            output=graph.tensors[operator.outputs[0]].shape,
            mmac=macs / 1e6,
            us=1e6 * spent,
            gops=2 * macs / spent / 1e9 if macs and spent > 0 else None,
            peak_share=2 * macs / spent / ceiling if macs and spent > 0 else None,
            lost_share=(spent - 2 * macs / ceiling) / total,
        )
        for operator, spent, macs in zip(graph.operators, seconds, map(graph.macs_of, graph.operators), strict=True)
    ]


def prefixes(model: bytes) -> list[bytes]:
    """The model cut after each of its operators, shortest first; the last one computes what the model computes."""
    return [_cut(model, count) for count in range(1, len(parse(model).operators) + 1)]


def _cut(model: bytes, count: int) -> bytes:
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    (graph,) = tree.subgraphs
    graph.operators = graph.operators[:count]
    graph.outputs = list(graph.operators[-1].outputs)
    tree.signatureDefs = []  # they name the output that was
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _interpreter(model: bytes) -> Any:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _median_seconds(interpreter: Any) -> float:
    for _ in range(_WARM_UP):
        interpreter.invoke()
    seconds = []
    for _ in range(TIMED):
        began = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)

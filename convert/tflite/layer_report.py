"""The per-layer report for people: a table for the terminal, Markdown for the folder, and a picture."""

import io
from collections.abc import Sequence

import numpy as np
from rich.table import Table

from convert.tflite.layers import Layer

_SUSPECT = 6.0  # dB a layer may cost before it is marked: half the amplitude resolution, one bit


def table(layers: Sequence[Layer]) -> Table:
    """A table whose suspect layers stand out."""
    shown = Table(title="int8 against float, layer by layer", box=None, pad_edge=False)
    for heading in _HEADINGS:
        text = heading in _HEADINGS[:2]
        shown.add_column(heading, justify="left" if text else "right", no_wrap=heading != "operator")
    for layer in layers:
        shown.add_row(*_cells(layer), style="bold red" if layer.drop > _SUSPECT else None)
    return shown


def to_markdown(layers: Sequence[Layer]) -> str:
    """The same table as Markdown."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|---|---" + "|---:" * (len(_HEADINGS) - 2) + "|"]
    lines += ["| " + " | ".join(_cells(layer)) + " |" for layer in layers]
    return "\n".join(lines) + "\n"


def draw(layers: Sequence[Layer]) -> bytes:
    """A PNG: signal-to-quantization-noise ratio along the network, and what each layer costs."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second that other commands need not wait

    figure = Figure(figsize=(10, max(3.0, 0.28 * len(layers) + 1.5)), layout="constrained")
    along, cost = figure.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    places = np.arange(len(layers))
    colors = ["tab:red" if layer.drop > _SUSPECT else "tab:blue" for layer in layers]
    along.barh(places, [layer.sqnr for layer in layers], color=colors)
    along.set_yticks(places, [f"{layer.name} ({layer.operator})" for layer in layers], fontsize=7)
    along.invert_yaxis()
    along.set_xlabel("SQNR, dB (higher is better)")
    along.grid(axis="x", alpha=0.3)
    cost.barh(places, [layer.drop for layer in layers], color=colors)
    cost.axvline(_SUSPECT, color="tab:red", linestyle=":", linewidth=1)
    cost.set_xlabel("lost in this layer, dB")
    cost.grid(axis="x", alpha=0.3)
    figure.suptitle("int8 against float, layer by layer")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


_HEADINGS = ("layer", "operator", "range", "step", "zero", "SQNR dB", "lost dB", "clipped")


def _cells(layer: Layer) -> tuple[str, ...]:
    return (
        layer.name,
        layer.operator,
        f"{layer.low:.3g} … {layer.high:.3g}",
        f"{layer.scale:.3g}",
        str(layer.zero_point),
        f"{layer.sqnr:.1f}",
        f"{layer.drop:.1f}",
        f"{layer.clipped:.2%}",
    )

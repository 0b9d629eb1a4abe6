"""What `benchmarks.model` measured, for people: two tables and a picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.model_layers import LayerCost

_COSTLY = 0.03  # of the inference: what such a layer takes beyond its arithmetic is worth a name


@dataclass(slots=True)
class Row:
    """What one variant does on one runtime; None where it was not measured."""

    network: str
    precision: str
    runtime: str
    bytes: int
    mmac: float
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    p50_ms: float | None = None
    p95_ms: float | None = None
    cold_start_ms: float | None = None
    resident_mb: float | None = None
    gops: float | None = None
    peak_share: float | None = None
    a72_instructions: int | None = None
    a76_instructions: int | None = None


def table(rows: list[Row], ceiling: dict[str, float]) -> Table:
    """The rows for people."""
    peak = ", ".join(f"{precision} {rate / 1e9:.0f} GOP/s" for precision, rate in ceiling.items()) or "not measured"
    shown = Table(title=f"one inference, one thread; this core's peak: {peak}", box=None, pad_edge=False)
    headings = [
        "network",
        "",
        "runtime",
        "bytes",
        "MMAC",
        "accuracy",
        "p50 ms",
        "p95 ms",
        "cold ms",
        "RSS MB",
        "GOP/s",
        "of peak",
        "A72 M",
        "A76 M",
    ]
    for number, heading in enumerate(headings):
        shown.add_column(heading, justify="left" if number < 3 else "right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.network,
            row.precision,
            row.runtime,
            f"{row.bytes:,}",
            f"{row.mmac:.1f}",
            _text(row.accuracy, "{:.1%}"),
            _text(row.p50_ms, "{:.3f}"),
            _text(row.p95_ms, "{:.3f}"),
            _text(row.cold_start_ms, "{:.1f}"),
            _text(row.resident_mb, "{:.1f}"),
            _text(row.gops, "{:.1f}"),
            _text(row.peak_share, "{:.0%}"),
            _text(row.a72_instructions and row.a72_instructions / 1e6, "{:.2f}"),
            _text(row.a76_instructions and row.a76_instructions / 1e6, "{:.2f}"),
        )
    return shown


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def layer_table(layers: list[LayerCost]) -> Table:
    """The layers in order; those that cost the share of the peak stand out."""
    shown = Table(title="edge_cnn int8 on LiteRT, layer by layer", box=None, pad_edge=False)
    for number, heading in enumerate(["layer", "output", "MMAC", "µs", "GOP/s", "of peak", "share lost"]):
        shown.add_column(heading, justify="left" if number < 2 else "right", no_wrap=True)
    for layer in layers:
        shown.add_row(
            layer.name,
            "x".join(map(str, layer.output[1:])),
            f"{layer.mmac:.2f}" if layer.mmac else "-",
            f"{layer.us:.1f}",
            _text(layer.gops, "{:.0f}"),
            _text(layer.peak_share, "{:.0%}"),
            f"{layer.lost_share:.1%}",
            style="bold" if layer.lost_share > _COSTLY else None,
        )
    shown.add_row("all", "", f"{sum(layer.mmac for layer in layers):.2f}", f"{sum(layer.us for layer in layers):.1f}")
    return shown


def draw(rows: list[Row], layers: list[LayerCost], peak: float, path: Path) -> None:
    """Accuracy with its interval against latency; below it, the rate of each layer beside the peak (GOP/s)."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, 9 if layers else 5), layout="constrained")
    if layers:
        above, below = figure.subplots(2, 1, height_ratios=[5, 4])
        _draw_accuracy(rows, above)
        _draw_layers(layers, peak, below)
    else:
        _draw_accuracy(rows, figure.subplots())
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_accuracy(rows: list[Row], axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter  # noqa: PLC0415

    colors = {"baseline_cnn": "tab:gray", "edge_cnn": "tab:blue"}
    for row in rows:
        if row.accuracy is None or row.accuracy_low is None or row.accuracy_high is None or row.p50_ms is None:
            continue
        spread = [[100 * (row.accuracy - row.accuracy_low)], [100 * (row.accuracy_high - row.accuracy)]]
        axes.errorbar(
            row.p50_ms,
            100 * row.accuracy,
            yerr=spread,
            color=colors[row.network],
            marker="o" if row.runtime == "litert" else "s",
            fillstyle="full" if row.precision == "int8" else "none",
            capsize=3,
            markersize=8,
            linestyle="none",
            label=f"{row.network} {row.precision}, {row.runtime}",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("one inference on one x86 core, median ms (log)")
    axes.set_ylabel("accuracy, % with its 95 % interval")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)


def _draw_layers(layers: list[LayerCost], peak: float, axes: Any) -> None:
    """One bar a layer, as wide as its time: the empty part under the line is what is lost."""
    start = 0.0
    for layer in layers:
        if layer.gops is not None and layer.mmac > 0.1:  # the others are too thin to see
            axes.bar(start, layer.gops, width=layer.us, align="edge", color="tab:blue", edgecolor="white")
            axes.text(start + layer.us / 2, layer.gops + 5, layer.name, ha="center", fontsize=7)
        start += max(layer.us, 0.0)
    axes.axhline(peak, color="tab:red", linestyle=":", label=f"this core's int8 peak, {peak:.0f} GOP/s")
    axes.set_ylim(0, 1.15 * peak)
    axes.set_xlabel("edge_cnn int8 on LiteRT: µs since the beginning of the inference")
    axes.set_ylabel("GOP/s of the layer")
    axes.legend(fontsize=8, loc="lower right")

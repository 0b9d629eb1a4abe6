"""What `benchmarks.model` measured, for people: a table and a picture."""

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table


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


def draw(rows: list[Row], path: Path) -> None:
    """Accuracy with its interval against latency."""
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import ScalarFormatter  # noqa: PLC0415

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
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
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    axes.set_xlabel("one inference on one x86 core, median ms (log)")
    axes.set_ylabel("accuracy, % with its 95 % interval")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)

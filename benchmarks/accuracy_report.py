"""The accuracy table for people, and its picture: accuracy against arithmetic and against bytes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.accuracy_rows import Cost, Published


@dataclass(frozen=True, slots=True)
class Share:
    """A share of right answers among `n` pictures with its 95 % interval, 0..1."""

    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """One form of one network; without `accuracy` it was not trained here.

    `ten_crop` averages ten crops, `label_sets` scores one crop against other labels or pictures. `p_value` (McNemar)
    and `difference` compare one crop with the same network in float.
    """

    name: str
    form: str
    cost: Cost | None
    published: Published | None = None
    trained: str = ""
    accuracy: Share | None = None
    ten_crop: Share | None = None
    label_sets: dict[str, Share] = field(default_factory=dict)
    macro_f1: float | None = None
    calibration_error: float | None = None
    recall: dict[str, float] = field(default_factory=dict)
    p_value: float | None = None
    difference: float | None = None


_HEAD = (
    "network", "form", "parameters", "MMAC", "bytes", "accuracy, % [95 %]", "ten-crop, %", "macro-F1", "ECE, %",
    "lowest recall, %", "against float: points (p)", "deduplicated, %", "FER+ majority, %",
    "published elsewhere, % (not measured here)",
)  # fmt: skip
_WORDS = ("network", "form")  # the columns of text; all others are figures


def as_markdown(rows: list[Row]) -> str:
    """The table, with what n is in each column; recall per class; how each network was trained."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'|'.join('---' if name in _WORDS else '---:' for name in _HEAD)}|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    measured = next((row for row in rows if row.accuracy is not None), None)
    if measured is not None and measured.accuracy is not None:
        others = ", ".join(f"{name} n = {share.n:,}" for name, share in measured.label_sets.items())
        lines += ["", f"One crop unless a column says ten; n = {measured.accuracy.n:,}; {others}."]
    said: dict[str, str] = {}
    for row in rows:
        told = f"- {row.name}: {row.trained or 'how it was trained is not noted'}."
        if row.published is not None:
            told += f" Published {row.published.percent:g} %: {row.published.source}, {row.published.split}."
        said.setdefault(row.name, told)
    return "\n".join([*lines, *_recalls(rows), "", *said.values()])


def _recalls(rows: list[Row]) -> list[str]:
    """Share of each class that was found, one crop."""
    measured = [row for row in rows if row.accuracy is not None]
    names = list(dict.fromkeys(label for row in measured for label in row.recall))
    if not names:
        return []
    lines = ["", f"| recall, % | form | {' | '.join(names)} |", f"|---|---|{'---:|' * len(names)}"]
    for row in measured:
        shares = (f"{100 * row.recall[name]:.1f}" if name in row.recall else "" for name in names)
        lines.append(f"| {row.name} | {row.form} | {' | '.join(shares)} |")
    return lines


def _cells(row: Row) -> list[str]:
    cost, share = row.cost, row.accuracy
    sizes = [f"{cost.parameters:,}", f"{cost.mmac:.1f}", _number(cost.size, ",")] if cost else [""] * 3
    published = f"{row.published.percent:g}" if row.published else ""
    if share is None:
        return [row.name, row.form, *sizes, "not trained here", *[""] * 7, published]
    label, lowest = min(row.recall.items(), key=lambda item: item[1], default=("", 0.0))
    paired = "" if row.difference is None else f"{100 * row.difference:+.2f} ({_number(row.p_value, '.3f')})"
    return [
        row.name, row.form, *sizes, f"{100 * share.value:.2f} [{100 * share.low:.2f}, {100 * share.high:.2f}]",
        _percent(row.ten_crop), _number(row.macro_f1, ".3f"), _number(100 * (row.calibration_error or 0.0), ".2f"),
        f"{100 * lowest:.1f} {label}", paired, _percent(row.label_sets.get("dataset, deduplicated")),
        _percent(row.label_sets.get("FER+ majority")), published,
    ]  # fmt: skip


def _percent(share: Share | None) -> str:
    return "" if share is None else f"{100 * share.value:.2f}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def draw(rows: list[Row], path: Path) -> None:
    """Measured accuracy with its interval against multiply-accumulates and bytes; published figures hollow and grey."""
    figure = Figure(figsize=(14, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, title in ((left, "million multiply-accumulates a crop"), (right, "bytes of the model file")):
        axes.set_xscale("log")
        axes.set_xlabel(title)
        axes.grid(visible=True, color="#e2e8f0")
    left.set_ylabel("accuracy on PublicTest, one crop, %")
    names = list(dict.fromkeys(row.name for row in rows))
    for row in rows:
        colour = f"C{names.index(row.name) % 10}"
        if row.cost is not None and row.accuracy is not None:
            label = f"{row.name}, {row.form}"
            for axes, x in ((left, row.cost.mmac), (right, row.cost.size)):
                if x:
                    _point(axes, x, row.accuracy, colour, label, quantized=row.form != "float")
        elif row.cost is not None and row.published is not None:
            label = f"{row.name}, published elsewhere, not measured here"
            left.plot(row.cost.mmac, row.published.percent, "D", mfc="none", mec="#718096", label=label)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="outside right center", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _point(axes: Any, x: float, share: Share, colour: str, label: str, *, quantized: bool) -> None:
    below, above = 100 * (share.value - share.low), 100 * (share.high - share.value)
    axes.errorbar(
        x, 100 * share.value, yerr=[[below], [above]], fmt="s" if quantized else "o", color=colour, capsize=3,
        mfc=colour if quantized else "white", label=label,
    )  # fmt: skip

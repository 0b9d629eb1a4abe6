"""Pictures of a training: learning curve, confusion matrix, reliability diagram. Files in, PNG out, no display."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_contract.durable import write_file
from train.scoring import scores

BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#a0aec0"


def learning_curve(history: list[dict[str, float]], path: Path) -> None:
    """Training loss and selection accuracy by epoch."""
    figure, (left, right) = _figure(9, 3.2, columns=2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["selection_loss"] for row in history], color=ORANGE)
    left.set_ylabel("loss on the selection split", color=ORANGE)
    # On an axis of its own: smoothing, votes and a teacher's temperature make it another quantity.
    other = left.twinx()
    other.plot(epochs, [row["loss"] for row in history], color=GREY)
    other.set_ylabel("training's whole objective", color=GREY)
    right.plot(epochs, [100 * row["selection_accuracy"] for row in history], color=BLUE)
    right.set_ylabel("accuracy on the selection split, %")
    for axes in (left, right):
        axes.set_xlabel("epoch")
    _save(figure, path)


def confusion(matrix: NDArray[np.int64], names: tuple[str, ...], path: Path) -> None:
    """Row: true class, column: answer; shades are shares of the row, figures are counts."""
    figure, axes = _figure(1.5 + 0.7 * len(names), 1.2 + 0.65 * len(names))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answer")
    axes.set_ylabel("label")
    for row in range(len(names)):
        for column in range(len(names)):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{matrix[row, column]}", ha="center", va="center", color=shade, fontsize=8)
    _save(figure, path)


def reliability(labels: scores.Labels, probabilities: scores.Probabilities, path: Path) -> None:
    """Accuracy against confidence in bins; on the diagonal a model is as sure as it is right."""
    figure, axes = _figure(5, 5)
    count, confidence, accuracy = scores.reliability(labels, probabilities)
    filled = count > 0
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--")
    axes.plot(confidence[filled], accuracy[filled], color=BLUE, marker="o")
    axes.bar(confidence[filled], count[filled] / max(count.sum(), 1), width=0.03, color=ORANGE, alpha=0.5)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy; bars: share of pictures")
    error = scores.expected_calibration_error(labels, probabilities)
    axes.set_title(f"expected calibration error {error:.2%}, n {len(labels)}")
    _save(figure, path)


def search_history(numbers: list[int], values: list[float], path: Path) -> None:
    """Selection accuracy of each finished trial and the best so far."""
    figure, axes = _figure(7, 4)
    axes.plot(numbers, [100 * value for value in values], "o", color=BLUE, label="trial")
    axes.step(numbers, 100 * np.maximum.accumulate(values), color=ORANGE, where="post", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel("selection accuracy, %")
    axes.legend(frameon=False)
    _save(figure, path)


def importance(shares: dict[str, float], path: Path) -> None:
    """How much of the trials' variance each parameter explains."""
    figure, axes = _figure(7, 1 + 0.4 * len(shares))
    names = sorted(shares, key=lambda name: shares[name])
    axes.barh(names, [shares[name] for name in names], color=BLUE)
    axes.set_xlabel("share of the variance of selection accuracy")
    _save(figure, path)


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without metadata the same figures give the same bytes.
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
    write_file(path, drawn.getvalue())

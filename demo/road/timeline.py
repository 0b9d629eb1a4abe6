"""What happened when, as a picture for the README."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt  # after the backend is chosen

_COLOURS: Final = {"build": "#4c78a8", "fleet": "#54a24b", "light": "#f58518", "loop": "#b279a2"}


@dataclass(frozen=True, slots=True)
class Span:
    """One bar of the picture."""

    kind: str
    """A key of the colours: who did it."""
    text: str
    began: float
    """Seconds since the start."""
    ended: float


def draw(spans: list[Span], title: str, path: Path) -> None:
    """Write the picture, a bar a step from top to bottom; the format by the file's name."""
    figure, axes = plt.subplots(figsize=(10, 0.32 * len(spans) + 1.4), layout="constrained")
    for row, span in enumerate(spans):
        axes.barh(row, max(span.ended - span.began, 1.5), left=span.began, height=0.7, color=_COLOURS[span.kind])
        axes.text(max(span.ended, span.began + 1.5) + 3, row, span.text, va="center", fontsize=8)
    end = max(span.ended for span in spans)
    axes.set(xlim=(0, end * 1.45), yticks=[], xlabel="seconds", title=title)
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)

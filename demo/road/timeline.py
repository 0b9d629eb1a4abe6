"""What happened when, as a picture for the README."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt  # after the backend is chosen
from matplotlib.patches import Patch

_COLOURS: Final = {"build": "#4c78a8", "fleet": "#54a24b", "light": "#f58518", "loop": "#b279a2"}
_WORDS: Final = {"build": "training", "fleet": "devices and releases", "light": "what happens", "loop": "the loop"}
_CHARACTERS: Final = 90
"""Of a step's text: there is no room for more beside its bar."""


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
    end = max(span.ended for span in spans)
    figure, axes = plt.subplots(figsize=(10, 0.36 * len(spans) + 1.6))
    for row, span in enumerate(spans):
        axes.barh(row, max(span.ended - span.began, 1.5), left=span.began, height=0.7, color=_COLOURS[span.kind])
        text = shorten(span.text, _CHARACTERS, placeholder=" …")
        if span.began < end / 2:  # its text stands where there is more room
            axes.text(max(span.ended, span.began + 1.5) + 4, row, text, va="center", fontsize=9)
        else:
            axes.text(span.began - 4, row, text, va="center", ha="right", fontsize=9)
    axes.set(xlim=(0, end), yticks=[], xlabel="seconds", title=title)
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    handles = [Patch(color=_COLOURS[kind], label=words) for kind, words in _WORDS.items()]
    axes.legend(handles=handles, loc="lower left", fontsize=9, frameon=False)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)

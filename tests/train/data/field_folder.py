"""A folder of labelled faces as `edgewise labels export --folder` writes it."""

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from train.data.field import ERASED, HEADER

NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def face(number: int) -> NDArray[np.uint8]:
    """A grey picture [48, 48] that no other number gives."""
    return np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)


def row(number: int, **columns: str) -> dict[str, str]:
    """The row of picture `p<number>`; `columns` go before what it says by itself."""
    return {
        "picture": f"p{number}", "label": "happy", "device": "cam-1", "taken": "1790000000.5", "track": "7",
        "stratum": "random", "inclusion": "0.1", "model": "emotion 5", "answer": "happy", "annotators": "2",
    } | columns  # fmt: skip


def write_field(
    folder: Path,
    rows: list[dict[str, str]],
    tombstones: list[tuple[str, str, str]] | None = None,
    pictures: list[NDArray[np.uint8]] | None = None,
) -> Path:
    """Write the folder; picture `p<n>` of the n-th row is `face(n)`, or the n-th of `pictures`."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(rows)
    with (folder / "tombstones.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([ERASED, *(tombstones or [])])
    for number in range(len(rows)):
        picture = pictures[number] if pictures is not None else face(number)
        cv2.imwrite(str(folder / "pictures" / f"p{number}.png"), picture)
    return folder

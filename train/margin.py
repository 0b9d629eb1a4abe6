"""How the detector's box relates to the dataset's frame: `python -m train.margin [--detector FILE] [--pictures N]`.

Prints `package.margin` and `package.shift_y` for params.yaml, so that a device cuts faces as the dataset frames them.
Each training picture stands in a larger one, enlarged, its border replicated: a detector needs room around a face. How
much room there is moves its box by a few hundredths, so three layouts are measured, and their relations pooled. Where
one face is found, the picture's own square is expressed in the box; pictures without a face, or with several, are
counted and left out. Reads the `train` split only.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_contract.command_end import command
from edge_contract.errors import UsageError
from edge_vision.faces import Box, FaceDetector, open_detector
from edge_vision.fetch_detector import DEFAULT_PATH
from edge_vision.framed import bordered
from train.data import dataset
from train.progress import steps
from train.scoring import scores

BORDERS = (0.25, 0.5, 1.0)  # of the picture's side, on each side: the face fills 2/3, 1/2 and 1/3 of the whole
FEWEST = 30  # faces: a median of fewer is too uncertain


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, first and third quartile, and the median's 95 % interval (order statistics)."""

    median: float
    quartile_1: float
    quartile_3: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Margin:
    """What `package` takes: `margin` in longer sides of the box, shifts of the square's centre in sides of the square.

    `border` is None for all layouts together. `shift_x` has no setting: a mirrored face would need the other sign, so
    it must come out near 0.
    """

    border: float | None
    pictures: int
    found: scores.Interval
    several: int
    margin: Spread
    shift_y: Spread
    shift_x: Spread


def relation(frame: Box, face: Box) -> tuple[float, float, float]:
    """(margin, shift_x, shift_y) by which `edge_contract.manifest.FaceCrop` turns the box `face` into `frame`."""
    side = max(frame.width, frame.height)
    shift_x = (frame.left + frame.width / 2 - face.left - face.width / 2) / side
    shift_y = (frame.top + frame.height / 2 - face.top - face.height / 2) / side
    return side / max(face.width, face.height), shift_x, shift_y


def measure(images: NDArray[np.uint8], detector: FaceDetector) -> list[Margin]:
    """Run the detector over pictures [N,H,W,C]: one result a layout, and the pooled one last.

    Raises:
        UsageError: So few faces are found that these are probably no pictures of faces.
    """
    results, pooled, several = [], [], 0
    for border in BORDERS:
        relations, crowded = [], 0
        for picture in steps(images, f"faces, border {border:g}"):
            whole, frame = bordered(picture, border)
            faces = detector.detect(whole)
            if len(faces) == 1:
                relations.append(relation(frame, faces[0].box))
            crowded += len(faces) > 1
        if len(relations) < FEWEST:
            raise UsageError(
                f"{detector.name} finds one face in {len(relations)} of {len(images)} pictures, {FEWEST} are needed",
                remedy="measure on a dataset of framed faces",
            )
        results.append(summary(border, relations, crowded, len(images)))
        pooled += relations
        several += crowded
    return [*results, summary(None, pooled, several, len(images) * len(BORDERS))]


def summary(border: float | None, relations: list[tuple[float, float, float]], several: int, pictures: int) -> Margin:
    """Medians of (margin, shift_x, shift_y) among `pictures` looked at."""
    margin, shift_x, shift_y = (spread(np.array(values)) for values in zip(*relations, strict=True))
    return Margin(border, pictures, scores.wilson(len(relations), pictures), several, margin, shift_y, shift_x)


def spread(values: NDArray[np.float64]) -> Spread:
    """Quartiles, and the interval that holds the median of what these are drawn from in 95 % of all samples."""
    ordered = np.sort(values)
    n = len(ordered)
    half = scores.Z_95 * np.sqrt(n) / 2  # ranks of a binomial with p = 1/2, by its normal approximation
    low, high = ordered[max(0, int(np.floor(n / 2 - half)))], ordered[min(n - 1, int(np.ceil(n / 2 + half)))]
    first, median, third = np.quantile(ordered, [0.25, 0.5, 0.75])
    return Spread(float(median), float(first), float(third), float(low), float(high))


def readable(results: list[Margin], detector: str, dataset_name: str) -> str:
    """What was measured, and the lines for params.yaml."""
    pooled = results[-1]
    lines = [
        f"{detector} on {results[0].pictures:,} training pictures of {dataset_name}; median [95 %] (quartiles)",
        "",
        "| border | one face found | several | margin | shift_y | shift_x |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for found in results:
        cells = (
            f"{values.median:.3f} [{values.low:.3f}, {values.high:.3f}] ({values.quartile_1:.2f} to "
            f"{values.quartile_3:.2f})"
            for values in (found.margin, found.shift_y, found.shift_x)
        )
        layout = "all" if found.border is None else f"{found.border:g}"
        lines.append(f"| {layout} | {found.found.value:.1%} | {found.several} | {' | '.join(cells)} |")
    lines += ["", "package:", f"  margin: {pooled.margin.median:.2f}", f"  shift_y: {pooled.shift_y.median:.3f}"]
    return "\n".join(lines)


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.margin`."""
    parser = argparse.ArgumentParser(description="Measure the face margin of a dataset with a detector.")
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.npz"))
    parser.add_argument("--detector", type=Path, default=DEFAULT_PATH, help="YuNet's file (`make face-detector`)")
    parser.add_argument("--haar", action="store_true", help="measure with OpenCV's cascade instead")
    parser.add_argument("--pictures", type=int, default=2000, help="so many training pictures, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON line instead of the table")
    options = parser.parse_args(arguments)
    data = dataset.load(options.dataset)
    rows = data.split_indices("train")
    chosen = np.random.default_rng(options.seed).permutation(rows)[: options.pictures]
    detector = open_detector(None if options.haar else options.detector)
    found = measure(data.images[np.sort(chosen)], detector)
    text = (
        json.dumps([asdict(row) for row in found])
        if options.json
        else readable(found, detector.name, str(options.dataset))
    )
    print(text)  # noqa: T201 - the command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())

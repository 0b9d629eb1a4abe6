"""`make evaluate`: score a finished model on the test splits; the only stage that reads them.

    python -m train.evaluate [--params params.yaml] [--model FILE] [--output FOLDER]

Writes scores.json, predictions.npz (for paired comparisons later) and pictures. Each score names its label set, n and
its 95 % interval.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_contract.command_end import command
from edge_contract.durable import write_file
from edge_contract.errors import UsageError
from train.data import dataset
from train.data.dataset import write_archive
from train.params import load_section
from train.scoring import plots, scores
from train.scoring.predict import probabilities_of
from train.scoring.settings import EvaluateParams


def label_sets(data: dataset.Dataset, rows: NDArray[np.intp]) -> dict[str, tuple[NDArray[np.intp], NDArray[np.int64]]]:
    """What a split can be scored against: name -> (positions within `rows`, labels there)."""
    labels = data.labels[rows].astype(np.int64)
    everything = np.arange(len(rows))
    sets = {"dataset": (everything, labels)}
    digests = dataset.image_digests(data.images[rows])
    first = _firsts(digests)
    sets["dataset, deduplicated"] = (first, labels[first])
    majority = data.majority_labels()[rows]
    if (majority >= 0).any():
        clear = np.flatnonzero(majority >= 0)
        sets["FER+ majority"] = (clear, majority[clear])
    return sets


def _firsts(digests: list[bytes]) -> NDArray[np.intp]:
    seen: dict[bytes, int] = {}
    for index, digest in enumerate(digests):
        seen.setdefault(digest, index)
    return np.array(sorted(seen.values()), np.intp)


def evaluate(model: Path, data: dataset.Dataset, output: Path) -> dict[str, Any]:
    """Score `model` on every test split the dataset has and write the files; returns what scores.json holds.

    Raises:
        UsageError: The dataset has no test split, or the model does not fit it.
    """
    splits = {name: data.split_indices(name) for name in ("test", "private")}
    splits = {name: rows for name, rows in splits.items() if len(rows)}
    if not splits:
        raise UsageError("the dataset has no test split to evaluate on", remedy="prepare one that has")
    report: dict[str, Any] = {"model": model.name, "source_digest": data.source_digest, "splits": {}}
    stored: dict[str, NDArray[Any]] = {}
    for name, rows in splits.items():
        answers = probabilities_of(model, data.images[rows], len(data.label_names))
        stored |= {f"{name}_rows": rows, f"{name}_probabilities": answers, f"{name}_labels": data.labels[rows]}
        report["splits"][name] = {
            label_set: described(scores.score(labels, answers[at]), data.label_names)
            for label_set, (at, labels) in label_sets(data, rows).items()
        }
        labels = data.labels[rows].astype(np.int64)
        plots.confusion(scores.score(labels, answers).confusion, data.label_names, output / f"confusion_{name}.png")
        plots.reliability(labels, answers, output / f"reliability_{name}.png")
    write_archive(output / "predictions.npz", stored)
    write_file(output / "scores.json", (json.dumps(report, indent=1) + "\n").encode())
    return report


def described(result: scores.Scores, names: tuple[str, ...]) -> dict[str, Any]:
    """Scores as plain JSON values; a class without pictures has recall null."""
    return {
        "n": result.n,
        "accuracy": result.accuracy.value,
        "accuracy_low": result.accuracy.low,
        "accuracy_high": result.accuracy.high,
        "macro_f1": result.macro_f1,
        "calibration_error": result.calibration_error,
        "recall": {
            name: None if math.isnan(value) else value for name, value in zip(names, result.recall, strict=True)
        },
        "confusion": result.confusion.tolist(),
    }


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.evaluate`."""
    parser = argparse.ArgumentParser(description="Score a finished model on the test splits.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--model", type=Path, help="a .keras, .tflite or .ewm file instead of evaluate.model")
    parser.add_argument("--output", type=Path, help="a folder instead of evaluate.output")
    options = parser.parse_args(arguments)
    params = load_section(options.params, "evaluate", EvaluateParams)
    data = dataset.load(Path(params.dataset))
    report = evaluate(options.model or Path(params.model), data, options.output or Path(params.output))
    for split, sets in report["splits"].items():
        for label_set, row in sets.items():
            print(  # noqa: T201 - the command's answer
                f"{report['model']} on {split} ({label_set} labels): accuracy {row['accuracy']:.2%} "
                f"[{row['accuracy_low']:.2%}, {row['accuracy_high']:.2%}], n {row['n']}, "
                f"macro-F1 {row['macro_f1']:.3f}, calibration error {row['calibration_error']:.2%}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

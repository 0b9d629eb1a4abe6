"""Accuracy under what a camera does to pictures: `python -m train.robustness --model FILE [--model FILE]`.

Scores each model on the test split, clean and under every corruption at three strengths, on the same corrupted
pictures; writes robustness.json and prints a table. Part of `evaluate`: it reads the test split and decides nothing.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edge_contract.command_end import command
from edge_contract.durable import write_file
from edge_contract.errors import UsageError
from train.data.dataset import Dataset, load
from train.params import load_section
from train.scoring.corruptions import CORRUPTIONS, corrupted
from train.scoring.predict import probabilities_of
from train.scoring.scores import wilson
from train.scoring.settings import EvaluateParams

SEED = 11


def robustness(models: list[Path], data: Dataset) -> list[dict[str, Any]]:
    """One row a corruption and strength (and one for none): accuracy with interval of every model, same pictures."""
    rows = data.split_indices("test")
    if not len(rows):
        raise UsageError("the dataset has no test split to evaluate on", remedy="prepare one that has")
    pictures, labels = data.images[rows], data.labels[rows]
    conditions: list[tuple[str, float]] = [("none", 0.0)]
    conditions += [(name, strength) for name, (_, strengths) in CORRUPTIONS.items() for strength in strengths]
    table = []
    for name, strength in conditions:
        seen = pictures if name == "none" else corrupted(pictures, name, strength, SEED)
        row: dict[str, Any] = {"corruption": name, "strength": strength, "n": len(rows), "accuracy": {}}
        for model in models:
            right = probabilities_of(model, seen, len(data.label_names)).argmax(axis=1) == labels
            interval = wilson(int(np.sum(right)), len(rows))
            row["accuracy"][str(model)] = {"value": interval.value, "low": interval.low, "high": interval.high}
        table.append(row)
    return table


def as_markdown(table: list[dict[str, Any]]) -> str:
    """The table for people: one column a model, percent with its 95 % interval."""
    models = list(table[0]["accuracy"])
    lines = [
        "| corruption | strength | "
        + " | ".join(f"{Path(model).parent.name}/{Path(model).name}" for model in models)
        + " |",
        "|---|---:|" + "---:|" * len(models),
    ]
    for row in table:
        cells = [
            f"{100 * cell['value']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"
            for cell in row["accuracy"].values()
        ]
        lines.append(f"| {row['corruption'].replace('_', ' ')} | {row['strength']:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.robustness`."""
    parser = argparse.ArgumentParser(description="Score models on pictures as a camera might spoil them.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--model", type=Path, action="append", help=".keras or .tflite; may be given again")
    options = parser.parse_args(arguments)
    params = load_section(options.params, "evaluate", EvaluateParams)
    table = robustness(options.model or [Path(params.model)], load(Path(params.dataset)))
    output = Path(params.output)
    output.mkdir(parents=True, exist_ok=True)
    write_file(output / "robustness.json", (json.dumps(table, indent=1) + "\n").encode())
    print(as_markdown(table))  # noqa: T201 - the command's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())

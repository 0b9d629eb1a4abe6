"""Accuracy of every trained network, float and int8, in one table: `python -m benchmarks.accuracy [--rerun]`.

Reads the predictions that `train.evaluate` stored beside each run (`RUN/evaluate/` for RUN/model.keras,
`RUN/evaluate-int8/` for RUN/int8.tflite); what is missing, or everything with --rerun, is scored first. All rows are of
the same test pictures, so int8 is compared with its own float network by McNemar's exact test.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from edge_contract.errors import EdgewiseError, UsageError
from train import networks, scores
from train.dataset import Dataset, load
from train.evaluate import evaluate

FORMS = {"float": ("model.keras", "evaluate"), "int8": ("int8.tflite", "evaluate-int8")}


@dataclass(frozen=True, slots=True)
class Row:
    """One model file on the test split; shares are 0..1, `p_value` is McNemar's against the run's float network."""

    run: str
    form: str
    parameters: int
    mmac: float
    size: int
    n: int
    accuracy: float
    low: float
    high: float
    macro_f1: float
    calibration_error: float
    lowest_recall: float
    p_value: float | None


def measure(run: Path, form: str, data: Dataset, *, rerun: bool) -> Row | None:
    """A run's row in one form; None where there is no such model file."""
    name, folder = FORMS[form]
    model = run / name
    if not model.exists():
        return None
    stored = run / folder / "predictions.npz"
    if rerun or not stored.exists() or stored.stat().st_mtime < model.stat().st_mtime:
        evaluate(model, data, run / folder)
    labels, probabilities = _stored(stored, data)
    result = scores.score(labels, probabilities)
    network = keras.models.load_model(run / FORMS["float"][0], compile=False)
    p_value = None
    if form != "float":
        _, reference = _stored(run / FORMS["float"][1] / "predictions.npz", data)
        right, right_float = (answers.argmax(axis=1) == labels for answers in (probabilities, reference))
        p_value = scores.mcnemar(right, right_float).p_value
    return Row(
        run=run.name, form=form, parameters=network.count_params(), mmac=networks.multiply_accumulates(network) / 1e6,
        size=model.stat().st_size, n=result.n, accuracy=result.accuracy.value, low=result.accuracy.low,
        high=result.accuracy.high, macro_f1=result.macro_f1, calibration_error=result.calibration_error,
        lowest_recall=min(result.recall), p_value=p_value,
    )  # fmt: skip


def _stored(path: Path, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        rows, probabilities = archive["test_rows"], archive["test_probabilities"]
    if not np.array_equal(rows, data.split_indices("test")):
        raise UsageError(f"{path} was made with another dataset: run again with --rerun.")
    return data.labels[rows].astype(np.int64), probabilities


def as_markdown(rows: list[Row]) -> str:
    """The table for people."""
    lines = [
        "| run | form | parameters | MMAC | bytes | accuracy, % [95 %] | macro-F1 | ECE, % | lowest recall, % "
        "| p against float |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.run} | {row.form} | {row.parameters:,} | {row.mmac:.1f} | {row.size:,} | {100 * row.accuracy:.2f} "
        f"[{100 * row.low:.2f}, {100 * row.high:.2f}] | {row.macro_f1:.3f} | {100 * row.calibration_error:.2f} | "
        f"{100 * row.lowest_recall:.1f} | {'' if row.p_value is None else f'{row.p_value:.3f}'} |"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table, then all of it as one JSON line."""
    parser = argparse.ArgumentParser(description="Accuracy of every trained network in one table.")
    parser.add_argument("--runs", type=Path, default=Path("build/runs"), help="a folder of run folders")
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.npz"))
    parser.add_argument("--rerun", action="store_true", help="score every model again")
    options = parser.parse_args(arguments)
    try:
        data = load(options.dataset)
        runs = sorted(path.parent for path in options.runs.glob("*/model.keras"))
        if not runs:
            raise UsageError(f"{options.runs} holds no finished run: train one with train.output {options.runs}/NAME.")
        found = [measure(run, form, data, rerun=options.rerun) for run in runs for form in FORMS]
    except EdgewiseError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    rows = [row for row in found if row is not None]
    print(as_markdown(rows))
    results = Path("benchmarks/results/accuracy.json")
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(json.dumps([asdict(row) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

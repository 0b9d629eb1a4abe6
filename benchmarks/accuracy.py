"""Accuracy of every network, float and quantized, beside what people use today: `make bench-accuracy`.

    python -m benchmarks.accuracy [--rerun | --rerun-row NAME] [--rows FILE]

All rows of `benchmarks/accuracy.yaml` answer for the same test pictures under one protocol, from predictions stored in
`build/accuracy/` (asked anew when model or data changed); a row whose files are not on this machine keeps the figures
of the last run in `benchmarks/results/`, under the words that the rows file has for it now. Quantized forms are
compared with their own float network by McNemar's exact test. Prints the table and one JSON line; writes both and a
picture into `benchmarks/results/`, which docs/accuracy.md quotes.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from benchmarks import accuracy_report, accuracy_rows
from benchmarks.accuracy_answers import SPLIT, Answers, answers_of_file, store_path, stored_or_asked
from benchmarks.accuracy_package import FORMS, Peer
from benchmarks.accuracy_report import Row, Share
from benchmarks.accuracy_rows import Cost, RowSpec
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.manifest import digest_of
from train.data.dataset import Dataset, load
from train.evaluate import label_sets
from train.scoring import scores

RESULTS = Path(__file__).parent / "results"
ROWS = Path(__file__).with_suffix(".yaml")


def rows_of(spec: RowSpec, data: Dataset, folder: Path, *, rerun: bool, python: Path) -> Iterator[Row]:
    """The measured rows of one network, float first; one row without figures where none of its files is there."""
    reference: Answers | None = None
    measured = False
    for form, paid, answers in _answered(spec, data, folder, rerun=rerun, python=python):
        measured = True
        yield measured_row(spec, form, paid, answers, reference, data)
        reference = answers if form == "float" else reference
    if not measured:
        cost: Cost | None = None
        if spec.network:
            cost = accuracy_rows.cost_untrained(spec, data.images.shape[1:], len(data.label_names))
        yield Row(name=spec.name, form="float", cost=cost, published=spec.published, trained="not trained here")


def _answered(
    spec: RowSpec, data: Dataset, folder: Path, *, rerun: bool, python: Path
) -> Iterator[tuple[str, Cost, Answers]]:
    if spec.package:
        for form in FORMS:
            peer = Peer(python, form, data.label_names)
            store = store_path(folder, spec.name, form)
            digest = digest_of(peer.model.read_bytes())
            yield form, peer.cost(), stored_or_asked(peer.ask, digest, data, store, rerun=rerun)
    for form, file in accuracy_rows.forms(spec):
        if file.exists():
            store = store_path(folder, spec.name, form)
            yield form, accuracy_rows.cost_of_file(file), answers_of_file(file, data, store, rerun=rerun)


def measured_row(
    spec: RowSpec, form: str, cost: Cost, answers: Answers, reference: Answers | None, data: Dataset
) -> Row:
    """Score stored answers; `reference` is the float network's, for a paired comparison of one crop each."""
    rows = data.split_indices(SPLIT)
    labels = data.labels[rows].astype(np.int64)
    result = scores.score(labels, answers.single)
    p_value = difference = None
    if reference is not None:
        right, before = (given.single.argmax(axis=1) == labels for given in (answers, reference))
        p_value, difference = scores.mcnemar(right, before).p_value, float(right.mean() - before.mean())
    found = zip(data.label_names, result.recall, strict=True)  # NaN for a class without test pictures
    others = {
        name: _share(given, answers.single[at])
        for name, (at, given) in label_sets(data, rows).items()
        if name != "dataset"
    }
    return Row(
        name=spec.name, form=form, cost=cost, published=spec.published, trained=spec.trained,
        accuracy=_share(labels, answers.single), ten_crop=_share(labels, answers.ten), label_sets=others,
        macro_f1=result.macro_f1, calibration_error=result.calibration_error,
        recall={name: share for name, share in found if not math.isnan(share)}, p_value=p_value, difference=difference,
    )  # fmt: skip


def _share(labels: scores.Labels, probabilities: scores.Probabilities) -> Share:
    result = scores.score(labels, probabilities)
    return Share(result.n, result.accuracy.value, result.accuracy.low, result.accuracy.high)


def measure(options: argparse.Namespace, console: Console) -> tuple[list[Row], list[str]]:
    """All rows, and sentences on those that could not be asked; what an earlier run measured of these is kept.

    Raises:
        UsageError: There is no test split, or no row of the name to run again.
    """
    specs = accuracy_rows.read_rows(options.rows)
    if options.rerun_row and options.rerun_row not in [spec.name for spec in specs]:
        names = "; ".join(spec.name for spec in specs)
        raise UsageError(f"{options.rows} has no row `{options.rerun_row}`", remedy=f"name one of {names}")
    data = load(options.dataset)
    if not len(data.split_indices(SPLIT)):
        raise UsageError("the dataset has no test split to score on", remedy="prepare one that has")
    rows, missing, kept = [], [], []
    last = last_rows(options.results / "accuracy.json", len(data.split_indices(SPLIT)))
    for spec in specs:
        console.print(f"{spec.name} …", style="dim")
        rerun = options.rerun or options.rerun_row == spec.name
        earlier = [] if rerun else last.get(spec.name, [])
        found: list[Row] = []
        if not earlier or all(file.exists() for _, file in accuracy_rows.forms(spec)):
            try:
                found = list(rows_of(spec, data, options.store, rerun=rerun, python=options.fer))
            except EdgewiseError as error:  # one row's missing environment leaves the others their figures
                if not earlier:
                    missing.append(f"without {spec.name}: {error}")
        if earlier and not found:
            kept.append(spec.name)
        rows += found or [dataclasses.replace(row, published=spec.published, trained=spec.trained) for row in earlier]
    if kept:
        missing.append(f"figures of an earlier run, whose files are not here: {'; '.join(kept)}.")
    return rows, missing


def last_rows(results: Path, n: int) -> dict[str, list[Row]]:
    """Measured rows of the last run by name, where it was on as many test pictures."""
    if not results.exists():
        return {}
    found: dict[str, list[Row]] = {}
    for row in msgspec.json.decode(results.read_bytes(), type=list[Row]):
        if row.accuracy is not None and row.accuracy.n == n:
            found.setdefault(row.name, []).append(row)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print the table, then all of it as one JSON line."""
    parser = argparse.ArgumentParser(description="Accuracy of every network in one table.")
    parser.add_argument("--rows", type=Path, default=ROWS, help="which networks and files (YAML)")
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.npz"))
    parser.add_argument("--store", type=Path, default=Path("build/accuracy"), help="where predictions are kept")
    parser.add_argument("--fer", type=Path, default=Path(".venv-fer/bin/python"), help="a Python with `fer`")
    parser.add_argument("--rerun", action="store_true", help="ask every model again")
    parser.add_argument("--rerun-row", default="", metavar="NAME", help="ask the models of one row again")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON and the picture go")
    options = parser.parse_args(arguments)
    try:
        rows, missing = measure(options, Console(stderr=True))
    except EdgewiseError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    table = "\n".join([accuracy_report.as_markdown(rows), *missing])
    print(table)
    document = msgspec.json.encode(rows)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "accuracy.md").write_text(table + "\n")
    (options.results / "accuracy.json").write_bytes(msgspec.json.format(document, indent=1) + b"\n")
    accuracy_report.draw(rows, options.results / "accuracy.png")
    print(document.decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

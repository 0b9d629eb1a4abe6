"""`make summary`: what a retraining was worth, as Markdown on standard output: a table, the gate's checks, pictures.

Without a retraining it tells of what `make pipeline` left. Pictures are drawn as Mermaid, which a forge's summary page
shows without fetching anything; the PNGs stand beside the result.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from convert import artifacts
from convert.checks import gate_record
from convert.checks.gate_record import GateRecord
from convert.retraining import measured, record
from convert.settings import RetrainSettings
from edge_contract import limits
from edge_contract.bounded_read import read_text
from edge_contract.command_end import command
from edge_contract.errors import UsageError
from edge_contract.visible import visible
from train.params import load_section

WORDS = {"accuracy": "old data, test split", "field_accuracy": "faces from devices, held out"}
_EPOCHS = 200  # points of a curve that is drawn


def page(judged: GateRecord, history: list[dict[str, Any]], title: str) -> str:
    """The summary."""
    figures = measured.figures(judged.measurements)
    lines = [f"## {title}", "", "| | champion | this model |", "|---|---|---|"]
    for name, words in WORDS.items():
        before, after = figures.get(f"{name}_before"), figures.get(f"{name}_after")
        if after is not None:
            lines.append(f"| {words} | {_percent(before)} | {_percent(after)} |")
    lines += ["", f"**Gate: {'passed' if judged.result.passed else 'REFUSED'}**", ""]
    lines += [f"- {_text(reason)}" for reason in judged.result.reasons]
    lines += _devices(judged) + _curve(history) + _recall(judged)
    lines += ["", "<details><summary>All checks</summary>", "", "| check | found |", "|---|---|"]
    lines += [f"| {_text(name)} | {_text(_value(value))} |" for name, value in judged.result.checks.items()]
    return "\n".join([*lines, "", "</details>", ""])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _value(value: float | str | bool | None) -> str:
    if value is None:
        return "not run"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(text: str) -> str:
    """One line in which nothing is markup: labels and device names come from elsewhere."""
    shown = visible(text)
    for sign in ("\\", "|", "<", ">", "`", "*", "_", "[", "]", "#"):
        shown = shown.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return shown


def _devices(judged: GateRecord) -> list[str]:
    found = judged.measurements.field
    if found is None or not found.devices:
        return []
    rows = [
        f"| {_text(one.device)} | {one.n} | {one.held_out} "
        f"| {_percent(one.known.value)} | {_percent(one.accuracy.value)} |"
        for one in found.devices
    ]
    return ["", "| device | faces | held out | champion, all | this model, held out |", "|---|---|---|---|---|", *rows]


def _curve(history: list[dict[str, Any]]) -> list[str]:
    found = [row.get("selection_accuracy") for row in history[-_EPOCHS:]]
    values = [f"{100 * value:.1f}" for value in found if isinstance(value, int | float)]
    if len(values) < 2:
        return []
    return [
        "", "```mermaid", "xychart-beta", '  title "Selection accuracy by epoch, %"',
        f'  x-axis "epoch" 1 --> {len(values)}', "  y-axis 0 --> 100", f"  line [{', '.join(values)}]", "```",
    ]  # fmt: skip


def _recall(judged: GateRecord) -> list[str]:
    found = judged.measurements.comparison
    if found is None or not found.recall:
        return []
    names = ", ".join(
        json.dumps("".join(sign for sign in name if sign.isalnum() or sign in " -")) for name in found.recall
    )
    return [
        "", "```mermaid", "xychart-beta", '  title "Recall by label, %"', f"  x-axis [{names}]", "  y-axis 0 --> 100",
        f"  bar [{', '.join(f'{100 * value:.1f}' for value in found.recall.values())}]", "```",
    ]  # fmt: skip


def _history(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(read_text(path, limits.DOCUMENT_BYTES))
    except (OSError, ValueError):
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _newest(folder: Path) -> str:
    """The id of the run that was noted last; empty where there is none."""
    runs = sorted(folder.glob(f"*/{record.RECORD}"), key=lambda file: file.stat().st_mtime)
    return runs[-1].parent.name if runs else ""


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m convert.summary`."""
    parser = argparse.ArgumentParser(prog="convert.summary", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    given = parser.parse_args(arguments)
    runs = Path(load_section(given.params, "retrain", RetrainSettings).folder)
    run = os.environ.get("RETRAIN_RUN", "") or _newest(runs)
    if run and record.read(runs / Path(run).name) is None:
        raise UsageError(f"there is no retraining {run} in {runs}", remedy="run `make retrain` first")
    if run and not (runs / Path(run).name / artifacts.GATE).exists():
        raise UsageError(f"the retraining {run} did not reach its gate", remedy="look at what it said")
    folder = runs / Path(run).name if run else artifacts.FOLDER
    history = folder if run else Path("build/train")
    title = f"Retraining {run}" if run else "The pipeline"
    print(page(gate_record.read(folder), _history(history / "history.json"), title))  # noqa: T201 - the answer
    return 0


if __name__ == "__main__":
    sys.exit(main())

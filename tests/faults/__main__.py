"""`make test-faults`: what a device survives, a row a kind of fault; 1 when any of them left what must not be.

Prints a table, writes it to `benchmarks/results/faults.json` (with `--only`: those rows of it), and prints that JSON as
its last line.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.agent.update.update_bench import quick_waits
from tests.faults import bad_models, crops, mutants, power_cuts, random_kills, surroundings, transitions
from tests.faults.row import Row, print_table

RESULTS: Final = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "faults.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows one after the other."""
    parser = argparse.ArgumentParser(prog="make test-faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="random kills of whole agents (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=600.0, help="that they may take (default %(default)g)")
    parser.add_argument("--mutants", type=int, default=10_000, help="(default %(default)s)")
    parser.add_argument("--stride", type=int, default=1, help="a fault at every n-th operation (default %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=2 * (os.cpu_count() or 1), help="at a time (default %(default)s)"
    )
    parser.add_argument("--only", default="", help=f"some of {', '.join(_ROWS)}, with commas between them")
    options = parser.parse_args(arguments)
    asked = [name for name in options.only.split(",") if name] or list(_ROWS)
    if unknown := sorted(set(asked) - set(_ROWS)):
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(_ROWS)}")
    quick_waits(pytest.MonkeyPatch())
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="edgewise-faults-") as name:
        for row in asked:
            print(f"{row} …", file=sys.stderr, flush=True)
            found[row] = _ROWS[row](Path(name) / row, options)
    rows = [row for several in found.values() for row in several]
    print_table(rows)
    figures = {name: _figures(several) for name, several in found.items()}
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    whole = {name: figures.get(name, kept.get(name)) for name in _ROWS if name in figures or name in kept}
    RESULTS.write_text(json.dumps(whole, indent=1) + "\n")
    print(json.dumps(figures))
    return 1 if any(row.invalid for row in rows) else 0


def _figures(rows: list[Row]) -> dict[str, object]:
    return rows[0].as_json() if len(rows) == 1 else {row.name: row.as_json() for row in rows}


_ROWS: Final[dict[str, Callable[[Path, argparse.Namespace], list[Row]]]] = {
    "writes": lambda folder, options: transitions.faults(folder, workers=options.workers, stride=options.stride),
    "kills": lambda folder, options: [
        random_kills.random_kills(folder, options.kills, seconds=options.seconds, workers=options.workers)
    ],
    "power-cuts": lambda folder, _: [power_cuts.prefixes(folder)],
    "mutants": lambda _, options: [mutants.mutants(options.mutants, workers=options.workers)],
    "bad-models": lambda folder, _: [bad_models.bad_models(folder)],
    "surroundings": lambda folder, _: [surroundings.broker_and_clock(folder), surroundings.full_disk(folder)],
    "crops": lambda folder, options: [crops.faults(folder, stride=options.stride)],
    "frames": lambda folder, _: [surroundings.frames(folder)],
}


if __name__ == "__main__":
    sys.exit(main())

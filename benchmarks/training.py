"""`make bench-train`: pictures a second of one training, as one process with threads and as processes with one each.

Trains `edge_cnn` on drawn faces under PyTorch, a few epochs at a time, in turns; the first epoch of each turn warms up
and is left out. The ratio is taken within a round, whose two turns met the same machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.progress import track

from edge_contract.errors import EdgewiseError, UsageError
from train import prepare
from train.data import dataset
from train.loop import machine

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PICTURES: Final = 12_000
EPOCHS: Final = 4
BATCH: Final = 256


def trained(folder: Path, data: Path, precision: str, processes: int, threads: int) -> float:
    """Pictures a second in the median epoch of a short training after its first epoch.

    Raises:
        EdgewiseError: The training failed; what it said comes along.
    """
    run = folder / f"{processes}x{threads}"
    params = run.with_suffix(".json")
    # YAML reads JSON.
    params.write_text(json.dumps({"train": {
        "network": "edge_cnn", "epochs": EPOCHS, "batch_size": BATCH, "precision": precision, "processes": processes,
        "threads": threads, "dataset": str(data), "output": str(run), "tracking_uri": f"sqlite:///{folder}/mlflow.db",
    }}))  # fmt: skip
    environment = {**os.environ, "KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "train.fit", "--params", str(params), "--restart"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgewiseError(f"the training ended with {done.returncode}: {done.stderr[-600:]}")
    history = json.loads((run / "history.json").read_text())
    return float(statistics.median(row["images_per_second"] for row in history[1:]))


def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m benchmarks.training`."""
    parser = argparse.ArgumentParser(description="One training: threads in one process, or several processes.")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="mixed_bfloat16", choices=["float32", "mixed_bfloat16"])
    options = parser.parse_args(arguments)
    try:
        if options.cores < 2:
            raise UsageError("two cores or more are needed, for there is nothing to share on one.")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            data = folder / "dataset.npz"
            drawn, _ = prepare.prepare(prepare.PrepareParams(source=f"synthetic:{PICTURES}"))
            dataset.save(drawn, data)
            ways = {"one process": (1, options.cores), "processes": (options.cores, 1)}
            rounds = [
                {name: trained(folder, data, options.precision, *way) for name, way in ways.items()}
                for _ in track(range(options.rounds), "rounds")
            ]
    except EdgewiseError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    ratios = sorted(each["processes"] / each["one process"] for each in rounds)
    print(f"edge_cnn, {options.precision}, batch {BATCH}, {machine.cpu_name()}")
    for name, (processes, threads) in ways.items():
        rate = statistics.median(each[name] for each in rounds)
        print(f"{processes} x {threads} threads: {rate:,.0f} pictures/s")
    print(
        f"processes are {statistics.median(ratios):.2f} times as fast [{ratios[0]:.2f} to {ratios[-1]:.2f}], "
        f"{len(ratios)} rounds"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

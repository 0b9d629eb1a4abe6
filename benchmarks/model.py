"""`make bench-model`: what one inference costs, ours beside the network this project descends from.

{baseline_cnn, edge_cnn} x {float, int8} x {LiteRT, tflite-runtime}: bytes, multiply-accumulates, latency, cold start,
memory, and how near each comes to what this core can multiply at all (`peak.c`, measured in the same run). Where an
emulated Arm device was made (`make test-arm64`), instructions an inference on Cortex-A72 and A76 as well.

The int8 files are the shipped ones. A float file is converted from the same network with fresh weights: its time does
not depend on them. Rounds alternate between all variants, and of each the quietest round counts.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.model_report import Row, draw, table
from convert import conversion, flatbuffer
from convert.description import output_of
from convert.runtimes import MATRIX, Runtime, ask
from edge_contract import package as packages
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import Score, digest_of
from edge_contract.package import ModelPackage
from tests.arm64.emulated import CORTEX_A72, CORTEX_A76, EmulatedDevice, can_chroot
from train import networks

HERE: Final = Path(__file__).resolve().parent
RESULTS: Final = HERE / "results"
SHIPPED: Final = {"baseline_cnn": "emotion-1.ewm", "edge_cnn": "emotion-2.ewm"}
ROUNDS: Final = 5
TIMED: Final = 200  # invocations a round
_DEVICES: Final = {"litert": "litert", "tflite-runtime": "tflite"}  # a runtime's name among the emulated devices


@dataclass(frozen=True, slots=True)
class Variant:
    """One model file."""

    network: str
    precision: str
    package: ModelPackage
    score: Score | None
    macs: int


def variants(models: Path) -> Iterator[Variant]:
    """The shipped int8 files, and a float file of the same graph for each."""
    for network, name in SHIPPED.items():
        shipped = packages.read_file(models / name)
        manifest = shipped.manifest
        accuracy = manifest.accuracy
        fresh = networks.build_deployed(
            networks.network_config(network), manifest.input.shape[1:], len(manifest.labels)
        )
        real = conversion.to_float(fresh)
        macs = flatbuffer.parse(real).macs
        if (there := flatbuffer.parse(shipped.model).macs) != macs:
            raise EdgewiseError(f"{name} has {there} multiply-accumulates, {network} has {macs}: not the same network.")
        described = msgspec.structs.replace(
            manifest,
            digest=digest_of(real),
            size=len(real),
            output=output_of(flatbuffer.parse(real)),
            quantization="float32",
            goldens=(),
        )
        yield Variant(network, "float", ModelPackage(described, real, ""), accuracy.float if accuracy else None, macs)
        yield Variant(network, "int8", shipped, accuracy.int8 if accuracy else None, macs)


def peaks() -> dict[str, float]:
    """This core's ceiling, operations a second by precision; empty without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        made = subprocess.run([compiler, "-O3", "-march=native", "-o", program, HERE / "peak.c"], check=False)
        if made.returncode != 0:
            return {}
        found = json.loads(subprocess.run([program], capture_output=True, check=True).stdout)
    return {precision: rate for precision, rate in found.items() if rate > 0}


def measure(chosen: list[Variant], runtimes: list[Runtime], rounds: int) -> tuple[list[Row], dict[str, float]]:
    """Every variant on every runtime, in turn; the quietest round of each, and the highest peak seen."""
    rows = {
        (variant.network, variant.precision, runtime.name): _row(variant, runtime)
        for variant in chosen
        for runtime in runtimes
    }
    best: dict[str, float] = {}
    tensor = np.random.default_rng(0).integers(0, 256, (1, *chosen[0].package.manifest.input.shape[1:]), dtype=np.uint8)
    for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
        for precision, rate in peaks().items():
            best[precision] = max(best.get(precision, 0.0), rate)
        for variant in chosen:
            for runtime in runtimes:
                row = rows[variant.network, variant.precision, runtime.name]
                answer = ask(runtime, variant.package.model, variant.package.manifest, tensor, timed=TIMED)
                if answer.failure:
                    raise EdgewiseError(f"{variant.network} {variant.precision} on {runtime.name}: {answer.failure}.")
                _keep_quietest(row, answer.report.seconds, answer.report.cold_start, answer.report.resident)
    for row in rows.values():
        assert row.p50_ms is not None  # noqa: S101 - every variant ran at least once
        row.gops = 2 * row.mmac / row.p50_ms
        if row.precision in best:
            row.peak_share = row.gops * 1e9 / best[row.precision]
    return list(rows.values()), best


def count_instructions(rows: list[Row], chosen: list[Variant]) -> str:
    """Arm instructions of one inference into the rows; the reason where that cannot be done."""
    if not can_chroot():
        return "emulating Arm needs root"
    missing = [name for name in _DEVICES.values() if not EmulatedDevice.made(name)]
    if missing:
        return "no emulated device was made; run `make test-arm64` first"
    by_key = {(row.network, row.precision, row.runtime): row for row in rows}
    counter = HERE.parent / "deploy/arm64/count.py"
    with tempfile.TemporaryDirectory() as folder:
        for runtime, name in _DEVICES.items():
            for processor in (CORTEX_A72, CORTEX_A76):
                device = EmulatedDevice(name, processor)
                program = device.put(counter)
                for variant in chosen:
                    row = by_key.get((variant.network, variant.precision, runtime))
                    if row is None:
                        continue
                    path = Path(folder) / f"{variant.network}-{variant.precision}.ewm"
                    path.write_bytes(packages.write(variant.package))
                    try:
                        said = device.python(program, "--counts", device.COUNTS, "--package", device.put(path))
                    except AssertionError as error:  # the device's word that its program failed
                        return str(error).splitlines()[-1]
                    count = int(json.loads(said.splitlines()[-1])["invoke"])
                    setattr(row, f"{processor.name.removeprefix('cortex-')}_instructions", count)
    return ""


def _row(variant: Variant, runtime: Runtime) -> Row:
    score = variant.score
    return Row(
        network=variant.network,
        precision=variant.precision,
        runtime=runtime.name,
        bytes=variant.package.manifest.size,
        mmac=variant.macs / 1e6,
        accuracy=score.accuracy if score else None,
        accuracy_low=score.low if score else None,
        accuracy_high=score.high if score else None,
    )


def _keep_quietest(row: Row, seconds: tuple[float, ...], cold_start: float, resident: int) -> None:
    middle, high = (1000 * float(value) for value in np.quantile(seconds, [0.5, 0.95]))
    if row.p50_ms is None or middle < row.p50_ms:
        row.p50_ms, row.p95_ms = middle, high
    row.cold_start_ms = min(1000 * cold_start, row.cold_start_ms or np.inf)
    row.resident_mb = min(resident / 1e6, row.resident_mb or np.inf)


def summary(rows: list[Row]) -> dict[str, float | None]:
    """The three figures that the project promises something about."""
    by_key = {(row.network, row.precision, row.runtime): row for row in rows}
    ours, theirs = by_key.get(("edge_cnn", "int8", "litert")), by_key.get(("baseline_cnn", "float", "litert"))
    return {
        "speedup_vs_baseline_float": _ratio(theirs, ours, "p50_ms"),
        "int8_peak_share": ours.peak_share if ours else None,
        "a72_instruction_ratio": _ratio(theirs, ours, "a72_instructions"),
        "a76_instruction_ratio": _ratio(theirs, ours, "a76_instructions"),
    }


def _ratio(theirs: Row | None, ours: Row | None, name: str) -> float | None:
    above, below = getattr(theirs, name, None), getattr(ours, name, None)
    return float(above / below) if above and below else None


def main(arguments: list[str] | None = None) -> int:
    """`python -m benchmarks.model`; the last line is one JSON object."""
    parser = argparse.ArgumentParser(prog="benchmarks.model", description=__doc__)
    parser.add_argument("--models", type=Path, default=HERE.parent / "models")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    try:
        chosen = list(variants(given.models))
        runtimes = [runtime for runtime in MATRIX if runtime.present]
        rows, ceiling = measure(chosen, runtimes, given.rounds)
        skipped = count_instructions(rows, chosen)
    except EdgewiseError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    figures = summary(rows)
    Console(width=150).print(table(rows, ceiling))
    if skipped:
        print(f"Arm instructions were not counted: {skipped}.")
    document: dict[str, Any] = {
        **figures,
        "peak_ops": ceiling,
        "models": {name: packages.read_file(given.models / name).manifest.digest for name in SHIPPED.values()},
        "rows": [asdict(row) for row in rows],
    }
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "model.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(rows, given.results / "model.png")
    print(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())

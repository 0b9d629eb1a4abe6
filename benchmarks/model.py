"""`make bench-model`: what one inference costs, ours beside the network this project descends from.

{baseline_cnn, edge_cnn} x {float, int8} x {LiteRT, tflite-runtime}: bytes, multiply-accumulates, latency, cold start,
memory, and how near each comes to what this core can multiply at all (`peak.c`, measured in the same run). Where an
emulated Arm device can be made (deploy/arm64/devices.sh), instructions an inference on Cortex-A72 and A76 as well.

The int8 files are the shipped ones. A float file is converted from the same network with fresh weights: its time does
not depend on them. Rounds alternate between the peak and all variants; ratios are taken within a round, whose parts met
the same machine, and what is reported is the median over rounds with its quartiles. Then edge_cnn's int8 file is taken
apart (`model_layers`), to name the layers that cost its share of the peak.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.model_layers import LayerCost, profile
from benchmarks.model_report import Row, draw, layer_table, table
from convert.tflite import conversion, flatbuffer
from convert.tflite.candidate import output_of
from convert.tflite.runtimes import MATRIX, Runtime, ask
from deploy.arm64.processors import CORTEX_A72, CORTEX_A76
from edge_contract import package as packages
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import Score, digest_of
from edge_contract.package import ModelPackage
from tests.arm64.emulated import BUILD, REPOSITORY, EmulatedDevice
from train.network import build

HERE: Final = Path(__file__).resolve().parent
RESULTS: Final = HERE / "results"
SHIPPED: Final = {"baseline_cnn": "emotion-1.ewm", "edge_cnn": "emotion-5.ewm"}
ROUNDS: Final = 15
TIMED: Final = 200  # invocations a round
Key = tuple[str, str, str]
"""Network, precision, runtime."""
_OURS: Final[Key] = ("edge_cnn", "int8", "litert")
_THEIRS: Final[Key] = ("baseline_cnn", "float", "litert")
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
        fresh = build.build_deployed(build.network_config(network), manifest.input.shape[1:], len(manifest.labels))
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


@dataclass(slots=True)
class Rounds:
    """What was measured round by round: of the peak by precision, and of each variant on each runtime."""

    peak: dict[str, list[float]] = field(default_factory=dict)
    p50: dict[Key, list[float]] = field(default_factory=dict)
    """Seconds."""
    p95: dict[Key, list[float]] = field(default_factory=dict)
    cold_start: dict[Key, list[float]] = field(default_factory=dict)
    resident: dict[Key, list[float]] = field(default_factory=dict)
    """Bytes."""


def measure(chosen: list[Variant], runtimes: list[Runtime], rounds: int) -> Rounds:
    """The peak and every variant on every runtime in turn, so many times."""
    found = Rounds()
    tensor = np.random.default_rng(0).integers(0, 256, (1, *chosen[0].package.manifest.input.shape[1:]), dtype=np.uint8)
    for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
        for precision, rate in peaks().items():
            found.peak.setdefault(precision, []).append(rate)
        for variant in chosen:
            for runtime in runtimes:
                answer = ask(runtime, variant.package.model, variant.package.manifest, tensor, timed=TIMED)
                if answer.failure:
                    raise EdgewiseError(f"{variant.network} {variant.precision} on {runtime.name}: {answer.failure}.")
                key = variant.network, variant.precision, runtime.name
                middle, high = np.quantile(answer.report.seconds, [0.5, 0.95])
                found.p50.setdefault(key, []).append(float(middle))
                found.p95.setdefault(key, []).append(float(high))
                found.cold_start.setdefault(key, []).append(answer.report.cold_start)
                found.resident.setdefault(key, []).append(answer.report.resident)
    return found


def rows_of(chosen: list[Variant], found: Rounds) -> list[Row]:
    """The medians over rounds."""
    by_name = {(variant.network, variant.precision): variant for variant in chosen}
    rows = []
    for key, times in found.p50.items():
        row = _row(by_name[key[:2]], key[2])
        row.p50_ms, row.p95_ms = 1000 * statistics.median(times), 1000 * statistics.median(found.p95[key])
        row.cold_start_ms = 1000 * statistics.median(found.cold_start[key])
        row.resident_mb = statistics.median(found.resident[key]) / 1e6
        row.gops = 2 * row.mmac / row.p50_ms
        if shares := peak_shares(found, key, row.mmac):
            row.peak_share = statistics.median(shares)
        rows.append(row)
    return rows


def peak_shares(found: Rounds, key: Key, mmac: float) -> list[float]:
    """How near a variant came to the peak of the same round; empty where the peak is not known."""
    return [2e6 * mmac / spent / peak for spent, peak in zip(found.p50[key], found.peak.get(key[1], []), strict=False)]


def count_instructions(rows: list[Row], chosen: list[Variant]) -> str:
    """Arm instructions of one inference into the rows; the reason where that cannot be done."""
    # Makes the emulated devices, or brings them up to this checkout's code, where QEMU is installed.
    made = subprocess.run(
        [REPOSITORY / "deploy/arm64/devices.sh", sys.executable, BUILD],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        return f"the emulated devices cannot be made: {made.stdout.strip().splitlines()[-1]}"
    reason = next(filter(None, map(EmulatedDevice.missing, _DEVICES.values())), "")
    if reason:
        return reason
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
                    except AssertionError as error:  # the program on the device failed
                        return str(error).splitlines()[-1]
                    count = int(json.loads(said.splitlines()[-1])["invoke"])
                    setattr(row, f"{processor.name.removeprefix('cortex-')}_instructions", count)
    return ""


def _row(variant: Variant, runtime: str) -> Row:
    score = variant.score
    return Row(
        network=variant.network,
        precision=variant.precision,
        runtime=runtime,
        bytes=variant.package.manifest.size,
        mmac=variant.macs / 1e6,
        accuracy=score.accuracy if score else None,
        accuracy_low=score.low if score else None,
        accuracy_high=score.high if score else None,
    )


def summary(rows: list[Row], found: Rounds) -> dict[str, Any]:
    """The figures that the project promises something about, and the quartiles of those that vary from round to round.

    A quartile pair is where the middle half of the rounds lay.
    """
    by_key = {(row.network, row.precision, row.runtime): row for row in rows}
    ours, theirs = by_key.get(_OURS), by_key.get(_THEIRS)
    speedups = [their / our for their, our in zip(found.p50.get(_THEIRS, []), found.p50.get(_OURS, []), strict=True)]
    shares = peak_shares(found, _OURS, ours.mmac) if ours else []
    return {
        "speedup_vs_baseline_float": statistics.median(speedups) if speedups else None,
        "int8_peak_share": statistics.median(shares) if shares else None,
        "a72_instruction_ratio": _ratio(theirs, ours, "a72_instructions"),
        "a76_instruction_ratio": _ratio(theirs, ours, "a76_instructions"),
        "rounds": len(speedups),
        "speedup_quartiles": _quartiles(speedups),
        "peak_share_quartiles": _quartiles(shares),
    }


def _quartiles(values: list[float]) -> list[float] | None:
    return [float(value) for value in np.quantile(values, [0.25, 0.75])] if values else None


def _ratio(theirs: Row | None, ours: Row | None, name: str) -> float | None:
    above, below = getattr(theirs, name, None), getattr(ours, name, None)
    return float(above / below) if above and below else None


def layers_of(chosen: list[Variant], rounds: int) -> list[LayerCost]:
    """Where the time of our int8 network goes; empty without a compiler for the peak."""
    model = next(one.package.model for one in chosen if (one.network, one.precision) == _OURS[:2])
    return profile(model, lambda: peaks()["int8"], rounds) if peaks().get("int8") else []


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
        found = measure(chosen, runtimes, given.rounds)
        rows, layers = rows_of(chosen, found), layers_of(chosen, given.rounds)
        skipped = count_instructions(rows, chosen)
    except EdgewiseError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    figures = summary(rows, found)
    ceiling = {precision: statistics.median(rates) for precision, rates in found.peak.items()}
    console = Console(width=150)
    console.print(table(rows, ceiling))
    if layers:
        console.print(layer_table(layers))
    if skipped:
        print(f"Arm instructions were not counted: {skipped}.")
    document: dict[str, Any] = {
        **figures,
        "peak_ops": ceiling,
        "models": {name: packages.read_file(given.models / name).manifest.digest for name in SHIPPED.values()},
        "rows": [asdict(row) for row in rows],
        "layers": [asdict(layer) for layer in layers],
    }
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "model.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(rows, layers, ceiling.get("int8", 0.0) / 1e9, given.results / "model.png")
    print(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())

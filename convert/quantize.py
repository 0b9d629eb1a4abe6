"""Stage `quantize`: the trained network becomes a float and an int8 TFLite file, with a report of every layer.

Reads `build/train/model.keras` and `data/dataset.npz`; writes `build/convert/` (see `artifacts`). Everything is
computed before the first file is written: what cannot be converted leaves the folder as it was.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress

from convert import artifacts
from convert.settings import PackageSettings, QuantizeSettings
from convert.tflite import calibration, conversion, layers, qat
from convert.tflite.candidate import describe
from convert.tflite.flatbuffer import parse
from convert.tflite.layer_report import draw, table, to_markdown
from convert.tflite.runtimes import LITERT, ask
from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.command_end import command
from edge_contract.durable import make_directory, write_file
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import Budget, FaceCrop, digest_of, encode
from train.data.dataset import Dataset, load, write_archive
from train.params import load_section

# A probability. Folding the rescaling moves what the first convolution pads with by at most half a grey level, which
# small training sets amplify to some 0.002; sums in another order differ by far less, another network by far more.
_SAME = 1e-2
_CHECKED = 64  # pictures of every class: a network that answers one class always is right for that one


def quantize(
    network_path: Path, data: Dataset, folder: Path, settings: QuantizeSettings, *, crop: FaceCrop, budget: Budget
) -> artifacts.Converted:
    """Convert the network and write the folder.

    Raises:
        UsageError: network or data cannot be used; nothing was written.
        EdgewiseError: the converter changed what the network computes; nothing was written.
    """
    network = conversion.load_network(network_path)
    conversion.check_fits(network, data.images.shape[1:], data.label_names, network_path)
    rows = data.split_indices("train")
    chosen = rows[calibration.stratified(data.labels[rows], settings.calibration_images, settings.seed)]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("float reference", total=None)
        reference = {
            split: conversion.predict(network, data.images[data.split_indices(split)])
            for split in ("selection", "test")
            if len(data.split_indices(split))
        }
        float_model = conversion.to_float(network)
        progress.update(task, description=f"int8, {settings.method}", total=len(chosen))
        if settings.method == "qat":
            int8_model = qat.to_int8(network, data, settings)
        else:
            int8_model = conversion.to_int8(
                network, data.images[chosen], lambda count: progress.update(task, completed=count)
            )
        shown = data.images[chosen[: settings.report_images]]
        progress.update(task, description="layers", total=len(shown), completed=0)
        layer_report = layers.report(
            float_model, int8_model, shown, lambda count: progress.update(task, completed=count)
        )
    _check_float(float_model, network, data, crop, budget)
    candidate = describe(int8_model, data.label_names, data.images, crop, budget)
    record = artifacts.ConversionRecord(
        method=settings.method,
        network=digest_of(read_file(network_path, limits.NETWORK_BYTES)),
        dataset=data.source_digest,
        network_weights=conversion.weights_of(network),
        float_digest=digest_of(float_model),
        float_size=len(float_model),
        int8_digest=digest_of(int8_model),
        int8_size=len(int8_model),
        macs=parse(float_model).macs,
        calibration_images=len(chosen),
        layers=layer_report,
    )
    done = artifacts.Converted(record, candidate, float_model, int8_model, reference)
    _write(done, folder)
    return done


def _check_float(float_model: bytes, network: Any, data: Dataset, crop: FaceCrop, budget: Budget) -> None:
    """The float file must answer as the network does: a converter can lose the weights and call it success."""
    rows = data.split_indices("train")
    count = max(_CHECKED, len(data.label_names))
    images = data.images[rows[calibration.stratified(data.labels[rows], count, seed=0)]]
    answer = ask(LITERT, float_model, describe(float_model, data.label_names, images, crop, budget), images)
    if answer.outputs is None:
        raise EdgewiseError(f"the converted float network does not run: {answer.failure}.")
    off = np.abs(answer.outputs.astype(np.float32) - conversion.predict(network, images)).max(axis=1)
    if not off.max() < _SAME:
        layer = conversion.first_changed_layer(network, images[[int(off.argmax())]])
        raise EdgewiseError(
            f"the converted float network answers {off.max():.3g} off the trained one"
            + (f", from the layer {layer} on" if layer else ""),
            remedy="do not ship it, and replace the layer by others" if layer else "do not ship it",
        )


def _write(done: artifacts.Converted, folder: Path) -> None:
    make_directory(folder)
    write_file(folder / artifacts.FLOAT, done.float_model)
    write_file(folder / artifacts.INT8, done.int8_model)
    write_file(folder / artifacts.CANDIDATE, encode(done.candidate))
    write_archive(folder / artifacts.REFERENCE, done.reference)
    write_file(folder / "layers.md", to_markdown(done.record.layers).encode())
    write_file(folder / "layers.png", draw(done.record.layers))
    record = msgspec.json.format(msgspec.json.encode(done.record), indent=1)
    write_file(folder / artifacts.RECORD, record + b"\n")


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m convert.quantize`."""
    parser = argparse.ArgumentParser(prog="convert.quantize", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--network", type=Path, default=Path("build/train/model.keras"))
    parser.add_argument("--data", type=Path, default=Path("data/dataset.npz"))
    parser.add_argument("--out", type=Path, default=artifacts.FOLDER)
    given = parser.parse_args(arguments)
    settings = load_section(given.params, "quantize", QuantizeSettings)
    package = load_section(given.params, "package", PackageSettings)
    done = quantize(given.network, load(given.data), given.out, settings, crop=package.crop, budget=package.budget)
    console = Console()
    console.print(table(done.record.layers))
    console.print(
        f"float {done.record.float_size:,} bytes, int8 {done.record.int8_size:,} bytes, "
        f"{done.record.macs / 1e6:.1f} MMAC → {given.out}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

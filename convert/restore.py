"""A shipped package as a network that can be trained again: for pictures of one's own, or as a teacher.

    python -m convert.restore --package models/emotion-5.ewm --output build/restored [--params params.yaml]

Writes OUTPUT/model.keras (the shipped form: name it in `train.start_from`) and OUTPUT/params.json (so that the folder
can stand among `distill.teachers`). Weights come out as the eight bits have them, in float; what rounding took is gone.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.tflite import centering
from convert.tflite.flatbuffer import WEIGHTED, Graph, parse
from edge_contract import package
from edge_contract.command_end import command
from edge_contract.durable import write_file
from edge_contract.errors import UsageError
from edge_contract.package import ModelPackage
from train.loop.settings import TrainParams
from train.network import build
from train.params import load_section


def restore(shipped: ModelPackage, params: TrainParams) -> Any:
    """The package's network in shipped form, built as `params.network` and its options say.

    Raises:
        UsageError: The package holds another network.
    """
    image, labels = shipped.manifest.input, shipped.manifest.labels
    config = build.network_config(params.network, params.network_options)
    network = build.build_deployed(config, image.shape[1:], len(labels))
    stored = _weights(parse(shipped.model, shipped.file_name))
    layers = [layer for layer in network.layers if layer.weights]
    forms = [[tuple(weight.shape) for weight in layer.weights] for layer in layers]
    if forms != [[weight.shape for weight in weights] for weights in stored]:
        raise UsageError(
            f"{shipped.file_name} holds another network than {params.network} with these options",
            remedy="name the network it was trained as with --network",
        )
    for layer, weights in zip(layers, stored, strict=True):
        layer.set_weights(weights)
    folded = centering.plan(network)
    if folded is not None:
        folded.release(network)
    return network


def _weights(graph: Graph) -> list[list[NDArray[np.float32]]]:
    """Kernel and, where there is one, bias of every layer that multiplies, as they run, in Keras' order of axes."""
    found = []
    for operator in graph.operators:
        if operator.name not in WEIGHTED:
            continue
        constants = [graph.tensors[index] for index in operator.inputs[1:] if index >= 0]
        kernel, *bias = (constant.values.astype(np.float32) for constant in constants)
        found.append([kernel.T if operator.name == "FULLY_CONNECTED" else kernel.transpose(1, 2, 3, 0), *bias])
    return found


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m convert.restore`."""
    parser = argparse.ArgumentParser(description="Write a shipped package's network so that it can be trained again.")
    parser.add_argument("--package", type=Path, required=True, help="such as models/emotion-5.ewm")
    parser.add_argument("--network", default="edge_cnn", help="what it was trained as: train.network")
    parser.add_argument("--params", type=Path, help="take network and options from this file's section `train`")
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    options = parser.parse_args(arguments)
    shipped = package.read_file(options.package)
    if options.params:
        params = msgspec.structs.replace(
            load_section(options.params, "train", TrainParams), output=str(options.output), start_from=""
        )
    else:
        params = TrainParams(network=options.network, output=str(options.output))
    network = restore(shipped, params)
    options.output.mkdir(parents=True, exist_ok=True)
    build.save(network, options.output / "model.keras")
    write_file(options.output / "params.json", msgspec.json.encode(params))
    print(f"{options.output}/model.keras: {network.count_params():,} weights of {shipped.file_name}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

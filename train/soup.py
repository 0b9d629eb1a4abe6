"""Average the weights of finished runs into one network.

    python -m train.soup --runs build/runs/a build/runs/b --shares 0.65 0.35 --output build/runs/soup

Runs that went on from the same weights lie in one basin of the loss: the mean of their weights answers about as well as
the mean of their answers would, at the cost of one network (Wortsman et al. 2022, "model soups"). Shares are chosen on
the selection split: the command prints what the mean is worth there, beside each run alone.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.command_end import command
from edge_contract.errors import UsageError
from train.data import dataset
from train.loop import calibrate, run_folder
from train.scoring import scores


def average(networks: list[Any], shares: list[float]) -> Any:
    """The first network with the weighted mean of all networks' weights; `shares` need not add to 1.

    Raises:
        UsageError: They are not networks of one form, or there is not one positive share for each.
    """
    if len(shares) != len(networks) or not all(0 < share < math.inf for share in shares):
        raise UsageError(f"--shares are {shares} for {len(networks)} runs", remedy="name one above 0 for each")
    held = [network.get_weights() for network in networks]
    forms = [[weight.shape for weight in weights] for weights in held]
    if any(form != forms[0] for form in forms):
        raise UsageError("these runs hold networks of different forms", remedy="average runs of one network")
    networks[0].set_weights([np.average(weights, axis=0, weights=shares) for weights in zip(*held, strict=True)])
    return networks[0]


def _scored(name: str, network: Any, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    probabilities = np.asarray(network.predict(images, batch_size=256, verbose=0), np.float32)
    accuracy, loss = scores.score(labels, probabilities).accuracy, scores.log_loss(labels, probabilities)
    print(f"{name}: selection accuracy {accuracy.value:.2%}, log loss {loss:.4f}, n {len(labels):,}")  # noqa: T201
    return probabilities


@command()
def main(arguments: list[str] | None = None) -> int:
    """Command line of `python -m train.soup`."""
    parser = argparse.ArgumentParser(description="Average the weights of finished runs that began alike.")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of finished runs (train.output)")
    parser.add_argument("--shares", type=float, nargs="*", default=[], help="of each run; without any, all weigh alike")
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.npz"), help="its selection split is scored")
    parser.add_argument("--output", type=Path, required=True, help="a folder, as a run's")
    options = parser.parse_args(arguments)
    data = dataset.load(options.dataset)
    rows = data.split_indices("selection")
    networks, trained_with = zip(*(run_folder.load_run(run, data.label_names) for run in options.runs), strict=True)
    for run, network in zip(options.runs, networks, strict=True):
        _scored(str(run), network, data.images[rows], data.labels[rows])
    network = average(list(networks), options.shares or [1.0] * len(networks))
    probabilities = _scored("averaged", network, data.images[rows], data.labels[rows])
    calibrate.settle_head(network, probabilities, data.labels[rows])
    probabilities = _scored("its last layer fitted", network, data.images[rows], data.labels[rows])
    params = msgspec.structs.replace(trained_with[0], output=str(options.output))
    run_folder.write_params(options.output, params)
    run_folder.write_outputs(
        options.output, model=network, history=[], labels=data.labels[rows], probabilities=probabilities,
        label_names=data.label_names,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())

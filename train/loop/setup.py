"""What a training consists of, built from its params: network, learner, batches and state, alike in every process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from train.data import dataset
from train.loop import checkpoint, machine
from train.loop.batches import Batches
from train.loop.distributed import Team
from train.loop.learner import Learner
from train.loop.optimizer import make_optimizer
from train.loop.settings import TrainParams
from train.loop.soft_labels import load_views
from train.loop.state import TrainingState
from train.network import build, from_deployed
from train.network.architectures import NetworkConfig
from train.network.builder import Builder

# What may differ between a start and a resume: where things are, and what it happens to run on.
_PLACES = ("output", "dataset", "experiment", "tracking_uri", "threads")


@dataclass(frozen=True, slots=True)
class Training:
    """The parts of one training, wired to each other and ready for the first step."""

    network: Any  # training form
    builder: Builder
    config: NetworkConfig
    learner: Learner
    batches: Batches
    state: TrainingState

    def variables(self) -> list[Any]:
        """What must be equal in every process before the first step."""
        return [*self.network.weights, *self.learner.optimizer.variables]


def set_up(params: TrainParams, data: dataset.Dataset, team: Team = Team()) -> Training:  # noqa: B008 - frozen
    """Everything with its first, random weights.

    Raises:
        UsageError: Params and dataset do not fit together.
    """
    config = build.network_config(params.network, params.network_options)
    refuse_unfit_labels(data)
    machine.limit_threads(params.threads)
    machine.keep_freed_memory()
    keras.utils.set_random_seed(params.seed)
    votes = _vote_count(params, data)
    batches = _batches(params, data, votes, team)
    features = batches.targets["features"].shape[-1] if params.objective.features_weight else 0
    network, builder = build.build_training(
        config, data.images.shape[1:], len(data.label_names), votes=votes, features=features, policy=params.precision
    )
    learner = Learner(network, params.objective, params.seed, params.augment)
    # JAX is slow without compilation; TensorFlow's XLA was measured slower than its own graph on CPUs.
    learner.compile(optimizer=make_optimizer(params, len(batches)), jit_compile=keras.backend.backend() == "jax")
    learner.optimizer.build(learner.trainable_variables)
    team.share_gradients(learner.optimizer)
    state = TrainingState(
        learner, seed=params.seed, rank=team.rank, average_decay=params.average_decay,
        fingerprint=fingerprint(params, data), path=Path(params.output) / "checkpoint.npz",
    )  # fmt: skip
    return Training(network, builder, config, learner, batches, state)


def first_weights(params: TrainParams, data: dataset.Dataset, training: Training, *, restart: bool) -> int:
    """Take up the checkpoint, or what `start_from` names; the number of epochs that are done.

    Raises:
        UsageError: The checkpoint or the start is of another training or network.
    """
    done = 0 if restart else training.state.restore()
    if not done and params.start_from:
        start = Path(params.start_from)
        if start.suffix == ".keras":
            images = data.images[data.split_indices("train")]
            from_deployed.unfold(from_deployed.load_shipped(start), training.network, training.builder, images)
        else:
            training.state.start_from(start)
    return done


def refuse_unfit_labels(data: dataset.Dataset) -> None:
    """Stop before training where labels do not fit the head, or a class has nothing to learn from.

    Raises:
        UsageError: The text names the label.
    """
    classes = len(data.label_names)
    if len(data.labels) and int(data.labels.max()) >= classes:
        raise UsageError(
            f"the dataset has label {int(data.labels.max())}, but names only {classes} classes",
            remedy="prepare it again",
        )
    for split in ("train", "selection"):
        counts = np.bincount(data.labels[data.split_indices(split)], minlength=classes)
        for name, count in zip(data.label_names, counts, strict=True):
            if count == 0:
                raise UsageError(
                    f"class `{name}` has no picture in split {split}", remedy="add some, or leave the class out"
                )


def fingerprint(params: TrainParams, data: dataset.Dataset) -> str:
    """What makes a checkpoint this training's own."""
    settled = {name: value for name, value in msgspec.to_builtins(params).items() if name not in _PLACES}
    return checkpoint.fingerprint(json.dumps(settled, sort_keys=True), data.digest())


def _vote_count(params: TrainParams, data: dataset.Dataset) -> int:
    if not params.objective.votes_weight:
        return 0
    if not data.vote_names:
        raise UsageError(
            "train.objective.votes_weight needs FER+ votes", remedy="run `make data` with FERPLUS=fer2013new.csv"
        )
    return len(data.vote_names)


def _batches(params: TrainParams, data: dataset.Dataset, votes: int, team: Team) -> Batches:
    rows = data.split_indices("train")
    images = data.images[rows][None]
    targets: dict[str, NDArray[np.floating]] = {
        "labels": np.eye(len(data.label_names), dtype=np.float32)[data.labels[rows]]
    }
    if votes:
        counts = data.votes[rows].astype(np.float32)
        targets["votes"] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    views = load_views(Path(params.views), data, rows) if params.views else None
    if views:
        images, targets["teacher"] = views.images, views.probabilities
        if params.objective.features_weight:
            if not views.features.shape[-1]:
                raise UsageError(
                    f"{params.views} holds no features for train.objective.features_weight",
                    remedy="set distill.features and run `python -m train.distill` again",
                )
            targets["features"] = views.features
    elif params.objective.teacher_weight or params.objective.features_weight:
        wanting = "teacher_weight" if params.objective.teacher_weight else "features_weight"
        raise UsageError(f"train.objective.{wanting} needs a teacher's answers", remedy="name them in train.views")
    return Batches(
        images, targets, batch_size=params.batch_size, strength=params.augment, seed=params.seed, views=views, team=team
    )

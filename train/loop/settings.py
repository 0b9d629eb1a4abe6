"""The `train` section of params.yaml: what is learned, from what, how long."""

from typing import Annotated, Any, Literal

import msgspec

from train.loop.augment import Augment
from train.loop.learner import Objective

Decay = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class TrainParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training; every field can be searched by `train.tune`."""

    network: str = "edge_cnn"
    network_options: dict[str, Any] = {}
    epochs: int = 60
    batch_size: int = 128
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    learning_rate: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = 1.0
    weight_decay: float = 5e-4  # decoupled, times the learning rate; not on biases and normalisation
    average_decay: Decay = 0.0  # weights averaged over epochs: new = decay * old + (1 - decay) * now; 0 is off
    step_average_decay: Decay = 0.0  # the same over steps, beside it; 0.998 remembers some 500 steps
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    seed: int = 2013
    processes: int = 1  # each takes its share of every batch; PyTorch backend, one machine (`train.team`)
    threads: int = 0  # CPU threads of each process, for the PyTorch backend; 0 leaves the choice to it
    objective: Objective = Objective()
    augment: Augment = Augment()
    dataset: str = "data/dataset.npz"
    views: str = ""  # stored views with a teacher's answers, as `train.distill` writes them
    start_from: str = ""  # a run's folder, or a `.keras` file it wrote: its weights are the first; empty is random
    output: str = "build/train"
    experiment: str = "edgewise"
    tracking_uri: str = "sqlite:///mlflow.db"  # MLFLOW_TRACKING_URI, where set, goes before it

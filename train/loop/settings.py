"""The `train` section of params.yaml: what is learned, from what, how long."""

from typing import Annotated, Any, Literal

import msgspec

from edge_contract.setting_types import BelowOne, Count, Seed, Share, Strength, Text, TextOrNone, Threads


class Augment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far each change may go; every picture gets its own amount between none and this."""

    scale: BelowOne = 0.2  # zoom by 1 ± this
    shift: Share = 0.1  # share of the picture's side
    rotation: Annotated[float, msgspec.Meta(ge=0, le=180)] = 10.0  # degrees
    flip: Share = 0.5  # probability
    erase: Share = 0.5  # probability of hiding a rectangle of 2 to 20 % of the area (Zhong et al. 2020)
    contrast: Share = 0.3  # multiply the difference from the mean by 1 ± this
    brightness: Share = 0.15  # add ± this share of full white
    low_light: Share = 0.0  # probability of keeping 25 to 70 % of the light
    blur: Annotated[float, msgspec.Meta(ge=0, le=10)] = (
        0.5  # share of a 3x3 mean; past 1, of two more (1.6: 1.2 pixels of sigma)
    )
    noise: Annotated[float, msgspec.Meta(ge=0, le=255)] = 6.0  # standard deviation up to this many grey levels
    mixup: Strength = 0.2  # alpha of the Beta distribution (Zhang et al. 2018)
    join: Share = 0.0  # probability of another picture below a line near the middle (after CutMix, Yun et al. 2019)

    def changes_pixels(self) -> bool:
        """Whether `augment.apply` would do anything; blending and joining are separate (`mix_pictures`)."""
        return any(getattr(self, name) for name in self.__struct_fields__ if name not in ("mixup", "join"))


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the loss is made of: a weighted sum over labels, a teacher's answers, votes and features."""

    label_smoothing: BelowOne = 0.1
    teacher_weight: Share = 0.0  # share of the loss that follows the teacher; the rest follows the labels
    temperature: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0  # softens both distributions (Hinton et al. 2015)
    votes_weight: Strength = 0.0  # added cross-entropy of a second head to FER+'s votes
    features_weight: Strength = 0.0  # squared error of a third head to the teachers' features (Romero et al. 2015)


class TrainParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training; every field can be searched by `train.tune`."""

    network: Text = "edge_cnn"
    network_options: dict[str, Any] = {}
    epochs: Count = 60
    batch_size: Count = 128
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: Annotated[float, msgspec.Meta(ge=0, le=10_000_000)] = 1.0
    weight_decay: Share = 5e-4  # decoupled, times the learning rate; not on biases and normalisation
    average_decay: BelowOne = 0.0  # weights averaged over epochs: new = decay * old + (1 - decay) * now; 0 is off
    step_average_decay: BelowOne = 0.0  # the same over steps, beside it; 0.998 remembers some 500 steps
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    seed: Seed = 2013
    processes: Count = 1  # each takes its share of every batch; PyTorch backend, one machine (`distributed`)
    threads: Threads = 0  # CPU threads of each process, for the PyTorch backend; 0 leaves the choice to it
    objective: Objective = Objective()
    augment: Augment = Augment()
    dataset: Text = "data/dataset.npz"
    views: TextOrNone = ""  # stored views with a teacher's answers, as `train.distill` writes them
    start_from: TextOrNone = ""  # a run's folder, or a `.keras` file: its weights are the first; empty is random
    output: Text = "build/train"
    experiment: Text = "edgewise"
    tracking_uri: Text = "sqlite:///mlflow.db"  # MLFLOW_TRACKING_URI, where set, goes before it

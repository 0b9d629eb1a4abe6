"""The `train` section of params.yaml: what is learned, from what, how long."""

from typing import Annotated, Any, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Decay = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Augment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far each change may go; every picture gets its own amount between none and this."""

    scale: float = 0.2  # zoom by 1 ± this
    shift: float = 0.1  # share of the picture's side
    rotation: float = 10.0  # degrees
    flip: float = 0.5  # probability
    erase: float = 0.5  # probability of hiding a rectangle of 2 to 20 % of the area (Zhong et al. 2020)
    contrast: float = 0.3  # multiply the difference from the mean by 1 ± this
    brightness: float = 0.15  # add ± this share of full white
    low_light: float = 0.0  # probability of keeping 25 to 70 % of the light
    blur: float = 0.5  # up to this share of a 3x3 mean; past 1, of two more on top (1.6: up to 1.2 pixels of sigma)
    noise: float = 6.0  # standard deviation up to this many grey levels
    mixup: float = 0.2  # alpha of the Beta distribution (Zhang et al. 2018)
    join: float = 0.0  # probability of another picture below a line near the middle (after CutMix, Yun et al. 2019)

    def changes_pixels(self) -> bool:
        """Whether `augment.apply` would do anything; blending and joining are separate (`mix_pictures`)."""
        return any(getattr(self, name) for name in self.__struct_fields__ if name not in ("mixup", "join"))


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the loss is made of: a weighted sum over labels, a teacher's answers, votes and features."""

    label_smoothing: float = 0.1
    teacher_weight: float = 0.0  # share of the loss that follows the teacher; the rest follows the labels
    temperature: float = 1.0  # both distributions are softened by it (Hinton et al. 2015)
    votes_weight: float = 0.0  # added cross-entropy of a second head to FER+'s votes
    features_weight: float = 0.0  # added squared error of a third head to the teachers' features (Romero et al. 2015)


class TrainParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training; every field can be searched by `train.tune`."""

    network: str = "edge_cnn"
    network_options: dict[str, Any] = {}
    epochs: Count = 60
    batch_size: Count = 128
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    learning_rate: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = 1.0
    weight_decay: float = 5e-4  # decoupled, times the learning rate; not on biases and normalisation
    average_decay: Decay = 0.0  # weights averaged over epochs: new = decay * old + (1 - decay) * now; 0 is off
    step_average_decay: Decay = 0.0  # the same over steps, beside it; 0.998 remembers some 500 steps
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    seed: int = 2013
    processes: Count = 1  # each takes its share of every batch; PyTorch backend, one machine (`distributed`)
    threads: int = 0  # CPU threads of each process, for the PyTorch backend; 0 leaves the choice to it
    objective: Objective = Objective()
    augment: Augment = Augment()
    dataset: str = "data/dataset.npz"
    views: str = ""  # stored views with a teacher's answers, as `train.distill` writes them
    start_from: str = ""  # a run's folder, or a `.keras` file it wrote: its weights are the first; empty is random
    output: str = "build/train"
    experiment: str = "edgewise"
    tracking_uri: str = "sqlite:///mlflow.db"  # MLFLOW_TRACKING_URI, where set, goes before it

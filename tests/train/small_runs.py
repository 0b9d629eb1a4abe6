"""Trainings that take seconds: params for a tiny network on the pictures of shapes."""

from pathlib import Path

from tests.mlflow_store import new_store
from train.loop.settings import Augment, TrainParams

MILD = Augment(scale=0.1, shift=0.05, rotation=5, flip=0, erase=0.2, contrast=0.1, brightness=0.05, blur=0.2, noise=2)


def settings(folder: Path, **changes: object) -> TrainParams:
    """Params of three epochs that write under `folder`; `changes` go before them."""
    values: dict[str, object] = {
        "network": "edge_cnn",
        "network_options": {"stem": 4, "widths": [8, 8], "depths": [1, 1]},
        "epochs": 3,
        "batch_size": 30,
        "learning_rate": 0.1,
        "average_decay": 0.3,
        "step_average_decay": 0.5,
        "augment": MILD,
        "output": str(folder / "run"),
        "tracking_uri": new_store(folder),
    }
    return TrainParams(**{**values, **changes})  # type: ignore[arg-type]

"""The `evaluate` section of params.yaml: which model is scored on which dataset."""

import msgspec


class EvaluateParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `evaluate` section of params.yaml."""

    model: str = "build/train/model.keras"
    dataset: str = "data/dataset.npz"
    output: str = "build/evaluate"

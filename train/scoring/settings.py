"""The `evaluate` section of params.yaml: which model is scored on which dataset."""

import msgspec

from edge_contract.setting_types import Text


class EvaluateParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `evaluate` section of params.yaml."""

    model: Text = "build/train/model.keras"
    dataset: Text = "data/dataset.npz"
    output: Text = "build/evaluate"

"""Everything the gate measures of a model: the record that `measure` fills and `decision` judges."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

from convert.checks.comparison import Comparison
from convert.checks.field_faces import FieldFaces
from convert.checks.skew import Skew
from convert.checks.weights import WeightReport
from edge_contract.manifest import Budget, ImageInput, Reference
from train.scoring.scores import Interval


@dataclass(frozen=True, slots=True)
class Structure:
    """What the file holds, as the functions of `structure` find it."""

    foreign_operators: list[str]
    open_shapes: list[str]
    float_tensors: list[str]
    weights: int
    network_weights: int
    """Weights in kernels and matrices of the trained network."""
    input: tuple[str, tuple[int, ...]]
    """Type and shape of the file's input tensor."""
    expected_input: ImageInput
    """What the manifest promises."""
    data_input: ImageInput
    """What the data set's images are."""


@dataclass(frozen=True, slots=True)
class GoldenRun:
    """One runtime's answers to the goldens, in steps of the output; None where the runtime gave no answer."""

    runtime: str
    version: str
    failure: str
    """Why it gave none, such as its environment being absent; empty when it answered."""
    exact: int | None
    """Largest difference without delegates."""
    delegated: int | None
    """Largest difference with the default delegates."""


@dataclass(frozen=True, slots=True)
class Rival:
    """How much better the champion is on the same images."""

    model: str
    drop: Interval
    """Accuracy of the champion minus that of this model."""
    mcnemar: float
    digest: str = ""
    """Of the champion's model; empty in the record of a gate that did not say."""
    agreement: float | None = None
    """Share of the images on which both name the same label."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Measured here, on one thread; the device's own self-test measures again there."""

    latency: float
    """95th percentile of one invocation, seconds."""
    memory: int
    """Bytes that loading and running the model added to a process."""
    budget: Budget


@dataclass(frozen=True, slots=True)
class Measurements:
    """All that was measured of one model; None where it could not be."""

    digest: str
    recorded_digest: str
    """What `quantize` wrote."""
    manifest_digest: str
    size: int
    manifest_size: int
    unreadable: str
    labels: tuple[str, ...]
    dataset_labels: tuple[str, ...]
    synthetic: bool
    """Trained on rendered faces."""
    structure: Structure | None = None
    weights: WeightReport | None = None
    goldens: tuple[GoldenRun, ...] = ()
    run_failure: str = ""
    """Why the model gave no answers on the reference runtime."""
    majority: float = 0.0
    """Accuracy of always naming the most frequent label."""
    comparison: Comparison | None = None
    reference: Reference = dataclasses.field(default_factory=Reference)
    """The model's answers by label and confidence: what drift is measured against."""
    trained_accuracy: float | None = None
    """What training reported on its selection split."""
    skew: Skew | None = None
    files: Skew | None = None
    """The device's reading of picture files against training's."""
    skew_failure: str = ""
    cost: Cost | None = None
    rival: Rival | None = None
    rival_synthetic: bool | None = None
    field: FieldFaces | None = None
    """Labelled faces from devices; None where the data hold none."""


class Check(NamedTuple):
    """One check: what was found, and the reason to refuse the model (None when it passes)."""

    name: str
    value: float | str | bool | None
    reason: str | None = None

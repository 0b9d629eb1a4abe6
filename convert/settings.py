"""The sections `quantize`, `gate` and `package` of params.yaml."""

from typing import Annotated, Final, Literal

import msgspec

from edge_contract.manifest import WHOLE, Budget, FaceCrop
from edge_contract.setting_types import Count, Id, Prose, Seed, Share, Text, TextOrNone

SYNTHETIC: Final = "synthetic"
"""How name and data set of a model of drawn faces begin."""
DRAWN: Final = "drawn"
"""Its label set in params.yaml."""
DRAWN_CAVEAT: Final = "this project draws"
"""What its caveat in params.yaml says, and no other may."""


class QuantizeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the float network becomes int8."""

    method: Literal["ptq", "qat"] = "ptq"
    """Post-training quantization, or quantization-aware training in an environment of its own."""
    calibration_images: Count = 500
    """Training images, stratified, that set the activations' ranges."""
    report_images: Count = 64
    """Of these, how many the per-layer report is measured on."""
    seed: Seed = 1
    qat_epochs: Count = 1
    qat_learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1e-5
    """Adam's, falling to zero: over an epoch of FER2013 a weight can move by a step or two of its int8 grid, which is
    what this training is for. Ten times that, held, taught `edge_cnn` another function (docs/quantization.md)."""
    qat_batch: Count = 64


class GateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a model may lose and must hold; shares are 0..1."""

    split: Literal["selection", "test"] = "test"
    """The images on which float, int8 and champion are compared."""
    accuracy_drop: Share = 0.005
    """int8 against float on the same images; refused where the paired interval excludes zero, so that a test of two
    hundred drawn faces does not refuse for two of them."""
    recall_drop: Share = 0.03
    """The same for one class."""
    agreement: Share = 0.95
    """Share of images on which int8 and float must name the same label, within its interval."""
    mean_difference: Share = 0.02
    """Of a probability."""
    largest_difference: Share = 0.6
    """Of one probability on one image."""
    ece_rise: Share = 0.02
    """Calibration error of int8 above float's; refused where the interval of a bootstrap excludes zero."""
    training_gap: Share = 0.12
    """Accuracy that training reported on its selection split above what the exported file reaches, and above what its
    interval holds."""
    relabelling_gain: Share = 0.01
    """Accuracy that giving outputs other names would win, the sign of a shuffled label order; refused where the paired
    interval excludes zero."""
    largest_file: Count = 1_000_000
    """Bytes."""
    required_runtimes: tuple[Text, ...] = ("litert", "tflite-runtime")
    """Runtimes that must have been asked; a missing environment is a refusal."""
    skew_images: Count = 64
    skew_agreement: Share = 1.0
    skew_difference: Share = 0.001
    timed: Count = 200
    """Invocations timed against the latency budget."""
    champion: TextOrNone = ""
    """A package this model must not be worse than; empty when there is none yet."""
    field_least: Count = 30
    """Faces from devices that tell two models apart, of all devices or of one; fewer decide nothing."""
    field_p: Share = 0.05
    """The champion is better on them where the exact McNemar test is below."""
    field_renaming: Share = 0.1
    """Share of a device's faces that other names would win, at least: the sign of labels given wrongly."""


class PackageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The release's name and what its card and manifest say."""

    name: Id = "synthetic"
    release: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1
    folder: Text = "build/packages"
    dataset: Text = "synthetic faces"
    """The data set's name, as scores and card print it."""
    split: TextOrNone = ""
    """What people call the split of the scores, such as PublicTest; the gate's own name for it when empty."""
    label_set: TextOrNone = ""
    """Whose labels the scores count; the data set's own when empty."""
    intended_use: Prose = ""
    caveat: Prose = ""
    around: Literal["face", "frame"] = "face"
    """What the model judges on a device: each face a detector finds, or the central square of the whole picture."""
    margin: Annotated[float, msgspec.Meta(gt=0, le=4)] = 0.99
    """Side of the trained square over the longer side of a detector's face box (`python -m train.margin`)."""
    shift_y: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.011
    latency_ms: Annotated[float, msgspec.Meta(gt=0, le=60_000)] = 100.0
    """Budget of one invocation on a device, 95th percentile."""
    memory_mb: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 64
    trained_on: TextOrNone = ""
    """Hardware, backend and precision of the training."""

    @property
    def crop(self) -> FaceCrop:
        """Which square of a picture the model was trained on."""
        if self.around == "frame":
            return WHOLE
        return FaceCrop(margin=self.margin, shift_y=self.shift_y)

    @property
    def budget(self) -> Budget:
        """What the model may cost on a device."""
        return Budget(latency=self.latency_ms / 1000, memory=self.memory_mb * 2**20)


class RetrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How training goes on from the champion (`make retrain`)."""

    champion: TextOrNone = ""
    """The package that devices run; `gate.champion` when empty."""
    epochs: Count = 6
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 0.01
    """Of training from the champion's weights; from random ones `train` says both."""
    folder: Text = "build/retrain"
    """A folder a run."""

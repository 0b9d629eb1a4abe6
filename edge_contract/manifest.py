"""The model manifest: all that a device must know about a model besides its bytes.

Labels, input, crop and output quantization travel with the model, so no code knows them and train and device cannot
disagree. The manifest is JSON in the package and in the signed release; readers ignore fields they do not know and
refuse a format of another major version.
"""

import base64
import hashlib
import zlib
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, ValidationError, json

from edge_contract import limits
from edge_contract.errors import UsageError
from edge_contract.finite import no_number
from edge_contract.messages import Count, Id, Label, ModelRef, Seconds, Sha256, Share

FORMAT: Final = 1
"""The major version of the manifest; it changes only when an older reader would misread a newer manifest."""


class ImageInput(Struct, frozen=True, kw_only=True):
    """The tensor the model takes: [1, height, width, channels] of pixels 0..255; rescaling is in the graph."""

    height: Annotated[int, Meta(ge=8, le=1024)]
    width: Annotated[int, Meta(ge=8, le=1024)]
    color: Literal["gray", "rgb"]
    dtype: Literal["uint8"] = "uint8"
    resize: Literal["area", "bilinear"] = "area"
    """How a crop becomes the tensor: cv2.INTER_AREA when shrinking (bilinear when enlarging), or always bilinear."""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return 1 if self.color == "gray" else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Batch 1, height, width, channels."""
        return (1, self.height, self.width, self.channels)


class FaceCrop(Struct, frozen=True, kw_only=True):
    """Which square of the picture the model was trained on, relative to a detector's face box, or to the picture.

    A square is cut out and scaled to the input; nothing squeezes a picture of another ratio (docs/adr/0009).
    """

    around: Literal["face", "frame"] = "face"
    """Each face that is found, or the picture itself: then the box is its central square, and nothing is searched."""

    margin: Annotated[float, Meta(gt=0, le=4)] = 0.99
    """Side of the square over the longer side of the box."""
    shift_y: Annotated[float, Meta(ge=-1, le=1)] = 0.011
    """How far the square's centre lies below the box's centre, in sides of the square."""


WHOLE: Final = FaceCrop(around="frame", margin=1.0, shift_y=0.0)
"""The crop of a model that looks at whole pictures: their central square as it is."""


class Output(Struct, frozen=True, kw_only=True):
    """The answer tensor [1, labels]: probability = (value - zero_point) * scale, or the float itself."""

    dtype: Literal["uint8", "int8", "float32"]
    scale: float = 1.0
    zero_point: int = 0


class Score(Struct, frozen=True, kw_only=True):
    """Share of right answers with its 95 % interval, and on what it was measured."""

    dataset: str
    split: str
    label_set: str
    n: Count
    accuracy: Share
    low: Share
    high: Share


class Accuracy(Struct, frozen=True, kw_only=True):
    """The float network and the shipped int8 file, scored on the same images."""

    float: Score
    int8: Score


FACES_FOUND: Final = "faces_found"
"""Among the gate's checks: the share of the training pictures looked at in which a detector found a face."""

FEW_FACES: Final = 0.2
"""The share below which pictures show something else than faces. Measured with the Haar cascade, which finds a face in
68 % of FER2013's 48x48 crops and in 73 % of drawn ones; in 3 % of handwritten digits, in none of 100 crops of
photographs and in no noise."""


CHAMPION_AGREEMENT: Final = "agreement_with_champion"
"""Among the gate's checks: the share of the test pictures on which the model and the champion name the same label."""

CHAMPION_DIGEST: Final = "champion_digest"
"""Among the gate's checks: whose agreement that is."""


class GateResult(Struct, frozen=True, kw_only=True):
    """What the gate found; `reasons` is empty when it passed."""

    passed: bool
    reasons: tuple[str, ...] = ()
    checks: dict[str, float | str | bool | None] = {}

    def agreement_with(self, digest: str) -> float | None:
        """The share of the test pictures on which the model of this digest names the same label; None if unknown."""
        found = self.checks.get(CHAMPION_AGREEMENT)
        measured = self.checks.get(CHAMPION_DIGEST) == digest and isinstance(found, float | int)
        return min(1.0, max(0.0, float(found))) if measured and found is not None else None


class Golden(Struct, frozen=True, kw_only=True):
    """A synthetic input and the exact answer of the reference runtime without delegates."""

    input: str
    """base64 of zlib of the tensor's bytes, row-major."""
    output: tuple[float, ...]
    """The raw output tensor: whole numbers for quantized models."""

    @classmethod
    def of(cls, pixels: bytes, output: tuple[float, ...]) -> "Golden":
        """Pack the bytes of one input tensor and the raw answer to it."""
        return cls(input=base64.b64encode(zlib.compress(pixels, 9)).decode(), output=tuple(map(float, output)))

    def pixels(self, length: int) -> bytes:
        """The input tensor's `length` bytes.

        Raises:
            UsageError: the golden is not base64 of zlib of exactly that many bytes.
        """
        try:
            data = zlib.decompressobj().decompress(base64.b64decode(self.input, validate=True), length + 1)
        except (ValueError, zlib.error) as error:
            raise UsageError(
                f"a golden input cannot be unpacked ({error})", remedy="package the model again"
            ) from error
        if len(data) != length:
            raise UsageError(
                f"a golden input has not the {length} bytes of the model's input", remedy="package the model again"
            )
        return data


class Budget(Struct, frozen=True, kw_only=True):
    """What the model may cost on a device; the device's own self-test measures it."""

    latency: Seconds = 0.1
    """95th percentile of one invocation, seconds."""
    memory: Count = 64 * 1024 * 1024
    """What loading and running the model may add to a process, bytes."""


class Reference(Struct, frozen=True, kw_only=True):
    """How the model answers on its test split: what drift is measured against."""

    predictions: dict[Label, Share] = {}
    """Share of answers by label."""
    confidence: tuple[Share, ...] = ()
    """Share of answers by bucket of `messages.CONFIDENCE_BOUNDS`."""
    by_label: dict[Label, Annotated[tuple[Count, ...], Meta(max_length=64)]] = {}
    """Test pictures by label answered, then by bucket of confidence; a package made earlier has none."""
    right: dict[Label, Annotated[tuple[Count, ...], Meta(max_length=64)]] = {}
    """Of these, those whose label was right."""
    sure_above: Share | None = None
    """The confidence that as many pictures of the selection split reach as were answered rightly there: the share of
    answers above it estimates accuracy without labels (average thresholded confidence, arXiv 2201.04234)."""


class Lineage(Struct, frozen=True, kw_only=True):
    """Where the model came from; an empty string is something that was not known."""

    git_commit: str = ""
    dvc_lock: str = ""
    params: str = ""
    dataset: str = ""
    mlflow_run: str = ""
    mlflow_version: str = ""
    trained_on: str = ""


class ModelManifest(Struct, frozen=True, kw_only=True):
    """One model, described; see the module."""

    format: Literal[1] = FORMAT
    name: Id
    release: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    digest: Sha256
    size: Annotated[int, Meta(ge=1, le=limits.MODEL_BYTES)]
    labels: Annotated[tuple[Label, ...], Meta(min_length=2, max_length=limits.LABELS)]
    input: ImageInput
    crop: FaceCrop
    output: Output
    quantization: Literal["int8", "float32"]
    accuracy: Accuracy | None = None
    gate: GateResult | None = None
    goldens: Annotated[tuple[Golden, ...], Meta(max_length=limits.GOLDENS)] = ()
    budget: Budget = Budget()
    reference: Reference = Reference()
    lineage: Lineage = Lineage()
    intended_use: str = ""
    caveat: str = ""

    @property
    def ref(self) -> ModelRef:
        """How messages name this model."""
        return ModelRef(name=self.name, release=self.release, digest=self.digest)


def encode(manifest: ModelManifest) -> bytes:
    """Canonical JSON: sorted keys, indented for people, one newline at the end.

    Raises:
        UsageError: it holds an infinity or what is no number, which no reader would take.
    """
    data = json.encode(manifest, order="sorted")
    if place := no_number(data, manifest):
        name = f"{manifest.name} {manifest.release}"
        raise UsageError(f"{place} of the manifest of {name} is no finite number", remedy="measure the model again")
    return json.format(data, indent=1) + b"\n"


def decode(data: bytes) -> ModelManifest:
    """Read a manifest from JSON.

    Raises:
        UsageError: too large, not JSON, of another format, or a field is missing or wrong; the text names it.
    """
    if len(data) > limits.MANIFEST_BYTES:
        raise UsageError(f"a manifest of {len(data)} bytes passes the limit of {limits.MANIFEST_BYTES}.")
    try:
        manifest = json.decode(data, type=ModelManifest)
    except (ValidationError, ValueError, RecursionError) as error:
        raise UsageError(f"this is no model manifest of format {FORMAT}: {error}.") from error
    return _consistent(manifest)


def digest_of(data: bytes) -> str:
    """SHA-256 in hexadecimal: what a model *is*."""
    return hashlib.sha256(data).hexdigest()


def _consistent(manifest: ModelManifest) -> ModelManifest:
    """Hold the rules that span fields."""
    if len(set(manifest.labels)) != len(manifest.labels):
        raise UsageError(f"the manifest of {manifest.name} {manifest.release} names a label twice.")
    for golden in manifest.goldens:
        if len(golden.output) != len(manifest.labels):
            raise UsageError(f"a golden of {manifest.name} {manifest.release} has not one answer per label.")
    return manifest

"""The files that pass between quantize, gate and package, all in one folder (`build/convert`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.tflite.layers import Layer
from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import UsageError
from edge_contract.manifest import ModelManifest, decode
from train.data.dataset import read_archive

FOLDER: Final = Path("build/convert")
FLOAT: Final = "float.tflite"
INT8: Final = "int8.tflite"
CANDIDATE: Final = "candidate.json"
REFERENCE: Final = "reference.npz"
RECORD: Final = "quantize.json"
GATE: Final = "gate.json"
RESULT: Final = "result.json"
"""What a training leaves beside its network: whose network it is, what it scored, and its MLflow run."""


class ConversionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `quantize` did, for the gate, the package and people."""

    method: str
    network: str
    """Digest of the Keras file."""
    dataset: str
    """Digest of the data set's source."""
    network_weights: int
    """Weights in kernels and matrices."""
    float_digest: str
    float_size: int
    int8_digest: str
    int8_size: int
    macs: int
    calibration_images: int
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Converted:
    """A folder of what `quantize` wrote, read."""

    record: ConversionRecord
    candidate: ModelManifest
    float_model: bytes
    int8_model: bytes
    reference: dict[str, NDArray[np.float32]]
    """The trained network's own probabilities [N, labels] by split, computed in Keras."""


def read(folder: Path) -> Converted:
    """Read a conversion from its folder.

    Raises:
        UsageError: a file is missing or not what `quantize` writes.
    """
    try:
        record = msgspec.json.decode(read_file(folder / RECORD, limits.DOCUMENT_BYTES), type=ConversionRecord)
        kept = read_archive(folder / REFERENCE)
        reference = {name: array.astype(np.float32) for name, array in kept.items()}
        return Converted(
            record=record,
            candidate=decode(read_file(folder / CANDIDATE, limits.DOCUMENT_BYTES)),
            float_model=read_file(folder / FLOAT, limits.NETWORK_BYTES),
            int8_model=read_file(folder / INT8, limits.NETWORK_BYTES),
            reference=reference,
        )
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be read ({error.strerror})", remedy="run `make quantize` first"
        ) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError(
            f"{folder} does not hold a conversion ({error})", remedy="run `make quantize` again"
        ) from error

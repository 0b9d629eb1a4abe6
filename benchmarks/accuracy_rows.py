"""What stands in the accuracy table: the rows file, and what a model file costs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import msgspec
import yaml

from convert.tflite.flatbuffer import WEIGHTED, parse
from edge_contract import package
from edge_contract.errors import UsageError
from train.network import build
from train.params import section_from


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published figure for such a network; never mixed with what is measured here."""

    percent: float
    split: str
    source: str


class RowSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network of the table, as the rows file names it."""

    name: str
    network: str = ""
    network_options: dict[str, Any] = {}
    files: dict[str, str] = {}
    """Form -> model file; the form `float` is what the others are compared with."""
    package: str = ""
    """A PyPI package that answers in its own environment instead of a model file."""
    trained: str = ""
    published: Published | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one answer from one crop costs; `size` is the model file's, bytes."""

    parameters: int
    mmac: float
    size: int | None


def read_rows(path: Path) -> list[RowSpec]:
    """Read the rows file.

    Raises:
        UsageError: It is missing or not of this form; the text names row and key.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read as a rows file ({error}).") from error
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} has no list `rows`.")
    specs = [section_from(row, f"rows[{index}]", RowSpec) for index, row in enumerate(rows)]
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path} has two rows called `{name}`: predictions are stored by name.")
    return specs


def forms(spec: RowSpec) -> Iterator[tuple[str, Path]]:
    """The row's forms and their files, float first, because the others are compared with it."""
    yield from sorted(((form, Path(file)) for form, file in spec.files.items()), key=lambda item: item[0] != "float")


def cost_of_file(path: Path) -> Cost:
    """Parameters, multiply-accumulates and bytes of a model file; a package counts as the model inside."""
    if path.suffix == ".keras":
        network = keras.models.load_model(path, compile=False)
        macs = build.multiply_accumulates(network)
        return Cost(int(network.count_params()), macs / 1e6, path.stat().st_size)
    return cost_of_tflite(package.read_file(path).model if path.suffix == package.SUFFIX else path.read_bytes())


def cost_of_tflite(model: bytes) -> Cost:
    """The same for the bytes of a TFLite file, where biases and folded normalisation count as parameters."""
    graph = parse(model)
    weights = {index for operator in graph.operators if operator.name in WEIGHTED for index in operator.inputs[1:]}
    shapes = [graph.tensors[index].data for index in weights if index >= 0]
    return Cost(sum(data.size for data in shapes if data is not None), graph.macs / 1e6, len(model))


def cost_untrained(spec: RowSpec, shape: tuple[int, int, int], classes: int) -> Cost:
    """Cost of a network that was not trained here: its sizes are known, its file is not there."""
    network = build.build_deployed(build.network_config(spec.network, spec.network_options), shape, classes)
    return Cost(int(network.count_params()), build.multiply_accumulates(network) / 1e6, None)

"""The stage `quantize`: what it writes, the same bytes each time, and what it refuses without writing anything."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from convert import artifacts, quantize
from convert.checks import weights
from convert.tflite import flatbuffer
from edge_contract.errors import ExitCode
from edge_contract.manifest import Budget, FaceCrop
from tests.convert.conftest import SETTINGS
from tests.convert.shapes import Trained, network
from train.data.dataset import Dataset, save

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine


def run(path: Path, data: Dataset, folder: Path, **changes: Any) -> artifacts.Converted:
    settings = msgspec.structs.replace(SETTINGS, **changes)
    return quantize.quantize(path, data, folder, settings, crop=FaceCrop(), budget=Budget())


def test_the_int8_file_is_static_whole_numbers_and_takes_the_pixel_itself(converted: artifacts.Converted) -> None:
    graph = flatbuffer.parse(converted.int8_model)
    assert graph.input.shape == (1, 48, 48, 1)
    assert graph.input.dtype == graph.output.dtype == "UINT8"
    assert graph.input.quantization is not None
    assert float(graph.input.quantization.scale[0]) == 1.0
    assert {tensor.dtype for tensor in graph.tensors} <= {"UINT8", "INT8", "INT32"}
    assert not any(tensor.dynamic for tensor in graph.tensors)


def test_no_operator_is_left_of_the_rescaling(converted: artifacts.Converted) -> None:
    names = [operator.name for operator in flatbuffer.parse(converted.int8_model).operators]
    assert "MUL" not in names
    assert "ADD" not in names


def test_every_weight_is_the_rounded_float(converted: artifacts.Converted) -> None:
    report = weights.compare(flatbuffer.parse(converted.float_model), flatbuffer.parse(converted.int8_model))
    assert report.compared > 15_000
    assert report.missing == report.damaged == ()


def test_every_layer_is_reported_with_its_noise(converted_folder: Path, converted: artifacts.Converted) -> None:
    layers = {layer.name: layer for layer in converted.record.layers}
    assert {"conv0", "conv1", "conv2", "dense", "head"} <= set(layers)
    assert all(10 < layer.sqnr < 70 for layer in converted.record.layers)
    assert (converted_folder / "layers.png").read_bytes().startswith(b"\x89PNG")
    assert "conv1" in (converted_folder / "layers.md").read_text()


@pytest.mark.slow
def test_the_same_network_gives_the_same_files(trained: Trained, converted_folder: Path, tmp_path: Path) -> None:
    run(trained.path, trained.data, tmp_path)
    for name in (artifacts.FLOAT, artifacts.INT8, artifacts.CANDIDATE, artifacts.REFERENCE):
        assert (tmp_path / name).read_bytes() == (converted_folder / name).read_bytes(), name


def keras_file(folder: Path, build: Callable[[Any], Any]) -> Path:
    import keras  # noqa: PLC0415

    path = folder / "model.keras"
    build(keras).save(path)
    return path


def open_size(keras: Any) -> Any:
    pixels = keras.Input((None, None, 1), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Dense(7, activation="softmax")(x))


def without_int8_form(keras: Any) -> Any:
    pixels = keras.Input((48, 48, 1), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.ops.erfinv(keras.layers.Dense(7, activation="tanh")(x))
    return keras.Model(pixels, keras.layers.Softmax()(x))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        pytest.param(open_size, "fixed", id="a size left open"),
        pytest.param(lambda keras: network(keras, classes=5), "5 classes, the data set has 7", id="a label count"),
        pytest.param(lambda keras: network(keras, channels=3), r"\(48, 48, 3\)", id="other images"),
        pytest.param(without_int8_form, "cannot be converted: .*[Ee]rfinv", id="an unsupported operator"),
    ],
)
def test_a_network_that_does_not_fit_ends_with_two_and_one_sentence_and_nothing_written(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], build: Callable[[Any], Any], said: str
) -> None:
    assert_refused(tmp_path, capsys, said, network=keras_file(tmp_path, build), data=trained.data_path)


def assert_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], said: str, *, network: Path, data: Path, params: str = ""
) -> None:
    """The command says one sentence, ends with 2 and leaves nothing behind."""
    (folder / "params.yaml").write_text(f"quantize: {{report_images: 8, {params}}}\npackage: {{}}\n")
    code = quantize.main([
        *("--params", str(folder / "params.yaml"), "--network", str(network)),
        *("--data", str(data), "--out", str(folder / "out")),
    ])  # fmt: skip
    sentence = capsys.readouterr().err.strip()
    assert code == ExitCode.USAGE
    assert re.search(said, sentence), sentence
    assert "\n" not in sentence
    assert not (folder / "out").exists()


def test_a_file_that_is_no_network_is_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.keras").write_bytes(b"not a network")
    (tmp_path / "cut.keras").write_bytes(trained.path.read_bytes()[:5000])
    for name in ("model.keras", "cut.keras", "absent.keras"):
        assert_refused(tmp_path, capsys, name, network=tmp_path / name, data=trained.data_path)


def test_an_empty_calibration_set_is_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"network": trained.path, "data": trained.data_path}
    assert_refused(
        tmp_path,
        capsys,
        "calibration_images must be a whole number of at least 1",
        params="calibration_images: 0",
        **given,
    )
    assert_refused(tmp_path, capsys, "cannot show 7 classes", params="calibration_images: 3", **given)
    nothing_to_train_on = replace(trained.data, split=np.full_like(trained.data.split, 2))
    save(nothing_to_train_on, tmp_path / "dataset.npz")
    assert_refused(tmp_path, capsys, "empty", network=trained.path, data=tmp_path / "dataset.npz")


def test_a_data_set_that_is_none_is_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dataset.npz").write_bytes(b"not a data set")
    for name in ("dataset.npz", "absent.npz"):
        assert_refused(tmp_path, capsys, name, network=trained.path, data=tmp_path / name)


def test_an_unknown_parameter_is_refused_by_name(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "did you mean `calibration_images`"
    given = {"network": trained.path, "data": trained.data_path}
    assert_refused(tmp_path, capsys, said, params="calibration_image: 3", **given)

"""Quantization-aware training: what it cannot carry is refused first; what it makes goes through the same gate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from convert import artifacts, gate, quantize
from convert.settings import GateSettings
from convert.tflite import qat
from convert.tflite.plain_network import describe_network
from edge_contract.errors import UsageError
from edge_contract.manifest import Budget, FaceCrop
from tests.convert.conftest import SETTINGS
from tests.convert.shapes import Trained, network

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine

QAT = msgspec.structs.replace(SETTINGS, method="qat", qat_epochs=1)


def test_without_its_environment_it_names_the_command_that_makes_it(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make setup-qat"):
        qat.to_int8(trained.network, trained.data, QAT, python=tmp_path / "absent")


def without_rescaling(keras: Any) -> Any:
    return network(keras, rescaling=False)


def with_a_strange_layer(keras: Any) -> Any:
    pixels = keras.Input((48, 48, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.UnitNormalization(name="strange")(x)
    return keras.Model(pixels, keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(x)))


def around(keras: Any, convolution: dict[str, Any], after: Any = None) -> Any:
    pixels = keras.Input((48, 48, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(4, 3, name="first", padding="same")(x)
    x = keras.layers.Conv2D(4, 3, name="strange", padding="same", **convolution)(x)
    x = x if after is None else after(x)
    return keras.Model(pixels, keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(x)))


def dilated(keras: Any) -> Any:
    return around(keras, {"dilation_rate": 2})


def grouped(keras: Any) -> Any:
    return around(keras, {"groups": 2})


def leaky(keras: Any) -> Any:
    return around(keras, {}, keras.layers.ReLU(negative_slope=0.1, name="strange_relu"))


def twice(keras: Any) -> Any:
    shared = keras.layers.Conv2D(4, 3, padding="same", name="shared")
    return around(keras, {}, lambda x: shared(shared(x)))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (without_rescaling, "begins with a rescaling"),
        (with_a_strange_layer, r"strange \(UnitNormalization\)"),
        (dilated, r"strange \(Conv2D\) with dilation_rate"),
        (grouped, r"strange \(Conv2D\) with groups=2"),
        (leaky, r"strange_relu \(ReLU\) with negative_slope"),
        (twice, r"shared \(Conv2D\) used more than once"),
    ],
)
def test_a_network_that_it_cannot_carry_is_refused(
    trained: Trained, tmp_path: Path, build: Callable[[Any], Any], said: str
) -> None:
    import keras  # noqa: PLC0415

    present = tmp_path / "python"
    present.touch()
    with pytest.raises(UsageError, match=said):
        qat.to_int8(build(keras), trained.data, QAT, python=present)


def test_a_network_is_carried_layer_by_layer_with_logits_of_their_own(trained: Trained) -> None:
    import keras  # noqa: PLC0415

    plain, weights = describe_network(network(keras, rescaling=False), 0)
    assert [layer.kind for layer in plain.layers] == [
        *["Conv2D"] * 3,
        "MaxPooling2D",
        "Flatten",
        "Dense",
        "Dense",
        "Activation",
    ]
    assert plain.layers[-2].settings["activation"] == "linear"
    assert plain.output == "head_softmax"
    assert weights["conv1/0"].shape == (3, 3, 8, 16)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_its_model_passes_the_gate_on_every_runtime(trained: Trained, tmp_path: Path) -> None:
    if not qat.PYTHON.is_file():
        pytest.skip("the environment .venv-qat is absent (make setup-qat)")
    made = quantize.quantize(trained.path, trained.data, tmp_path, QAT, crop=FaceCrop(), budget=Budget())
    assert made.record.method == "qat"
    assert {layer.operator for layer in made.record.layers} >= {"CONV_2D", "FULLY_CONNECTED"}
    settings = GateSettings(required_runtimes=("litert",), timed=20)
    assert gate.judge(artifacts.read(tmp_path), trained.data, settings, synthetic=False).result.reasons == ()

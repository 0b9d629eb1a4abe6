"""A copy of a network behind another input is the same network: no layer loses what it learned or was given."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convert import quantize
from convert.tflite.conversion import first_changed_layer, prepared
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import Budget, FaceCrop
from tests.convert.conftest import SETTINGS
from tests.convert.shapes import dataset, shapes

pytestmark = [pytest.mark.xdist_group("tensorflow"), pytest.mark.timeout(400)]  # seconds; TensorFlow on a busy machine

PICTURES, _ = shapes(8, seed=1)


def adapted(keras: Any) -> Any:
    layer = keras.layers.Normalization(name="normal")
    layer.adapt(PICTURES.astype(np.float32))
    return layer


def given(keras: Any) -> Any:
    return keras.layers.Normalization(mean=90.0, variance=40.0**2, name="normal")


def nested(keras: Any) -> Any:
    inner = keras.Input((48, 48, 1))
    return keras.Model(inner, keras.layers.Conv2D(1, 1)(adapted(keras)(inner)), name="inside")


def moved(keras: Any) -> Any:
    layer = keras.layers.BatchNormalization(name="batch")
    layer.build((None, 48, 48, 1))
    layer.set_weights([np.full(1, value) for value in (2.0, 1.0, 100.0, 50.0)])
    return layer


def around(keras: Any, first: Any) -> Any:
    keras.utils.set_random_seed(2)
    pixels = keras.Input((48, 48, 1), dtype="uint8", name="pixels")
    x = first(keras.ops.cast(pixels, "float32"))
    x = keras.layers.Conv2D(4, 5, strides=4, activation="relu")(x)
    return keras.Model(pixels, keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("first", [adapted, given, nested, moved])
def test_a_copy_answers_as_the_network_does(first: Callable[[Any], Any]) -> None:
    import keras  # noqa: PLC0415

    network = around(keras, first(keras))
    copy = prepared(network, None, "uint8")
    answers = np.concatenate([np.asarray(copy(picture[np.newaxis])) for picture in PICTURES])
    assert np.allclose(answers, np.asarray(network(PICTURES)), atol=1e-5)
    for mine, other in zip(network.get_weights(), copy.get_weights(), strict=True):
        assert np.array_equal(mine, other)
    assert first_changed_layer(network, PICTURES) == ""


def test_a_layer_that_loses_what_no_weight_holds_is_refused_by_name(tmp_path: Any) -> None:
    import keras  # noqa: PLC0415

    @keras.saving.register_keras_serializable("edgewise-tests")
    class Forgetful(keras.layers.Layer):  # type: ignore[misc, name-defined]
        shift = 0.0

        def build(self, _shape: Any) -> None:
            self.note = self.add_weight(shape=(1,), name="note", trainable=False)

        def call(self, x: Any) -> Any:
            return x * (1.0 + self.shift)

        def load_own_variables(self, store: Any) -> None:
            super().load_own_variables(store)
            # As a layer does that counts how often it was read: a copy of a copy is another one.
            self.shift = 0.5 * float(np.asarray(self.note)[0])
            self.note.assign(np.zeros(1))

    layer = Forgetful(name="forgetful")
    network = around(keras, layer)
    layer.note.assign(np.ones(1))
    network.save(tmp_path / "model.keras")
    with pytest.raises(EdgewiseError, match=r"forgetful \(Forgetful\)"):
        quantize.quantize(tmp_path / "model.keras", dataset(), tmp_path, SETTINGS, crop=FaceCrop(), budget=Budget())
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]

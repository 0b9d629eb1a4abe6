"""Every kind of model file answers alike, and one that does not fit is refused by name."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge_contract.errors import TrustError, UsageError
from tests.conftest import REPOSITORY
from tests.train.pictures_of_shapes import shapes
from train.network import build
from train.scoring.predict import probabilities_of


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network with the shapes' size: its answers are poor, and all the same to count."""
    keras.utils.set_random_seed(1)
    config = build.network_config("edge_cnn", {"stem": 4, "widths": [4], "depths": [1]})
    path = tmp_path_factory.mktemp("model") / "model.keras"
    build.build_deployed(config, (16, 16, 1), 3).save(path)
    return path


def test_a_tflite_answers_as_the_keras_it_was_made_from(model: Path, tmp_path: Path) -> None:
    network = keras.models.load_model(model)
    pixels = keras.Input(batch_shape=(1, 16, 16, 1), dtype="uint8")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, network(pixels)))
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    images = shapes().images[:6]
    np.testing.assert_allclose(probabilities_of(path, images, 3), probabilities_of(model, images, 3), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.keras", None, "does not exist"),
        ("model.h5", b"x", "ends in `.h5`"),
        ("model.keras", b"x", "is not a Keras model"),
        ("model.tflite", b"x" * 64, "is not a model that LiteRT can load"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"{name}.*{sentence}"):
        probabilities_of(path, shapes().images, 3)


def test_a_model_for_other_pictures_or_classes_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match=r"takes pictures of \[16, 16, 1\], the dataset holds \[8, 8, 1\]"):
        probabilities_of(model, shapes(side=8).images, 3)
    with pytest.raises(UsageError, match="answers 3 classes, the dataset has 7"):
        probabilities_of(model, shapes().images, 7)


def test_a_package_whose_model_never_comes_back_is_refused_before_it_runs_here() -> None:
    with pytest.raises(TrustError, match=r"vast-1\.ewm"):
        probabilities_of(REPOSITORY / "tests/fixtures" / "vast-1.ewm", np.zeros((1, 16, 16, 1), np.uint8), 2)

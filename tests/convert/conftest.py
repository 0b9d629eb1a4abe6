"""One tiny network, really trained and really converted, shared by every test of a session.

Seven classes of drawn shapes stand in for faces: learnable in seconds, and wrong answers mean something.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convert import artifacts, quantize
from convert.settings import QuantizeSettings
from edge_contract.manifest import Budget, FaceCrop
from train.dataset import Dataset, save

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SETTINGS = QuantizeSettings(calibration_images=100, report_images=8)


@dataclass(frozen=True, slots=True)
class Trained:
    """A network on disk, in memory, and what it was trained on."""

    path: Path
    network: Any
    data: Dataset
    data_path: Path


def shapes(count: int, seed: int, classes: int = 7) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey 48x48 pictures [N,48,48,1] of stripes at `classes` angles, noisy, with labels [N]."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count).astype(np.uint8)
    y, x = np.mgrid[0:48, 0:48]
    angle = labels[:, None, None] * np.pi / classes + generator.normal(0, 0.1, (count, 1, 1))
    phase = generator.uniform(0, 2 * np.pi, (count, 1, 1))
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 0.6 + phase)
    light = generator.uniform(60, 190, (count, 1, 1)) + generator.uniform(15, 60, (count, 1, 1)) * wave
    noisy = light + generator.normal(0, 25, (count, 48, 48))
    return np.clip(noisy, 0, 255).astype(np.uint8)[..., None], labels


def dataset(labels: tuple[str, ...] = LABELS, *, train: int = 1200, selection: int = 100, test: int = 500) -> Dataset:
    """A data set of shapes under these names, in this order."""
    images, numbers = shapes(train + selection + test, seed=3, classes=len(labels))
    split = np.repeat(np.array([0, 1, 2], np.uint8), [train, selection, test])
    nothing = np.zeros((len(images), 0), np.uint8)
    return Dataset(images, numbers, split, labels, nothing, (), "shapes-3")


def network(keras: Any, *, rescaling: bool = True, channels: int = 1, classes: int = 7) -> Any:
    """Three small convolutions and a dense layer large enough that its int8 form differs between runtimes."""
    pixels = keras.Input((48, 48, channels), dtype="uint8" if rescaling else "float32", name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(pixels) if rescaling else pixels
    for number, filters in enumerate((8, 16, 32)):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu", name=f"conv{number}")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(32, activation="relu", name="dense")(x)
    return keras.Model(pixels, keras.layers.Dense(classes, activation="softmax", name="head")(x), name="network")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A network that knows its shapes."""
    import keras  # noqa: PLC0415 - seconds, for tests that convert only

    keras.utils.set_random_seed(5)
    folder = tmp_path_factory.mktemp("trained")
    data = dataset()
    model = network(keras)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    rows = data.split_indices("train")
    model.fit(data.images[rows], data.labels[rows], batch_size=64, epochs=8, verbose=0)
    model.save(folder / "model.keras")
    save(data, folder / "dataset.npz")
    return Trained(folder / "model.keras", model, data, folder / "dataset.npz")


@pytest.fixture(scope="session")
def _converted(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    quantize.quantize(trained.path, trained.data, folder, SETTINGS, crop=FaceCrop(), budget=Budget())
    return folder


@pytest.fixture
def converted_folder(_converted: Path, tmp_path: Path) -> Path:
    """A conversion of the trained network in a folder that this test may damage."""
    return Path(shutil.copytree(_converted, tmp_path / "convert"))


@pytest.fixture
def converted(_converted: Path) -> artifacts.Converted:
    """A sound conversion, read."""
    return artifacts.read(_converted)


Fault = Callable[[artifacts.Converted], artifacts.Converted]

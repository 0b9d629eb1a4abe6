"""A tiny task that a network learns in seconds, so that wrong answers mean something: dark and bright stripes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data.dataset import Dataset

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@dataclass(frozen=True, slots=True)
class Trained:
    """A network on disk, in memory, and what it was trained on."""

    path: Path
    network: Any
    data: Dataset
    data_path: Path


def shapes(count: int, seed: int, classes: int = 7) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey 48x48 pictures [N,48,48,1] of noisy stripes with labels [N]: four angles, dark or bright.

    Brightness matters, so that a network fed pixels of another scale answers wrongly.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count).astype(np.uint8)
    y, x = np.mgrid[0:48, 0:48]
    angle = (labels[:, None, None] % 4) * np.pi / 4 + generator.normal(0, 0.1, (count, 1, 1))
    phase = generator.uniform(0, 2 * np.pi, (count, 1, 1))
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 0.6 + phase)
    bright = np.where(labels[:, None, None] < 4, 85, 165) + generator.uniform(-15, 15, (count, 1, 1))
    light = bright + generator.uniform(15, 60, (count, 1, 1)) * wave
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

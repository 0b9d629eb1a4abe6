"""One tiny network, really trained and really converted, shared by every test of a session."""

import shutil
from pathlib import Path

import pytest

from convert import artifacts, quantize
from convert.settings import QuantizeSettings
from edge_contract.manifest import Budget, FaceCrop
from tests.convert.shapes import Trained, dataset, network
from train.data.dataset import save

SETTINGS = QuantizeSettings(calibration_images=100, report_images=8)


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

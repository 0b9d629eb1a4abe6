"""Averaged runs: the mean of their weights, and nothing where they are not one network."""

from pathlib import Path

import keras
import numpy as np
import pytest

from edge_contract.errors import UsageError
from tests.train.pictures_of_shapes import shapes
from train import soup
from train.data.dataset import save

pytestmark = pytest.mark.xdist_group("training")  # one worker trains what several tests read


def network(value: float, units: int = 2) -> keras.Model:
    built = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, name="head")])
    built.set_weights([np.full_like(weight, value) for weight in built.get_weights()])
    return built


def test_weights_are_averaged_as_their_shares_say() -> None:
    mean = soup.average([network(1.0), network(4.0)], [2, 1])
    for weight in mean.get_weights():
        np.testing.assert_allclose(weight, 2.0)


@pytest.mark.parametrize("shares", [[1.0], [1.0, 0.0], [], [1.0, float("nan")], [1.0, float("inf")]])
def test_shares_that_are_not_one_for_each_run_are_refused(shares: list[float]) -> None:
    with pytest.raises(UsageError, match=r"--shares are .* for 2 runs"):
        soup.average([network(1.0), network(4.0)], shares)


def test_networks_of_different_forms_are_refused() -> None:
    with pytest.raises(UsageError, match="different forms"):
        soup.average([network(1.0), network(4.0, units=5)], [1, 1])


def test_the_command_writes_a_run_that_knows_what_its_parts_know(
    shapes_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, output = shapes_run, tmp_path / "soup"
    save(shapes(), tmp_path / "dataset.npz")
    arguments = ["--runs", str(run), str(run), "--dataset", str(tmp_path / "dataset.npz"), "--output", str(output)]
    assert soup.main(arguments) == 0
    said = capsys.readouterr().out
    assert said.count("selection accuracy") == 4  # each run, their mean, and with its last layer fitted
    both = [keras.models.load_model(folder / "model.keras") for folder in (run, output)]
    for layer in both[0].layers[:-1]:
        for weight, averaged in zip(layer.get_weights(), both[1].get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_allclose(weight, averaged, atol=1e-6)
    assert (output / "params.json").exists()


def test_a_folder_without_a_finished_run_is_named(
    tmp_path: Path, shapes_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(shapes(), tmp_path / "dataset.npz")
    arguments = ["--runs", str(shapes_run), str(tmp_path), "--dataset", str(tmp_path / "dataset.npz")]
    assert soup.main([*arguments, "--output", str(tmp_path / "soup")]) == 2
    assert f"{tmp_path} holds no finished training" in capsys.readouterr().err
    assert not (tmp_path / "soup").exists()

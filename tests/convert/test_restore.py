"""A shipped package as a network again: the same answers, and nothing for another network."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest

from convert.restore import main, restore
from edge_contract import package
from edge_contract.errors import UsageError
from train.loop.settings import TrainParams

SHIPPED = package.read_file(Path("models/emotion-5.ewm"))


def test_the_restored_network_answers_as_the_package_does() -> None:
    manifest = SHIPPED.manifest
    network = restore(SHIPPED, TrainParams())
    shape = manifest.input.shape[1:]
    pictures = [np.frombuffer(golden.pixels(math.prod(shape)), np.uint8).reshape(shape) for golden in manifest.goldens]
    answers = keras.ops.convert_to_numpy(network(np.stack(pictures)))
    stored = np.array([golden.output for golden in manifest.goldens])
    expected = (stored - manifest.output.zero_point) * manifest.output.scale
    # Eight bits round what passes between the layers, here nothing does; the weights are the same.
    assert np.abs(answers - expected).mean() < 0.01
    second, first = np.sort(expected, axis=1)[:, -2:].T
    clear = first - second > 0.1  # goldens are no faces: on some two labels are as good as equal
    assert clear.sum() >= 5
    np.testing.assert_array_equal(answers.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])


def test_another_network_is_refused_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"emotion-5\.ewm holds another network than edge_cnn"):
        restore(SHIPPED, TrainParams(network_options={"stem": 8}))
    arguments = ["--package", "models/emotion-1.ewm", "--output", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "name the network it was trained as" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "options"), [("emotion-1", ["--network", "baseline_cnn"]), ("emotion-5", [])])
def test_the_folder_is_a_teacher_and_a_start(name: str, options: list[str], tmp_path: Path) -> None:
    assert main(["--package", f"models/{name}.ewm", "--output", str(tmp_path / "run"), *options]) == 0
    from train.distill import load_teacher  # noqa: PLC0415 - needs the folder's network code only here

    teacher = load_teacher(tmp_path / "run", SHIPPED.manifest.labels)
    answers = keras.ops.convert_to_numpy(teacher(np.zeros((1, 48, 48, 1), np.float32)))
    assert answers.sum() == pytest.approx(1, abs=1e-3)

"""Optimizers of our own: how far a step moves which weights."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from train.loop.optimizer import make_optimizer
from train.loop.settings import TrainParams

RATE = 0.1


def change(shape: tuple[int, ...], gradient: NDArray[np.float64], name: str = "kernel") -> NDArray[np.float64]:
    """What one step of Muon takes off a variable."""
    variable = keras.Variable(np.zeros(shape), name=name)
    params = TrainParams(optimizer="muon", schedule="constant", learning_rate=RATE, weight_decay=0.0)
    optimizer = make_optimizer(params, 10)
    optimizer.build([variable])
    optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [variable])
    return -np.array(keras.ops.convert_to_numpy(variable), np.float64)


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (3, 3, 2, 32), (1, 1, 16, 6)], ids=["tall", "wide", "1x1"])
def test_a_kernel_moves_by_much_the_same_in_all_directions(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    u, _, v = np.linalg.svd(rng.normal(size=(rows, columns)), full_matrices=False)
    slopes = np.geomspace(1.0, 0.03, len(v))

    moved = change(shape, (u * slopes @ v).reshape(shape)).reshape(rows, columns)

    lengths = np.diag(u.T @ moved @ v.T)  # along each direction of the gradient
    assert slopes.max() / slopes.min() > 30
    assert lengths.min() > 0
    assert lengths.max() / lengths.min() < 2
    # As far as AdamW would on average (0.2 of the rate for each weight), so that the rates mean the same.
    assert np.linalg.norm(moved) == pytest.approx(0.2 * RATE * np.sqrt(len(v) * max(rows, columns)), rel=0.3)


@pytest.mark.parametrize(
    ("shape", "name"),
    [((3, 3, 1, 8), "stem"), ((3, 3, 8, 1), "depthwise"), ((8,), "bias"), ((8, 7), "head")],
    ids=["stem", "depthwise", "bias", "head"],
)  # fmt: skip
def test_what_is_no_matrix_of_features_follows_adamw(shape: tuple[int, ...], name: str) -> None:
    gradient = np.random.default_rng(4).normal(size=shape)
    np.testing.assert_allclose(change(shape, gradient, name), RATE * np.sign(gradient), rtol=1e-2)

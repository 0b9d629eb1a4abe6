"""Principal components of several teachers' features."""

import numpy as np
import pytest

from train.loop.pca import principal_components


def test_components_weigh_a_loud_teacher_and_a_quiet_one_alike() -> None:
    rng = np.random.default_rng(0)
    quiet, loud = rng.normal(size=(500, 3)), 1000 * rng.normal(size=(500, 3))
    both = principal_components([quiet, loud], 6)
    projected = both.project(np.concatenate([quiet, loud], axis=1)).astype(np.float64)
    assert projected.var(axis=0).mean() == pytest.approx(1, abs=0.01)
    # Every direction is kept, so the quiet teacher's numbers can be had back from the components.
    back, *_ = np.linalg.lstsq(np.column_stack([projected, np.ones(500)]), quiet, rcond=None)
    assert np.abs(np.column_stack([projected, np.ones(500)]) @ back - quiet).max() < 0.05

"""A checkpoint is another training's, this one's, or broken: each is told apart, and none is lost."""

from pathlib import Path

import numpy as np
import pytest

from edge_contract.errors import UsageError
from train.loop import checkpoint


def test_a_checkpoint_of_another_training_can_be_set_aside_and_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    assert checkpoint.set_aside(path, "ours") is None
    theirs = checkpoint.Checkpoint(2, "theirs", [], [np.ones(3, np.float32)], [])
    checkpoint.save(path, theirs)
    assert checkpoint.set_aside(path, "theirs") is None
    kept = checkpoint.set_aside(path, "ours")
    assert kept is not None
    assert not path.exists()
    found = checkpoint.load(kept, "theirs")
    assert found is not None
    np.testing.assert_array_equal(found.variables[0], theirs.variables[0])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"not an archive"])
def test_a_broken_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read as a checkpoint"):
        checkpoint.load(path, "x")

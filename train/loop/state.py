"""The live variables of a training, their average over epochs, and their way to and from the checkpoint."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_contract.errors import UsageError
from train.loop import checkpoint
from train.loop.learner import Learner


class TrainingState:
    """What must survive a kill: weights, optimizer, averaged weights and history.

    Random streams need no place here: they follow from seed and epoch.
    """

    def __init__(
        self, learner: Learner, *, seed: int, average_decay: float, fingerprint: str, path: Path, rank: int = 0
    ) -> None:
        self.learner, self.seed, self.average_decay = learner, seed, average_decay
        self.rank = rank  # of this process in its team: each has random streams of its own
        self.fingerprint, self.path = fingerprint, path
        self.history: list[dict[str, float]] = []
        self.weights = learner.network.weights
        self.averaged: list[NDArray[Any]] = []

    def restore(self) -> int:
        """Take up the checkpoint; the number of epochs it has behind it, 0 without one.

        Raises:
            UsageError: It belongs to another training.
        """
        found = checkpoint.load(self.path, self.fingerprint)
        if found is None:
            return 0
        for variable, value in zip(self._variables(), found.variables, strict=True):
            variable.assign(value)
        self.averaged, self.history = found.averaged, found.history
        return found.epoch

    def start_from(self, run: Path) -> None:
        """Take over another run's averaged weights; the heads start anew where their sizes differ.

        Raises:
            UsageError: There is no checkpoint, or it is of another network.
        """
        values = checkpoint.load_averaged(run / "checkpoint.npz")
        for variable, value in zip(self.weights, values, strict=False):
            if tuple(variable.shape) == value.shape:
                variable.assign(value)
            elif "head" not in variable.path:
                raise UsageError(
                    f"{run} has {list(value.shape)} where this network has {list(variable.shape)} ({variable.path})",
                    remedy="name in train.start_from a run of the same network",
                )

    def save(self, epoch: int) -> None:
        """Write the checkpoint of `epoch` finished epochs."""
        values = [_copied(variable) for variable in self._variables()]
        checkpoint.save(self.path, checkpoint.Checkpoint(epoch, self.fingerprint, self.history, values, self.averaged))

    def reseed(self, epoch: int) -> None:
        """Give dropout and noise the random stream of this epoch, whatever ran before in this process."""
        seeds = [v for v in self.learner.variables if v.path.endswith("seed_generator_state")]
        for index, variable in enumerate(seeds):
            stream = np.random.default_rng([self.seed, epoch, index, self.rank])
            variable.assign(stream.integers(0, 2**31, variable.shape).astype(variable.dtype))

    def average(self) -> None:
        """Take this epoch's weights and normalisation statistics into the average.

        Its memory is never longer than the epochs so far: first weights are random, and a fixed decay would take a
        dozen epochs to forget them.
        """
        now = self._averaged_over_steps()
        epochs = len(self.history)
        keep = min(self.average_decay, epochs / (epochs + 1)) if epochs > 1 else 0.0
        if self.averaged and keep:
            now = [
                (keep * old + (1 - keep) * new).astype(new.dtype) for old, new in zip(self.averaged, now, strict=True)
            ]
        self.averaged = now

    def use_averaged(self) -> list[NDArray[Any]]:
        """Put the averaged weights into the network; returns those that were there, for `put`."""
        live = [_copied(variable) for variable in self.weights]
        self.put(self.averaged or live)
        return live

    def put(self, values: list[NDArray[Any]]) -> None:
        """Assign the network's weights, in the order of `weights`."""
        for variable, value in zip(self.weights, values, strict=True):
            variable.assign(value)

    def _averaged_over_steps(self) -> list[NDArray[Any]]:
        """The weights as the optimizer has averaged them, where it does; the live ones otherwise."""
        live = [_copied(variable) for variable in self.weights]
        if not self.learner.optimizer.use_ema:
            return live
        self.learner.optimizer.finalize_variable_values(self.learner.trainable_variables)
        now = [_copied(variable) for variable in self.weights]
        self.put(live)
        return now

    def _variables(self) -> list[Any]:
        return [*self.weights, *self.learner.optimizer.variables]


def _copied(variable: Any) -> NDArray[Any]:
    # Without a copy, PyTorch's array is the variable's own memory and changes with the next step.
    return np.array(keras.ops.convert_to_numpy(variable))

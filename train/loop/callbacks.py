"""What happens between steps and epochs: watch the loss, score the selection split, save, and stop."""

import math
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.loop.batches import Batches
from train.loop.errors import DivergedError, StoppedError
from train.loop.state import TrainingState
from train.progress import Progress
from train.scoring import scores

LOSS_CHECK_STEPS = 10  # reading the loss waits for asynchronous backends


class Watch(keras.callbacks.Callback):  # type: ignore[misc, name-defined, unused-ignore]
    """Keras calls this after every step and epoch of `Learner.fit`."""

    def __init__(
        self,
        state: TrainingState,
        batches: Batches,
        selection: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        progress: Progress,
        *,
        each_epoch: tuple[Callable[[dict[str, float]], None], ...] = (),
        seconds: float,
    ) -> None:
        super().__init__()
        self.state, self.batches, self.selection, self.progress = state, batches, selection, progress
        self.each_epoch = each_epoch
        self.deadline = time.monotonic() + seconds
        self.epoch, self.started, self.terminated = 0, 0.0, False
        self.previous_handler: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras' signature
        """Take over SIGTERM where this thread may."""

        def terminate(_signal: int, _frame: FrameType | None) -> None:
            self.terminated = True

        try:
            self.previous_handler = signal.signal(signal.SIGTERM, terminate)
        except ValueError:  # not the main thread, which alone may handle signals
            self.previous_handler = None

    def restore_handler(self) -> None:
        """Give SIGTERM back; Keras does not call `on_train_end` after an exception, so the caller does."""
        if self.previous_handler is not None:
            signal.signal(signal.SIGTERM, self.previous_handler)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002 - as above
        """Start the clock and the epoch's random stream."""
        self.epoch, self.started = epoch, time.monotonic()
        self.state.reseed(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar; stop on SIGTERM or a loss that is no number."""
        self.progress.step(self.epoch, (batch + 1) * self.batches.batch_size)
        if batch % LOSS_CHECK_STEPS == 0 and logs:
            self._refuse_nan(float(logs["loss"]))
        if self.terminated:
            raise StoppedError(
                f"stopped in epoch {self.epoch + 1}",
                remedy=f"run the same command again, which goes on from epoch {self.epoch}",
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Score the averaged weights on the selection split, then checkpoint."""
        seconds = time.monotonic() - self.started
        loss = float((logs or {})["loss"])
        self._refuse_nan(loss)
        self.state.average()
        live = self.state.use_averaged()
        with self.batches.team.leader_alone():
            probabilities = predict(self.state.learner.network, self.selection[0])
        self.state.put(live)
        row = {
            "epoch": epoch + 1,
            "loss": loss,
            "learning_rate": self._rate(),
            "selection_accuracy": scores.score(self.selection[1], probabilities).accuracy.value,
            "selection_loss": scores.log_loss(self.selection[1], probabilities),
            "seconds": seconds,
            "images_per_second": len(self.batches) * self.batches.batch_size / seconds,
        }
        self.state.history.append(row)
        self.state.save(epoch + 1)
        self.progress.epoch(row)
        for notify in self.each_epoch:
            notify(row)
        if time.monotonic() >= self.deadline:
            self.model.stop_training = True

    def _rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.state.learner.optimizer.learning_rate))

    def _refuse_nan(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss} in epoch {self.epoch + 1} at learning rate {self._rate():.3g}",
                remedy="lower train.learning_rate, or lengthen train.warmup_epochs",
            )


def predict(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities [N,classes] of a network in training form."""
    logits = network.predict(images, batch_size=256, verbose=0)["labels"]
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.softmax(logits)), np.float32)

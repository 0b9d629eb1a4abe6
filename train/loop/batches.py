"""Batches from a dataset in memory; which rows, in which order, changed how, is fixed by (seed, epoch, step)."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.loop import augment
from train.loop.distributed import Team
from train.loop.settings import Augment
from train.loop.soft_labels import Views


class Batches(keras.utils.PyDataset):  # type: ignore[misc, name-defined, unused-ignore]
    """One epoch after another of shuffled batches of one size; the last few rows of a shuffle wait for the next.

    `images` is uint8 [V,N,H,W,C]: V prepared views of the same N pictures (mostly one), taken in turn by epoch; a
    target is [N,K], or [V,N,K] where each view has its own. With stored `views`, which are these images and may be
    blends, a target [N,K] is blended as its pictures are. A process of a team gets its rows of each batch, changed as
    one process alone would change them.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        targets: dict[str, NDArray[np.floating]],
        *,
        batch_size: int,
        strength: Augment,
        seed: int,
        epoch: int = 0,
        views: Views | None = None,
        team: Team = Team(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.images, self.targets = images, targets
        self.batch_size = min(batch_size, images.shape[1])
        self.strength, self.seed, self.epoch = strength, seed, epoch
        self.views, self.team = views, team
        self._order_epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Batches an epoch."""
        return int(self.images.shape[1] // self.batch_size)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Batch `index` of the present epoch: (inputs, targets) as `Learner` takes them."""
        rows = self._shuffled()[index * self.batch_size : (index + 1) * self.batch_size]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        view = self.epoch % len(self.images)
        changes = self.team.share(augment.draw(self.strength, len(rows), rng))
        rows = self.team.share(rows)
        inputs = {"image": self.images[view, rows], "changes": changes}
        return inputs, {
            name: self._target(target, view, rows).astype(np.float32) for name, target in self.targets.items()
        }

    def _target(self, target: NDArray[np.floating], view: int, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        if target.ndim == 3:
            return target[view, rows]
        if self.views is None:
            return target[rows]
        share = self.views.shares[view, rows, None]
        return share * target[rows] + (1 - share) * target[self.views.partners[view, rows]]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order, views and changes; Keras calls it."""
        self.epoch += 1

    def _shuffled(self) -> NDArray[np.int64]:
        if self._order_epoch != self.epoch:
            self._order = np.random.default_rng([self.seed, self.epoch]).permutation(self.images.shape[1])
            self._order_epoch = self.epoch
        return self._order

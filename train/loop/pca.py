"""The last features of several teachers as a few numbers: their principal components."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Components:
    """`project` gives [N,K] of features [N,F]; the K columns' mean variance is 1 on the features they were found in."""

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]  # [F,K]

    def project(self, features: NDArray[np.floating]) -> NDArray[np.float16]:
        """Coordinates [N,K] of features [N,F] along the components."""
        return ((features.astype(np.float32) - self.mean) @ self.basis).astype(np.float16)


def principal_components(parts: list[NDArray[np.floating]], count: int) -> Components:
    """The `count` directions in which features vary most; `parts` [N,F_i] are of one teacher each and weigh alike."""
    features = np.concatenate(parts, axis=1).astype(np.float64)
    # Networks differ in the scale of their features, which is no measure of how good they are.
    spread = np.concatenate(
        [np.full(part.shape[1], np.sqrt(part.astype(np.float64).var(axis=0).sum())) for part in parts]
    )
    scale = 1 / np.maximum(spread, 1e-12)
    mean = features.mean(axis=0)
    centred = (features - mean) * scale
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    basis = directions[:, ::-1][:, :count] * scale[:, None]
    kept = variances[::-1][:count].mean()
    return Components(mean.astype(np.float32), (basis / np.sqrt(max(kept, 1e-12))).astype(np.float32))

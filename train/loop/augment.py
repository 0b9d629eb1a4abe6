"""Pictures as a camera might have taken them: geometry, blur, light, noise and hidden parts, on whole batches.

What is done to each picture is drawn in NumPy (`draw`), so that a seed means the same on every backend; the pixels are
moved by `apply` with Keras operations in the training graph. Strengths are params; 0 turns a thing off.
"""

import math
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from train.loop.settings import Augment

Tensor = Any


# One row of `draw`: what each column holds.
COLUMNS = (
    "zoom", "shift_x", "shift_y", "angle", "flip", "erase_x", "erase_y", "erase_w", "erase_h", "erase_value",
    "contrast", "brightness", "light", "blur", "noise", "mix", "join",
)  # fmt: skip
COLUMN = {name: index for index, name in enumerate(COLUMNS)}
NOT_JOINED = 2.0  # the line is far below the picture
SEAM = 4  # pixels over which one picture becomes the other


def draw(strength: Augment, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random changes for `n` pictures, [n, len(COLUMNS)]; lengths are shares of the picture's side."""
    span = rng.uniform(-1, 1, (n, 6))
    area = rng.uniform(0.02, 0.20, n)
    aspect = np.exp(rng.uniform(math.log(0.4), math.log(2.5), n))
    erased = rng.random(n) < strength.erase
    dark = rng.random(n) < strength.low_light
    columns = {
        "zoom": 1 + strength.scale * span[:, 0],
        "shift_x": strength.shift * span[:, 1],
        "shift_y": strength.shift * span[:, 2],
        "angle": math.radians(strength.rotation) * span[:, 3],
        "flip": np.where(rng.random(n) < strength.flip, -1.0, 1.0),
        "erase_x": rng.random(n),
        "erase_y": rng.random(n),
        "erase_w": np.where(erased, np.sqrt(area * aspect), 0.0),
        "erase_h": np.where(erased, np.sqrt(area / aspect), 0.0),
        "erase_value": rng.uniform(0, 255, n),
        "contrast": 1 + strength.contrast * span[:, 4],
        "brightness": 255 * strength.brightness * span[:, 5],
        "light": np.where(dark, rng.uniform(0.25, 0.7, n), 1.0),
        "blur": strength.blur * rng.random(n) ** max(1.0, strength.blur),  # strong ones are rarer
        "noise": strength.noise * rng.random(n) ** 2,
        "mix": np.maximum(mix := rng.beta(strength.mixup, strength.mixup, n), 1 - mix)
        if strength.mixup
        else np.ones(n),
        "join": np.where(rng.random(n) < strength.join, rng.uniform(0.35, 0.65, n), NOT_JOINED)
        if strength.join
        else np.full(n, NOT_JOINED),
    }
    return np.stack([columns[name] for name in COLUMNS], axis=1).astype(np.float32)


def apply(pixels: Tensor, changes: Tensor, seed: Any, strength: Augment) -> Tensor:
    """Change float pixels 0..255 [B,H,W,C] as drawn with `strength`; other pictures come in later (`mix_pictures`).

    What has no strength is left out of the graph, and costs no time.
    """
    ops = keras.ops

    def column(name: str) -> Tensor:
        return ops.reshape(changes[:, COLUMN[name]], (-1, 1, 1, 1))

    x = pixels
    if strength.scale or strength.shift or strength.rotation or strength.flip:
        x = _resample(x, changes)
    if strength.blur:
        x = x + ops.minimum(column("blur"), 1.0) * (_mean3(x) - x)
    if strength.blur > 1:
        x = x + ops.clip(column("blur") - 1.0, 0.0, 1.0) * (_mean3(_mean3(x)) - x)
    mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
    x = (mean + (x - mean) * column("contrast") + column("brightness")) * column("light")
    if strength.noise:
        x = x + column("noise") * keras.random.normal(ops.shape(x), seed=seed)
    x = ops.clip(x, 0, 255)
    return _erase(x, changes) if strength.erase else x


def _mean3(x: Tensor) -> Tensor:
    return keras.ops.average_pool(x, 3, 1, padding="same")


def _erase(x: Tensor, changes: Tensor) -> Tensor:
    ops = keras.ops
    height, width = x.shape[1], x.shape[2]

    def column(name: str) -> Tensor:
        return ops.reshape(changes[:, COLUMN[name]], (-1, 1, 1, 1))

    rows = ops.reshape((ops.arange(height, dtype="float32") + 0.5) / height, (1, -1, 1, 1))
    columns = ops.reshape((ops.arange(width, dtype="float32") + 0.5) / width, (1, 1, -1, 1))
    hidden = ops.logical_and(
        ops.abs(rows - column("erase_y")) < column("erase_h") / 2,
        ops.abs(columns - column("erase_x")) < column("erase_w") / 2,
    )
    return ops.where(hidden, column("erase_value"), x)


def own_share(changes: Tensor) -> Tensor:
    """How much of each mixed picture is the row's own, [B]; the rest is the row's before it."""
    return changes[:, COLUMN["mix"]] * keras.ops.minimum(changes[:, COLUMN["join"]], 1.0)


def mix_pictures(pixels: Tensor, changes: Tensor) -> Tensor:
    """Blend or join each picture [B,H,W,C] with the one before it, as drawn."""
    ops = keras.ops
    height = pixels.shape[1]
    rows = ops.reshape(ops.arange(height, dtype="float32") + 0.5, (1, -1, 1, 1))
    line = ops.reshape(changes[:, COLUMN["join"]], (-1, 1, 1, 1)) * height
    above = ops.clip((line - rows) / SEAM + 0.5, 0.0, 1.0)
    own = above * ops.reshape(changes[:, COLUMN["mix"]], (-1, 1, 1, 1))
    return own * pixels + (1 - own) * ops.roll(pixels, 1, axis=0)


def mix_targets(targets: Tensor, changes: Tensor) -> Tensor:
    """Blend each target [B,K] with the one before it, by how much of the two pictures is seen."""
    share = keras.ops.reshape(own_share(changes), (-1, 1))
    return share * targets + (1 - share) * keras.ops.roll(targets, 1, axis=0)


def _resample(pixels: Tensor, changes: Tensor) -> Tensor:
    """Zoom, shift, rotate and flip around the centre by bilinear interpolation; edges are repeated outwards."""
    ops = keras.ops
    height, width, channels = pixels.shape[1:]

    def column(name: str) -> Tensor:
        return ops.reshape(changes[:, COLUMN[name]], (-1, 1, 1))

    y, x = ops.meshgrid(
        ops.arange(height, dtype="float32") - (height - 1) / 2,
        ops.arange(width, dtype="float32") - (width - 1) / 2,
        indexing="ij",
    )
    y, x = y[None], x[None] * column("flip")
    cosine, sine = ops.cos(column("angle")), ops.sin(column("angle"))
    source_x = (cosine * x - sine * y) / column("zoom") + (width - 1) / 2 + width * column("shift_x")
    source_y = (sine * x + cosine * y) / column("zoom") + (height - 1) / 2 + height * column("shift_y")
    source_x = ops.clip(source_x, 0, width - 1)
    source_y = ops.clip(source_y, 0, height - 1)
    left = ops.minimum(ops.floor(source_x), width - 2)
    top = ops.minimum(ops.floor(source_y), height - 2)
    along_x, along_y = (source_x - left)[..., None], (source_y - top)[..., None]
    first = ops.reshape(ops.cast(top * width + left, "int32"), (-1, height * width, 1))
    flat = ops.reshape(pixels, (-1, height * width, channels))

    def corner(offset: int) -> Tensor:
        index = ops.broadcast_to(first + offset, (ops.shape(first)[0], height * width, channels))
        return ops.reshape(ops.take_along_axis(flat, index, axis=1), (-1, height, width, channels))

    upper = corner(0) * (1 - along_x) + corner(1) * along_x
    lower = corner(width) * (1 - along_x) + corner(width + 1) * along_x
    return upper * (1 - along_y) + lower * along_y

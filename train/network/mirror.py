"""Convolutions whose filters come in pairs, each with its own mirror image: a picture and its mirror image then get
nearly the same answer, and there are half as many weights to learn for the same arithmetic (group equivariance, Cohen
and Welling 2016, for the group of one reflection).

A layer of F filters gives 2F maps [B,H,W,2F]: first what the filters see, then what their mirror images see. Strided
layers start at one side, so that answers differ by what a shift by half a pixel changes. `fold` writes all 2F filters
out, and the shipped form is a plain convolution.
"""

from typing import Any

import keras

from train.network.layers import Conv, Norm

Tensor = Any


def with_mirror_images(kernel: Tensor, *, of_pairs: bool, ops: Any = keras.ops) -> Tensor:
    """All filters [k,k,in,2F] from those that are learned [k,k,in,F]; `ops` may be NumPy.

    Where the input's maps are pairs themselves, the mirror image of a filter swaps them too.
    """
    images = ops.flip(kernel, axis=1)
    if of_pairs:
        images = ops.roll(images, kernel.shape[2] // 2, axis=2)
    return ops.concatenate([kernel, images], axis=-1)


class MirrorConv(Conv):
    """`filters` of which one half is learned and the other half are its mirror images; without bias and activation."""

    def __init__(self, filters: int, kernel_size: int, *, of_pairs: bool, **options: Any) -> None:
        super().__init__(filters // 2, kernel_size, use_bias=False, **options)
        self.of_pairs = of_pairs

    def call(self, inputs: Tensor) -> Tensor:
        """Pairs of maps [B,H,W,2F]."""
        return self.convolve(inputs, with_mirror_images(self.kernel, of_pairs=self.of_pairs))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Twice as many maps as filters that are learned."""
        *places, maps = super().compute_output_shape(input_shape)
        return (*places, 2 * maps)


class MirrorNorm(Norm):
    """Batch normalisation of pairs of maps; a filter and its mirror image share what is measured and learned."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Gains, offsets and statistics [F] for 2F maps."""
        super().build((*input_shape[:-1], input_shape[-1] // 2))  # type: ignore[operator]
        self.input_spec = None  # Keras would ask for as many maps as there are gains

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        """Normalise [B,H,W,2F] with both maps of a pair beside each other."""
        height, width, maps = inputs.shape[1:]
        beside = keras.ops.reshape(inputs, (-1, height, 2 * width, maps // 2))
        return keras.ops.reshape(super().call(beside, training=training, mask=mask), (-1, height, width, maps))

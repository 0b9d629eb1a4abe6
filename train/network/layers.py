"""Convolutions and batch normalisation as Keras layers that PyTorch runs without copies.

Keras keeps pictures as [B,H,W,C]. Its PyTorch backend copies each of them to [B,C,H,W] and back around a convolution,
adds the bias and applies the activation in passes of their own, and computes batch normalisation from six separate
operations: half of the step's time on a CPU. Permuting without copying gives the memory layout in which PyTorch's own
kernels are fastest (channels_last). Elsewhere these are Keras' own operations.
"""

from collections.abc import Callable
from typing import Any

import keras

Tensor = Any


class Conv(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without dilation and groups: the same weights and the same answers."""

    def call(self, inputs: Tensor) -> Tensor:
        """The convolution with bias and activation."""
        return self.convolve(inputs, self.kernel)

    def convolve(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """The same with another kernel than the one that is learned."""
        bias = self.bias if self.use_bias else None
        if keras.backend.backend() == "torch":
            return _torch_convolution(
                inputs, kernel, self.kernel_size, self.strides, self.padding, bias=bias, activation=self.activation
            )
        y = self.convolution_op(inputs, kernel)
        return self.activation(y if bias is None else keras.ops.add(y, bias))

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """The convolution itself on the other backends, without bias and activation."""
        strides, padding = self.strides, self.padding
        if self.kernel_size == (1, 1) and strides != (1, 1):
            # The oneDNN gradient of a strided 1x1 convolution in TensorFlow 2.21 writes past its memory ("double free
            # or corruption" within a few steps). The pixels that it skips can as well be left out before it.
            inputs, strides, padding = inputs[:, :: strides[0], :: strides[1], :], (1, 1), "valid"
        return keras.ops.conv(inputs, kernel, strides=strides, padding=padding, data_format="channels_last")


class Depthwise(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with one filter a channel, without dilation: the same weights and answers."""

    def call(self, inputs: Tensor) -> Tensor:
        """The convolution of every channel with its own filter, with bias and activation."""
        if keras.backend.backend() != "torch":
            return super().call(inputs)
        kernel = keras.ops.transpose(self.kernel, (0, 1, 3, 2))  # [k,k,C,1] to what a grouped convolution takes
        return _torch_convolution(
            inputs, kernel, self.kernel_size, self.strides, self.padding, bias=self.bias if self.use_bias else None,
            activation=self.activation, groups=inputs.shape[-1],
        )  # fmt: skip


def _torch_convolution(
    inputs: Tensor, kernel: Tensor, size: tuple[int, int], strides: tuple[int, int], padding: str, *,
    bias: Tensor | None, activation: Callable[[Tensor], Tensor], groups: int = 1,
) -> Tensor:  # fmt: skip
    from torch.nn import functional  # noqa: PLC0415 - only where PyTorch is the backend

    x, symmetric = inputs.permute(0, 3, 1, 2), (0, 0)
    if padding == "same":
        lengths = tuple(x.shape[2:])
        needed = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(lengths, strides, size, strict=True)]
        if any(total % 2 for total in needed):
            rows, columns = needed
            x = functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        else:
            symmetric = (needed[0] // 2, needed[1] // 2)
    weight = keras.ops.convert_to_tensor(kernel).permute(3, 2, 0, 1)
    offset = None if bias is None else keras.ops.convert_to_tensor(bias)
    y = functional.conv2d(x, weight, offset, stride=strides, padding=symmetric, groups=groups)
    # In place: a convolution's gradient needs its input and weights, not what came out.
    if activation is keras.activations.relu:
        y = y.relu_()
    elif activation is keras.activations.relu6:
        y = functional.hardtanh_(y, 0.0, 6.0)
    else:
        return activation(y.permute(0, 2, 3, 1))
    return y.permute(0, 2, 3, 1)


class Norm(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over channels, in one fused kernel on PyTorch.

    Momentum 0.9 rather than Keras' 0.99: an epoch is about 200 steps, and the statistics must follow the weights.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **options: Any) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, **options)

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        """Normalise [B,H,W,C] by the batch while training, by the running statistics otherwise."""
        if keras.backend.backend() != "torch":
            return super().call(inputs, training=training, mask=mask)
        import torch  # noqa: PLC0415 - only where PyTorch is the backend

        x = inputs.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        if x.device.type == "meta":  # Keras tries shapes out on a device without numbers
            return inputs
        y = torch.nn.functional.batch_norm(
            x,
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            training=bool(training and self.trainable),
            momentum=1 - self.momentum,
            eps=self.epsilon,
        )
        return y.permute(0, 2, 3, 1)

"""Convolution and batch normalisation as Keras layers that PyTorch runs without copies.

Keras keeps pictures as [B,H,W,C]. Its PyTorch backend copies each of them to [B,C,H,W] and back around a convolution,
and computes batch normalisation from six separate operations: half of the step's time on a CPU. Permuting without
copying is the memory layout PyTorch's own kernels like best (channels_last). On TensorFlow and JAX these are the plain
layers.
"""

from typing import Any

import keras

Tensor = Any


class Conv(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with the same weights and the same answers."""

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """The convolution itself, without bias and activation."""
        if keras.backend.backend() != "torch":
            return super().convolution_op(inputs, kernel)
        from torch.nn import functional  # noqa: PLC0415 - only where PyTorch is the backend

        size, stride = self.kernel_size[0], self.strides[0]
        x, padding = inputs.permute(0, 3, 1, 2), 0
        if self.padding == "same":
            needed = [max((-(-length // stride) - 1) * stride + size - length, 0) for length in x.shape[2:]]
            if all(total % 2 == 0 and total == needed[0] for total in needed):
                padding = needed[0] // 2
            else:
                (rows, columns) = needed
                x = functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        weight = keras.ops.convert_to_tensor(kernel).permute(3, 2, 0, 1)
        return functional.conv2d(x, weight, stride=stride, padding=padding).permute(0, 2, 3, 1)


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
            x, self.moving_mean.value, self.moving_variance.value, self.gamma.value, self.beta.value,
            bool(training and self.trainable), 1 - self.momentum, self.epsilon,
        )  # fmt: skip
        return y.permute(0, 2, 3, 1)

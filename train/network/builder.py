"""Places layers by name, either as a network trains, with branches, or as it ships, with one convolution for each."""

from dataclasses import dataclass
from typing import Any, Literal

import keras

from train.network.layers import Conv, Depthwise, Norm
from train.network.mirror import MirrorConv, MirrorNorm

Tensor = Any
# Whether half of a convolution's filters are mirror images of the others, and what its input is (`mirror`).
Mirror = Literal["", "pixels", "pairs"]


@dataclass(frozen=True, slots=True)
class ConvRecord:
    """How one convolution was trained, which is what `fold` must undo."""

    normalised: bool
    pointwise: bool  # a parallel 1x1 convolution
    identity: bool  # the input is added before the activation
    tap: int  # which row and column of the kernel looks at the position the 1x1 and the identity look at
    mirror: Mirror = ""


class Builder:
    """Places layers by name: the training form with branches, or the shipped form with one convolution each."""

    def __init__(self, *, training: bool, policy: str = "float32", plain: type[Any] = keras.layers.Conv2D) -> None:
        self.training = training
        self.policy = policy
        self.plain = plain  # the layer that the shipped form's convolutions are made of
        self.records: dict[str, ConvRecord] = {}

    def rescale(self, pixels: Tensor, scale: float, offset: float) -> Tensor:
        """Bring pixels 0..255 into the range the network works in."""
        return keras.layers.Rescaling(scale, offset, dtype=self.policy, name="rescale")(pixels)

    def conv(
        self, x: Tensor, name: str, filters: int, *, kernel: int = 3, stride: int = 1, padding: str = "same",
        norm: bool = True, pointwise: bool = False, identity: bool = False, relu: bool | str = True,
        learns: bool = True, mirror: Mirror = "",
    ) -> Tensor:  # fmt: skip
        """A convolution with what belongs to it; `identity` is dropped where shapes differ.

        `relu` may be "relu6". What does not learn has no `norm`; what has mirror images has one, and no 1x1 branch.
        """
        identity = identity and stride == 1 and x.shape[-1] == filters
        record = ConvRecord(norm, pointwise, identity, _same_padding_before(x.shape[1], kernel, stride), mirror)
        self.records[name] = record
        common = {"strides": stride, "kernel_initializer": "he_normal", "dtype": self.policy}
        activation = relu if isinstance(relu, str) else "relu" if relu else None
        if not self.training:
            return self.plain(filters, kernel, padding=padding, activation=activation, name=name, **common)(x)
        if mirror:
            y = MirrorConv(filters, kernel, padding=padding, of_pairs=mirror == "pairs", name=f"{name}_conv", **common)(
                x
            )
            y = MirrorNorm(name=f"{name}_norm", dtype=self.policy)(y)
        elif not norm:
            # With no branch to add, the activation belongs to the convolution's own pass.
            alone = not pointwise and not identity
            y = Conv(
                filters, kernel, padding=padding, name=name, trainable=learns,
                activation=activation if alone else None, **common,
            )(x)  # fmt: skip
            if alone:
                return y
        else:
            y = Conv(filters, kernel, padding=padding, use_bias=False, name=f"{name}_conv", **common)(x)
            y = Norm(name=f"{name}_norm", dtype=self.policy)(y)
        branches = [y]
        if pointwise:
            y = Conv(filters, 1, padding="same", use_bias=False, name=f"{name}_point", **common)(x)
            branches.append(Norm(name=f"{name}_point_norm", dtype=self.policy)(y))
        if identity:
            branches.append(x)
        y = branches[0] if len(branches) == 1 else keras.layers.Add(dtype=self.policy, name=f"{name}_sum")(branches)
        return self.relu(y, f"{name}_relu", limit=6.0 if relu == "relu6" else None) if relu else y

    def depthwise(self, x: Tensor, name: str, *, stride: int = 1, learns: bool = True) -> Tensor:
        """A 3x3 filter for each channel, with bias and ReLU6."""
        layer = keras.layers.DepthwiseConv2D if self.plain is keras.layers.Conv2D and not self.training else Depthwise
        common = {"padding": "same", "trainable": learns, "dtype": self.policy, "name": name}
        return layer(3, strides=stride, activation="relu6", **common)(x)

    def upscale(self, x: Tensor, factor: int, name: str) -> Tensor:
        """Enlarge height and width, linearly between pixels."""
        return keras.layers.UpSampling2D(factor, interpolation="bilinear", dtype=self.policy, name=name)(x)

    def relu(self, x: Tensor, name: str, limit: float | None = None) -> Tensor:
        """ReLU, up to `limit` if there is one; int8 kernels fuse it at no cost."""
        return keras.layers.ReLU(max_value=limit, dtype=self.policy, name=name)(x)

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """A residual sum that stays in the shipped network."""
        return keras.layers.Add(dtype=self.policy, name=name)([x, y])

    def pool(self, x: Tensor, name: str, kind: str = "max") -> Tensor:
        """Halve height and width by the maximum or the mean (`kind` "average") of 2x2 places."""
        layer = keras.layers.MaxPooling2D if kind == "max" else keras.layers.AveragePooling2D
        return layer(2, dtype=self.policy, name=name)(x)

    def mean_of_pairs(self, x: Tensor, name: str) -> Tensor:
        """The mean [B,F] of filters and their mirror images [B,2F] while training; the shipped head averages itself."""
        if not self.training:
            return x
        pairs = keras.layers.Reshape((2, x.shape[-1] // 2), dtype=self.policy, name=f"{name}_beside")(x)
        return keras.layers.GlobalAveragePooling1D(dtype=self.policy, name=name)(pairs)

    def dropout(self, x: Tensor, rate: float, name: str) -> Tensor:
        """Dropout while training; nothing in the shipped network."""
        return keras.layers.Dropout(rate, dtype=self.policy, name=name)(x) if self.training and rate else x

    def dense(self, x: Tensor, name: str, units: int) -> Tensor:
        """A fully connected layer with ReLU: features [B,F] to [B,units]."""
        return keras.layers.Dense(units, activation="relu", dtype=self.policy, name=name)(x)


def _same_padding_before(size: int, kernel: int, stride: int) -> int:
    """Rows of zeros that "same" padding puts before the picture: all frameworks put the odd one after it."""
    output = -(-size // stride)
    return max((output - 1) * stride + kernel - size, 0) // 2

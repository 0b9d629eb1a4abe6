"""The networks by name, each a frozen config whose `layers` reads top to bottom: what they are made of.

`build` makes a Keras model of a config, to train or to ship.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import keras

from edge_contract.errors import UsageError
from train.network.builder import Builder, Tensor
from train.network.layers import Norm


class NetworkConfig(Protocol):
    """What every network below is: a frozen dataclass of its sizes."""

    def layers(self, b: Builder, pixels: Tensor) -> Tensor:
        """Features [B, F] from pixels [B, H, W, C]."""


@dataclass(frozen=True, slots=True)
class BaselineCnn:
    """The network this project descends from, to the letter: 2.35 M parameters, 77 MMAC at 48x48."""

    dropout: float = 0.25
    head_dropout: float = 0.5

    def layers(self, b: Builder, pixels: Tensor) -> Tensor:
        """Four valid 3x3 convolutions, three poolings and a dense layer that holds 90 % of the weights."""
        x = b.rescale(pixels, 1 / 255, 0.0)
        x = b.conv(x, "conv1", 32, padding="valid", norm=False)
        x = b.conv(x, "conv2", 64, padding="valid", norm=False)
        x = b.dropout(b.pool(x, "pool1"), self.dropout, "drop1")
        x = b.conv(x, "conv3", 128, padding="valid", norm=False)
        x = b.pool(x, "pool2")
        x = b.conv(x, "conv4", 128, padding="valid", norm=False)
        x = b.dropout(b.pool(x, "pool3"), self.dropout, "drop2")
        x = keras.layers.Flatten(dtype=b.policy, name="flatten")(x)
        return b.dropout(b.dense(x, "dense", 1024), self.head_dropout, "drop3")


@dataclass(frozen=True, slots=True)
class EdgeCnn:
    """Ours: plain 3x3 convolutions at inference, under 30 MMAC and 1,000,000 bytes as int8 at 48x48 with 7 classes.

    Only the one-channel stem runs at full resolution. Widths are multiples of 16, so that int8 dot-product
    instructions (VNNI on x86, SDOT on Arm) find full registers, and nothing is depthwise, because those run at half the
    share of the core's int8 peak.
    """

    stem: int = 16
    widths: tuple[int, ...] = (32, 64, 96, 208)
    depths: tuple[int, ...] = (2, 2, 3, 2)
    pointwise: bool = True
    norm: bool = True  # without: a step costs an eighth less, but only trained weights can go on learning so
    mirror: bool = False  # half of the filters are mirror images (`mirror`); needs `norm`, has no 1x1 branches
    places: bool = False  # the head sees each of the last map's places, not their average: faces are framed alike
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what does not go together.

        Raises:
            UsageError: The text names the options.
        """
        if not self.mirror:
            return
        if self.places or not self.norm:
            raise UsageError(
                "network option `mirror` needs `norm: true` and `places: false`",
                remedy="set these, or leave `mirror` out",
            )
        if odd := [width for width in (self.stem, *self.widths) if width % 2]:
            raise UsageError(
                f"network option `mirror` pairs filters, and {odd[0]} is odd", remedy="set an even stem and even widths"
            )

    def layers(self, b: Builder, pixels: Tensor) -> Tensor:
        """Stem, then stages that halve the resolution first; averaged over what is left, or flattened."""
        x = b.rescale(pixels, 1 / 127.5, -1.0)
        x = b.conv(x, "stem", self.stem, norm=self.norm, mirror="pixels" if self.mirror else "")
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True), start=1):
            for block in range(depth):
                x = b.conv(
                    x, f"s{stage}b{block}", width, stride=2 if block == 0 else 1, norm=self.norm,
                    pointwise=self.pointwise and self.norm and not self.mirror, identity=self.norm,
                    mirror="pairs" if self.mirror else "",
                )  # fmt: skip
        if self.places:
            x = keras.layers.Flatten(dtype=b.policy, name="places")(x)
        else:
            x = keras.layers.GlobalAveragePooling2D(dtype=b.policy, name="average")(x)
            x = b.mean_of_pairs(x, "pairs") if self.mirror else x
        return b.dropout(x, self.dropout, "drop")


@dataclass(frozen=True, slots=True)
class Residual:
    """Basic-block residual network (He et al. 2016); these widths make the teacher, 160 MMAC at 48x48."""

    stem: int = 32
    stem_stride: int = 1
    first_stride: int = 2
    widths: tuple[int, ...] = (64, 128, 256)
    depths: tuple[int, ...] = (1, 1, 1)
    downsample_conv: bool = True  # a 3x3 convolution that halves, before the stage's blocks (one more layer a stage)
    dropout: float = 0.3

    def layers(self, b: Builder, pixels: Tensor) -> Tensor:
        """Stem, stages of residual blocks, average."""
        x = b.conv(b.rescale(pixels, 1 / 127.5, -1.0), "stem", self.stem, stride=self.stem_stride)
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True), start=1):
            stride = self.first_stride if stage == 1 else 2
            if self.downsample_conv:
                x = b.conv(x, f"s{stage}down", width, stride=stride)
                stride = 1
            for block in range(depth):
                x = self._block(b, x, f"s{stage}b{block}", width, stride if block == 0 else 1)
        x = keras.layers.GlobalAveragePooling2D(dtype=b.policy, name="average")(x)
        return b.dropout(x, self.dropout, "drop")

    @staticmethod
    def _block(b: Builder, x: Tensor, name: str, width: int, stride: int) -> Tensor:
        skip = x
        if stride != 1 or x.shape[-1] != width:
            skip = b.conv(x, f"{name}skip", width, kernel=1, stride=stride, relu=False)
        y = b.conv(x, f"{name}a", width, stride=stride)
        y = b.conv(y, f"{name}c", width, relu=False)
        return b.relu(b.add(y, skip, f"{name}add"), f"{name}out")


@dataclass(frozen=True, slots=True)
class FaceResidual:
    """The residual network of dlib's face recognition (King 2017), which `train.pretrained` fills: 5.6 M parameters.

    Basic blocks, four narrow stages; where a stage halves, the skip is averaged instead of strided.
    """

    upscale: int = 2  # it learned from faces of about 100 pixels
    widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    depths: tuple[int, ...] = (3, 4, 3, 3, 1)  # of which the first halves, except in the first stage
    dropout: float = 0.4

    def layers(self, b: Builder, pixels: Tensor) -> Tensor:
        """Enlarged pixels, a wide stem, stages of residual blocks, average."""
        x = b.upscale(b.rescale(pixels, 1 / 127.5, -1.0), self.upscale, "upscale")
        x = b.conv(x, "stem", self.widths[0], kernel=7, stride=2)
        x = keras.layers.MaxPooling2D(3, 2, padding="same", dtype=b.policy, name="stem_pool")(x)
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True), start=1):
            for block in range(depth):
                x = self._block(b, x, f"s{stage}b{block}", width, halve=stage > 1 and block == 0)
        x = keras.layers.GlobalAveragePooling2D(dtype=b.policy, name="average")(x)
        return b.dropout(x, self.dropout, "drop")

    @staticmethod
    def _block(b: Builder, x: Tensor, name: str, width: int, *, halve: bool) -> Tensor:
        skip = x
        if halve:
            skip = keras.layers.AveragePooling2D(2, padding="same", dtype=b.policy, name=f"{name}average")(x)
        if x.shape[-1] != width:
            skip = b.conv(skip, f"{name}skip", width, kernel=1, norm=False, relu=False)
        y = b.conv(x, f"{name}a", width, stride=2 if halve else 1)
        y = b.conv(y, f"{name}c", width, relu=False)
        return b.relu(b.add(y, skip, f"{name}add"), f"{name}out")


@dataclass(frozen=True, slots=True)
class FaceMobile:
    """MobileNet (Howard et al. 2017) as the HSE face attributes network has it, which `train.pretrained` fills: 3.2 M.

    Its normalisation is folded away, so it is no network to train from random weights.
    """

    upscale: int = 3  # it learned from faces of 224 pixels
    widths: tuple[int, ...] = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    halving: tuple[int, ...] = (2, 4, 6, 12)  # blocks that halve the resolution
    frozen: int = 5  # the first so many blocks keep their pretrained weights, and cost no backward pass
    dropout: float = 0.4

    def layers(self, b: Builder, pixels: Tensor) -> Tensor:
        """Enlarged pixels, a stem, depthwise and pointwise convolutions in turn, average."""
        x = b.upscale(b.rescale(pixels, 1 / 127.5, -1.0), self.upscale, "upscale")
        x = b.conv(x, "stem", 32, stride=2, norm=False, relu="relu6", learns=self.frozen == 0)
        for block, width in enumerate(self.widths, start=1):
            learns = block > self.frozen
            x = b.depthwise(x, f"b{block}depth", stride=2 if block in self.halving else 1, learns=learns)
            x = b.conv(x, f"b{block}point", width, kernel=1, norm=False, relu="relu6", learns=learns)
        x = keras.layers.GlobalAveragePooling2D(dtype=b.policy, name="average")(x)
        return b.dropout(x, self.dropout, "drop")


@dataclass(frozen=True, slots=True)
class Vgg:
    """The VGG of Khaireddin and Chen 2021 (published 73.28 %): pairs of convolutions, pooling, two dense layers."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    dense: int = 4096
    dropout: float = 0.5

    def layers(self, b: Builder, pixels: Tensor) -> Tensor:
        """Four stages of two convolutions; flattened, because the faces are framed alike."""
        x = b.rescale(pixels, 1 / 127.5, -1.0)
        for stage, width in enumerate(self.widths, start=1):
            x = b.conv(b.conv(x, f"s{stage}a", width), f"s{stage}b", width)
            x = b.pool(x, f"pool{stage}")
        x = keras.layers.Flatten(dtype=b.policy, name="flatten")(x)
        x = b.dropout(b.dense(x, "dense1", self.dense), self.dropout, "drop1")
        return b.dropout(b.dense(x, "dense2", self.dense), self.dropout, "drop2")


@dataclass(frozen=True, slots=True)
class MiniXception:
    """mini-Xception (Arriaga et al. 2017, published 66 %): separable convolutions with residuals."""

    stem: int = 8
    widths: tuple[int, ...] = (16, 32, 64, 128)
    dropout: float = 0.0

    def layers(self, b: Builder, pixels: Tensor) -> Tensor:
        """Normalisation after a separable convolution stays a layer; the converter folds it."""
        x = b.rescale(pixels, 1 / 127.5, -1.0)
        x = b.conv(x, "stem1", self.stem, padding="valid")
        x = b.conv(x, "stem2", self.stem, padding="valid")
        for stage, width in enumerate(self.widths, start=1):
            skip = b.conv(x, f"s{stage}skip", width, kernel=1, stride=2, relu=False)
            x = b.relu(self._separable(b, x, f"s{stage}a", width), f"s{stage}relu")
            x = self._separable(b, x, f"s{stage}b", width)
            x = keras.layers.MaxPooling2D(3, 2, padding="same", dtype=b.policy, name=f"s{stage}pool")(x)
            x = b.add(x, skip, f"s{stage}add")
        x = b.conv(x, "classes", 64)
        x = keras.layers.GlobalAveragePooling2D(dtype=b.policy, name="average")(x)
        return b.dropout(x, self.dropout, "drop")

    @staticmethod
    def _separable(b: Builder, x: Tensor, name: str, width: int) -> Tensor:
        layer = keras.layers.SeparableConv2D(width, 3, padding="same", use_bias=False, dtype=b.policy, name=name)
        norm = Norm if b.training else keras.layers.BatchNormalization
        return norm(epsilon=1e-5, dtype=b.policy, name=f"{name}_norm")(layer(x))


@dataclass(frozen=True, slots=True)
class ResNet18(Residual):
    """ResNet18 without its early poolings, as the published FER2013 recipes use it (73.70 %)."""

    stem: int = 64
    first_stride: int = 1
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    downsample_conv: bool = False


NETWORKS: dict[str, type[Any]] = {
    "baseline_cnn": BaselineCnn,
    "edge_cnn": EdgeCnn,
    "residual": Residual,
    "face_residual": FaceResidual,
    "face_mobile": FaceMobile,
    "vgg": Vgg,
    "mini_xception": MiniXception,
    "resnet18": ResNet18,
}

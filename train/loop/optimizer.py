"""The optimizer with its schedule, from params."""

import math
from typing import Any

import keras

from train.loop.settings import TrainParams

Tensor = Any


class ConvMuon(keras.optimizers.Muon):  # type: ignore[misc, name-defined, unused-ignore]
    """Muon (Jordan et al. 2024), which Keras has for matrices, for convolutions: a kernel [k,k,in,out] is the matrix
    [k*k*in,out] that patches are multiplied with, and every step moves it by much the same in all directions.

    First and last layers, depthwise filters, biases and normalisation follow AdamW, at the same learning rate. The
    iteration is as exact in bfloat16 as it needs to be: `iterate_in` follows the training's precision.
    """

    def __init__(self, learning_rate: Any, *, iterate_in: str = "float32", **options: Any) -> None:
        super().__init__(learning_rate, **options)
        self.iterate_in = iterate_in

    def _should_use_adamw(self, variable: Any) -> bool:
        if len(variable.shape) == 4:
            return 1 in variable.shape[-2:]
        return bool(super()._should_use_adamw(variable))

    def zeropower_via_newtonschulz5(self, x: Tensor, steps: int) -> Tensor:
        """The nearest orthogonal matrix, in the kernel's shape."""
        matrix = keras.ops.cast(keras.ops.reshape(x, (-1, x.shape[-1])), self.iterate_in)
        nearest = super().zeropower_via_newtonschulz5(matrix, steps)
        return keras.ops.cast(keras.ops.reshape(nearest, x.shape), x.dtype)

    def lr_adjust(self, x: Tensor) -> Tensor:
        """As large a step as AdamW's (Liu et al. 2025), so that learning rates and decay mean the same."""
        return x * (self.rms_rate * math.sqrt(max(math.prod(x.shape[:-1]), x.shape[-1])))


def make_optimizer(params: TrainParams, steps: int) -> Any:
    """An optimizer for epochs of `steps`; weight decay leaves biases and normalisation alone.

    With `step_average_decay` it also keeps the average over steps, which `finalize_variable_values` puts in place.
    """
    average = {"use_ema": True, "ema_momentum": params.step_average_decay} if params.step_average_decay else {}
    rate: Any = params.learning_rate
    if params.schedule == "cosine":
        warmup = int(params.warmup_epochs * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate, max(params.epochs * steps - warmup, 1), alpha=0.0,
            warmup_target=rate if warmup else None, warmup_steps=warmup,
        )  # fmt: skip
    decay = params.weight_decay or None
    match params.optimizer:
        case "sgd":
            optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay, **average)
        case "adam":
            optimizer = keras.optimizers.Adam(rate, weight_decay=decay, **average)
        case "adamw":
            optimizer = keras.optimizers.AdamW(rate, weight_decay=params.weight_decay, **average)
        case "muon":
            optimizer = ConvMuon(
                rate, weight_decay=params.weight_decay, adam_weight_decay=params.weight_decay, exclude_layers=["head"],
                iterate_in="bfloat16" if params.precision == "mixed_bfloat16" else "float32", **average,
            )  # fmt: skip
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["norm", "bias"])
    return optimizer

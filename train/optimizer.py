"""The optimizer with its schedule, from params."""

from typing import Any

import keras

from train.settings import TrainParams


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
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["norm", "bias"])
    return optimizer

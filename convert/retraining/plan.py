"""What a retraining changes of the parameters, purely: cause, labels and champion in, new values of params.yaml out.

Nothing here lowers a gate: of its section only the champion is set, and the labels that it reads.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from convert.settings import RetrainSettings
from edge_contract.errors import UsageError
from train.params import nearest

CAUSES: Final[dict[str, dict[str, float]]] = {
    "": {},
    "dark": {"low_light": 0.5, "noise": 12.0},  # a sensor in the dark has noise too
    "bright": {"brightness": 0.35, "contrast": 0.5},
    "blurred": {"blur": 1.6},
    "far": {"blur": 1.2, "scale": 0.3},  # a face of few pixels, enlarged, is a blurred one
    "turned-slightly": {"rotation": 25.0, "shift": 0.15},
    "mix": {},  # other people or other moods: no augmentation is like them, labels are
}
"""Cause, and how far the augmentation goes at least that makes training pictures like what is seen then."""
FOR_PEOPLE: Final = ("covered", "turned")
LARGEST_RELEASE: Final = 2**31 - 1


def check(cause: str, *, labelled: bool) -> None:
    """Stop where training could not help.

    Raises:
        UsageError: the cause is unknown, needs a person, or needs labels and there are none.
    """
    if cause in FOR_PEOPLE:
        raise UsageError(f"a camera that is {cause} needs a person, and no training", remedy="look at the camera")
    if cause not in CAUSES:
        raise UsageError(f"RETRAIN_CAUSE is `{cause}`: {nearest(cause, [name for name in CAUSES if name])}")
    if cause == "mix" and not labelled:
        raise UsageError(
            "other answers than before give retraining nothing new without labels",
            remedy="label some faces, and name the folder of `edgewise labels export` in RETRAIN_FIELD",
        )


def augmentation(cause: str, now: dict[str, float]) -> dict[str, float]:
    """The section `train.augment`, no setting of it lower than it is."""
    return now | {name: max(now[name], least) for name, least in CAUSES[cause].items()}


def next_release(first: int, used: Iterable[int]) -> int:
    """A release number that no package of this name has had: `first` where that is free, else one past the highest.

    Raises:
        UsageError: There is none left.
    """
    taken = set(used)
    free = first if first not in taken and first > max(taken, default=0) else max(taken) + 1
    if free > LARGEST_RELEASE:
        raise UsageError("no release number is left for this name", remedy="set another package.name in params.yaml")
    return free


class Sections(msgspec.Struct, frozen=True, kw_only=True):
    """The new values of params.yaml by section."""

    prepare: dict[str, Any]
    train: dict[str, Any]
    gate: dict[str, Any]
    package: dict[str, Any]


def sections(
    cause: str,
    settings: RetrainSettings,
    *,
    augment: dict[str, float],
    base: str,
    field: str,
    field_digest: str,
    start: str,
    champion: str,
    release: int,
    packages: str,
) -> Sections:
    """What the pipeline is run with. `base`: the dataset file whose base data are the old data; `start`: the champion's
    network, or empty where training begins with random weights and takes as long as it always does."""
    fine_tuning = {
        "epochs": settings.epochs, "learning_rate": settings.learning_rate, "warmup_epochs": 0.5, "start_from": start,
    } if start else {"start_from": ""}  # fmt: skip
    return Sections(
        prepare={"source": base, "ferplus": "", "field": field, "field_digest": field_digest},
        train={"augment": augmentation(cause, augment), **fine_tuning},
        gate={"champion": champion},
        package={"release": release, "folder": packages},
    )

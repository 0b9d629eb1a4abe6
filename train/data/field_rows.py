"""Labelled faces from devices beside the base data: which are used, and what becomes of the others. Pure.

- A picture that stands in a test (of the base data, or held out of the labels) is learned from nowhere.
- No device counts for more than its share of what is trained on and chosen by, so that one whose labels are wrong, by
  mistake or by intent, cannot turn a model. Which of its faces are left out is decided by their digests.
"""

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from train.data.dataset import BASE, SPLITS, Dataset, image_digests
from train.data.field import FieldData
from train.data.report import FieldReport
from train.data.rows import FIELD, PRIVATE, SELECTION, TEST, TRAIN


def join(base: Dataset, found: FieldData, device_share: float) -> tuple[Dataset, FieldReport]:
    """The base data with the faces of devices after it, and a count of these by device.

    `device_share`: how many faces of one device are trained on (or chosen by), as a share of the base data's there.
    """
    names = (BASE, *sorted(set(found.devices)))
    origin = np.array([names.index(device) for device in found.devices], np.uint16)
    digests = image_digests(found.images)
    tested = _in_tests(base, found, digests)
    over = _over_share(base, found.split, origin, digests, ~tested, device_share)
    kept = ~tested & ~over
    devices = {
        name: {
            **{
                SPLITS[split]: int((kept & (origin == number) & (found.split == split)).sum())
                for split in (TRAIN, SELECTION, FIELD)
            },
            "erased": found.erased.get(name, 0),
            "in_a_test": int((tested & (origin == number)).sum()),
            "over_share": int((over & (origin == number)).sum()),
        }
        for number, name in enumerate(names)
        if name != BASE
    }
    for name in found.erased.keys() - devices.keys():
        devices[name] = {"erased": found.erased[name]}
    count = int(kept.sum())
    joined = dataclasses.replace(
        base,
        images=np.concatenate([base.images, found.images[kept]]),
        labels=np.concatenate([base.labels, found.labels[kept]]),
        split=np.concatenate([base.split, found.split[kept]]),
        votes=np.concatenate([base.votes, np.zeros((count, base.votes.shape[1]), np.uint8)]),
        source_digest=hashlib.sha256(f"{base.source_digest} {found.digest}".encode()).hexdigest(),
        origin=np.concatenate([np.zeros(len(base.labels), np.uint16), origin[kept]]),
        origins=names,
        chance=np.concatenate([np.zeros(len(base.labels), bool), found.chance[kept]]),
    )
    return joined, FieldReport(devices, found.problems)


def _in_tests(base: Dataset, found: FieldData, digests: list[bytes]) -> NDArray[np.bool_]:
    """Faces [N] that also stand in a test of the base data; and those outside `field` that are held out there too."""
    rows = np.flatnonzero(np.isin(base.split, (TEST, PRIVATE)))
    in_base = set(image_digests(base.images[rows]))
    held_out = {digest for digest, split in zip(digests, found.split, strict=True) if split == FIELD}
    learned = [
        digest in in_base or (split != FIELD and digest in held_out)
        for digest, split in zip(digests, found.split, strict=True)
    ]
    return np.array(learned, bool)


def _over_share(
    base: Dataset,
    split: NDArray[np.uint8],
    origin: NDArray[np.uint16],
    digests: list[bytes],
    usable: NDArray[np.bool_],
    device_share: float,
) -> NDArray[np.bool_]:
    """Faces [N] beyond their device's share of a split that is learned from."""
    over = np.zeros(len(split), bool)
    for at in (TRAIN, SELECTION):
        most = max(1, int(device_share * int((base.split == at).sum())))
        for device in np.unique(origin):
            rows = np.flatnonzero(usable & (split == at) & (origin == device))
            over[sorted(rows, key=lambda row: digests[row])[most:]] = True
    return over

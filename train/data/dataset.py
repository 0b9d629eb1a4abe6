"""The one dataset file that every later stage reads: images, labels and who may look at which row.

`data/dataset.npz` is a plain NumPy archive without pickles. Arrays: `images` uint8 [N,H,W,C], `labels` uint8 [N],
`split` uint8 [N] (index into `SPLITS`), `label_names` and `vote_names` unicode, `votes` uint8 [N,V] (V is 0 without
FER+), `source_digest` unicode, `origin` uint16 [N] (index into `origins`: 0 is the base data, others are devices) and
`chance` bool [N]; files of earlier versions lack the last three. Training reads `train` and `selection` only; `test`
and `private` are for `evaluate`, and `field` (labelled faces from devices that nothing learned from) is for the gate.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_contract import limits
from edge_contract.bounded_read import check_file
from edge_contract.durable import replacing
from edge_contract.errors import UsageError

SPLITS = ("train", "selection", "test", "private", "field")
BASE = ""
"""The first of `origins`: of the base data, and of no device."""

Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images uint8 [N,H,W,C] with labels [N]; `votes` [N,V] counts how many annotators chose each of `vote_names`."""

    images: Images
    labels: NDArray[np.uint8]
    split: NDArray[np.uint8]
    label_names: tuple[str, ...]
    votes: NDArray[np.uint8]
    vote_names: tuple[str, ...]
    source_digest: str
    origin: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    """[N], or empty where every row is of the base data."""
    origins: tuple[str, ...] = (BASE,)
    chance: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    """[N], or empty: rows that a device kept by chance alone, from which an accuracy is unbiased."""

    def of_origin(self, name: str) -> NDArray[np.intp]:
        """Row numbers of one device's faces, or of the base data (`BASE`), ascending."""
        if not len(self.origin):
            return np.arange(len(self.labels) if name == BASE else 0)
        return np.flatnonzero(self.origin == self.origins.index(name)) if name in self.origins else np.arange(0)

    def split_indices(self, name: str) -> NDArray[np.intp]:
        """Row numbers of one split, ascending; empty when the source had no such split."""
        return np.flatnonzero(self.split == SPLITS.index(name))

    def digest(self) -> str:
        """SHA-256 of what is trained and tested on: pictures, labels, splits and votes, hexadecimal."""
        digest = hashlib.sha256("\0".join((*self.label_names, "", *self.vote_names)).encode())
        for array in (self.images, self.labels, self.split, self.votes):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def majority_labels(self) -> NDArray[np.int64]:
        """The label most annotators chose, [N]; -1 where it is tied or not among `label_names`.

        FER+ (Barsoum et al. 2016) adds contempt, unknown and not-a-face; such rows have no label here.
        """
        if not self.vote_names:
            return np.full(len(self.labels), -1, np.int64)
        top = self.votes.max(axis=1, keepdims=True)
        unique = (self.votes == top).sum(axis=1) == 1
        to_label = np.array([_position(name, self.label_names) for name in self.vote_names], np.int64)
        return np.where(unique & (top[:, 0] > 0), to_label[self.votes.argmax(axis=1)], -1)


def _position(name: str, names: tuple[str, ...]) -> int:
    return names.index(name) if name in names else -1


def image_digests(images: Images) -> list[bytes]:
    """One digest an image; equal digests are equal pixels."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


def save(dataset: Dataset, path: Path) -> None:
    """Write the archive so that a reader sees the old file or the whole new one, never half."""
    write_archive(
        path,
        {
            "images": dataset.images,
            "labels": dataset.labels,
            "split": dataset.split,
            "label_names": np.array(dataset.label_names, dtype=np.str_),
            "votes": dataset.votes,
            "vote_names": np.array(dataset.vote_names, dtype=np.str_),
            "source_digest": np.array(dataset.source_digest),
        }
        | (
            {
                "origin": dataset.origin,
                "origins": np.array(dataset.origins, dtype=np.str_),
                "chance": dataset.chance,
            }
            if len(dataset.origin)
            else {}
        ),
        compress=True,
    )


def write_archive(path: Path, arrays: Mapping[str, NDArray[Any]], *, compress: bool = False) -> None:
    """Write a NumPy archive, whole or not at all, with fixed times: same arrays, same bytes."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with replacing(path, parents=True) as file, zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = method
            with archive.open(entry, "w", force_zip64=True) as out:
                np.lib.format.write_array(out, np.asarray(array, order="C"), allow_pickle=False)


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a NumPy archive by their names. Nothing in it is run, and memory holds all of it.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it cannot be read, is no such archive, is damaged, or larger than this machine's memory.
    """
    try:
        check_file(path, limits.DATASET_BYTES)
        with zipfile.ZipFile(path) as archive:
            size, memory = sum(entry.file_size for entry in archive.infolist()), _memory()
        if size > memory:
            raise ValueError(f"its arrays have {size:,} bytes, and this machine has {memory:,} of memory")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except MemoryError:
        raise ValueError("one of its arrays is larger than this machine's memory") from None
    except (zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(str(error)) from error


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def load(path: Path) -> Dataset:
    """Read a dataset file.

    Raises:
        UsageError: The file is missing, or is not a dataset file.
    """
    if not path.exists():
        raise UsageError(
            f"{path} does not exist", remedy="run `make data SOURCE=fer2013.csv` (or a folder, or synthetic:2000) first"
        )
    try:
        archive = read_archive(path)
        dataset = Dataset(
            images=archive["images"],
            labels=archive["labels"],
            split=archive["split"],
            label_names=tuple(str(name) for name in archive["label_names"]),
            votes=archive["votes"],
            vote_names=tuple(str(name) for name in archive["vote_names"]),
            source_digest=str(archive["source_digest"]),
            origin=archive.get("origin", np.zeros(0, np.uint16)),
            origins=tuple(str(name) for name in archive.get("origins", [BASE])),
            chance=archive.get("chance", np.zeros(0, bool)),
        )
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise UsageError(
            f"{path} is not a dataset file ({error})", remedy="write it again with `make data SOURCE=…`"
        ) from error
    lengths = {len(dataset.images), len(dataset.labels), len(dataset.split)}
    lengths |= {len(array) for array in (dataset.origin, dataset.chance) if len(dataset.origin)}
    if dataset.images.ndim != 4 or len(lengths) > 1:
        raise UsageError(f"{path} holds arrays whose lengths differ", remedy="write it again with `make data SOURCE=…`")
    if len(dataset.origin) and int(dataset.origin.max()) >= len(dataset.origins):
        raise UsageError(
            f"{path} names no device for some of its rows", remedy="write it again with `make data SOURCE=…`"
        )
    if dataset.images.shape[1] != dataset.images.shape[2]:
        _, height, width, _ = dataset.images.shape
        raise UsageError(
            f"{path} holds pictures of {width}x{height}, and a model is shown squares",
            remedy="write it again with `make data SOURCE=…`",
        )
    return dataset

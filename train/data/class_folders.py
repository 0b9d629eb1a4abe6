"""A tree with one folder a class: under `train/`, `test/` and `private/`, or without these for one undivided set."""

import hashlib
from pathlib import Path

import numpy as np

from edge_contract.errors import UsageError
from train.data.rows import EMOTIONS, PRIVATE, TEST, TRAIN, PictureFormat, Problem, Rows, decoded, fitted
from train.progress import steps

SPLIT_FOLDERS = {"train": TRAIN, "test": TEST, "private": PRIVATE}


def read(root: Path, form: PictureFormat) -> Rows:
    """Read every usable picture; class names are folder names.

    Seven folders with the emotions' names keep fer2013.csv's order, others are sorted: the order travels with the
    dataset and the model.

    Raises:
        UsageError: There are no class folders, or a class has no usable picture.
    """
    divided = (root / "train").is_dir()
    bases = {name: root / name for name in SPLIT_FOLDERS if (root / name).is_dir()} if divided else {"train": root}
    names = _ordered([folder.name for folder in _folders(bases["train"])])
    if len(names) < 2:
        raise UsageError(f"{bases['train']} has {len(names)} class folders", remedy="make at least two, one a class")
    digest = hashlib.sha256()
    images, labels, splits, places, resized, problems = [], [], [], [], [], []
    files = [
        (split, folder, file) for split, base in bases.items() for folder in _folders(base) for file in _files(folder)
    ]
    for split, folder, file in steps(files, root.name):
        place = str(file.relative_to(root))
        if folder.name not in names:
            problems.append(Problem(place, f"label `{folder.name}` has no folder under {bases['train'].name}/"))
            continue
        content = file.read_bytes()
        digest.update(place.encode() + b"\0" + hashlib.sha256(content).digest())
        try:
            picture = decoded(content, form)
        except UsageError as error:
            problems.append(Problem(place, f"cannot be read as a picture ({error.problem.rstrip('.')})"))
            continue
        if picture.shape[:2] != (form.height, form.width):
            height, width = picture.shape[:2]
            cut = "" if height == width else "its central square "
            resized.append(Problem(place, f"is {width}x{height}, {cut}scaled to {form.width}x{form.height}"))
        images.append(fitted(picture, form))
        labels.append(names.index(folder.name))
        splits.append(SPLIT_FOLDERS[split])
        places.append(place)
    for name, count in zip(
        names, np.bincount(np.array(labels, np.int64)[np.array(splits) == TRAIN], minlength=len(names)), strict=True
    ):
        if count == 0:
            example = next((f"; {problem}" for problem in problems if f"{name}/" in problem.place), "")
            raise UsageError(f"class `{name}` is empty: {bases['train'] / name} has no usable picture{example}.")
    return Rows(
        images=np.stack(images),
        labels=np.array(labels, np.uint8),
        split=np.array(splits, np.uint8),
        label_names=names,
        places=places,
        votes=np.empty((len(labels), 0), np.uint8),
        vote_names=(),
        resized=resized,
        problems=problems,
        digest=digest.hexdigest(),
    )


def _ordered(names: list[str]) -> tuple[str, ...]:
    return EMOTIONS if sorted(names) == sorted(EMOTIONS) else tuple(sorted(names))


def _folders(base: Path) -> list[Path]:
    return sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))

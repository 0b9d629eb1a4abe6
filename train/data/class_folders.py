"""A tree with one folder a class: under `train/`, `val/`, `test/` and `private/`, or without these undivided.

`folder_layout` says which folder is what; here the pictures are read.
"""

import hashlib
from pathlib import Path

import numpy as np

from edge_contract.bounded_read import read_file
from edge_contract.errors import UsageError
from edge_vision.picture import LARGEST_BYTES
from train.data.folder_layout import survey
from train.data.rows import EMOTIONS, TRAIN, PictureFormat, Problem, Rows, decoded, fitted
from train.progress import steps

MOST_CLASSES = 256  # a label is stored as one byte


def read(root: Path, form: PictureFormat) -> Rows:
    """Read every usable picture; class names are folder names.

    Seven folders with the emotions' names keep fer2013.csv's order, others are sorted: the order travels with the
    dataset and the model.

    Raises:
        UsageError: The folders are no classes (see `folder_layout`), or a class has no usable picture.
    """
    layout = survey(root)
    if len(layout.classes) > MOST_CLASSES:
        raise UsageError(
            f"{layout.base} has {len(layout.classes)} class folders, and a dataset holds up to {MOST_CLASSES}",
            remedy="join or leave out some",
        )
    names = _ordered(list(layout.classes))
    digest = hashlib.sha256()
    images, labels, splits, places, resized = [], [], [], [], []
    problems = list(layout.problems)
    for file in steps(layout.files, root.name):
        place = layout.place(file.path)
        if file.label not in names:
            problems.append(Problem(place, f"label `{file.label}` has no folder under {layout.base.name}/"))
            continue
        try:
            content = read_file(file.path, LARGEST_BYTES)
        except OSError as error:
            problems.append(Problem(place, f"cannot be read ({error.strerror})"))
            continue
        digest.update(place.encode(errors="surrogateescape") + b"\0" + hashlib.sha256(content).digest())
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
        labels.append(names.index(file.label))
        splits.append(file.split)
        places.append(place)
    for name, count in zip(
        names, np.bincount(np.array(labels, np.int64)[np.array(splits) == TRAIN], minlength=len(names)), strict=True
    ):
        if count == 0:
            example = next((f"; {problem}" for problem in problems if f"{name}/" in problem.place), "")
            raise UsageError(f"class `{name}` is empty: {layout.base / name} has no usable picture{example}.")
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
        not_read=layout.not_read,
        digest=digest.hexdigest(),
    )


def _ordered(names: list[str]) -> tuple[str, ...]:
    return EMOTIONS if sorted(names) == sorted(EMOTIONS) else tuple(sorted(names))

"""What a tree of folders holds: which are splits, which are classes, which files are pictures, and what was not read.

Nothing is left out in silence. What may be a lost picture is a problem; what is none (notes beside pictures, folders
that a tool made, folders beside the splits) is listed as not read.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_contract.errors import UsageError
from edge_vision.picture_file import is_picture_file
from train.data.rows import PRIVATE, SELECTION, TEST, TRAIN, Problem

_WORDS: Final = {
    "train": TRAIN, "training": TRAIN,
    "val": SELECTION, "valid": SELECTION, "validation": SELECTION, "validate": SELECTION, "dev": SELECTION,
    "development": SELECTION, "eval": SELECTION, "evaluation": SELECTION,
    "test": TEST, "tests": TEST, "testing": TEST, "publictest": TEST, "holdout": TEST,
    "private": PRIVATE, "privatetest": PRIVATE,
}  # fmt: skip
_BESIDE: Final = "images?|imgs?|pictures?|photos?|data|dataset|set|split|samples?|folder"
_SPLIT: Final = re.compile(rf"(?:{_BESIDE})?({'|'.join(_WORDS)})(?:{_BESIDE})?\d*")
_SEPARATORS: Final = re.compile(r"[\W_]+")
_MADE_BY_TOOLS: Final = {
    "__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "system volume information", "lost+found",
    "__pycache__",
}  # fmt: skip
_THUMBNAILS: Final = {"thumbs", "thumbnails"}  # inside a class; beside classes it may be one


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file that is a picture by its name or first bytes; `label` is the name of its class folder."""

    split: int
    label: str
    path: Path


@dataclass(slots=True)
class Layout:
    """What was found under a root. `classes` are those of the training pictures, sorted."""

    root: Path
    classes: tuple[str, ...] = ()
    base: Path = Path()
    """The folder that holds the classes of the training pictures."""
    files: list[PictureFile] = field(default_factory=list)
    not_read: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> str:
        """A path as reports print it, from the root on."""
        return str(path.relative_to(self.root))


def split_of(name: str) -> int | None:
    """The split that a folder of this name is, in any case: `Train`, `training_set`, `val2017`; None for others."""
    found = _SPLIT.fullmatch(_SEPARATORS.sub("", name.lower()))
    return None if found is None else _WORDS[found[1]]


def survey(root: Path) -> Layout:
    """Look through the tree; no picture is decoded.

    Raises:
        UsageError: It has no two classes, a folder named like a split stands where a class should, or two folders are
            the same split.
    """
    layout = Layout(root)
    folders = _folders(root, layout)
    bases = _bases(root, folders, layout)
    if TRAIN in bases:
        _note_loose_files(root, layout)
    layout.base = bases.get(TRAIN, root)
    for split, base in bases.items() or [(TRAIN, root)]:
        classes = folders if base == root else _folders(base, layout)
        if base != root:
            _refuse_splits_as_classes(base, classes)
        if split == TRAIN:
            layout.classes = tuple(sorted(folder.name for folder in classes))
        _note_loose_files(base, layout)
        before = len(layout.files)
        for folder in classes:
            _refuse_splits_inside(folder)
            layout.files += [PictureFile(split, folder.name, path) for path in _pictures(folder, layout)]
        if len(layout.files) == before and split != TRAIN:
            layout.not_read.append(Problem(f"{base.name}/", "holds no picture in a class folder"))
    if len(layout.classes) < 2:
        raise UsageError(
            f"{layout.base} has {len(layout.classes)} class folders", remedy="make at least two, one a class"
        )
    return layout


def _bases(root: Path, folders: list[Path], layout: Layout) -> dict[int, Path]:
    """Split and its folder, training first; empty for one undivided set of classes."""
    splits: dict[int, Path] = {}
    named = [(folder, split) for folder in folders if (split := split_of(folder.name)) is not None]
    for folder, split in named:
        if split in splits:
            raise UsageError(
                f"{root} holds `{splits[split].name}` and `{folder.name}`, which are the same split",
                remedy="join them, or move one of them elsewhere",
            )
        splits[split] = folder
    if named and TRAIN not in splits:
        raise UsageError(
            f"{root} holds `{named[0][0].name}`, which is named like a split, and no folder `train`",
            remedy="put the training pictures under `train`, or give a class another name",
        )
    if not named:
        _refuse_splits_as_classes(root, folders)
        return {}
    layout.not_read += [
        Problem(f"{folder.name}/", f"is none of the splits ({', '.join(folder.name for folder, _ in named)})")
        for folder in folders
        if split_of(folder.name) is None
    ]
    return dict(sorted(splits.items()))


def _refuse_splits_as_classes(base: Path, classes: list[Path]) -> None:
    """A folder named like a split is no class; nor are folders of which each has a split's name in its own."""
    like = [folder.name for folder in classes if split_of(folder.name) is not None]
    parts = [{*_SEPARATORS.split(folder.name.lower())} & _WORDS.keys() for folder in classes]
    if not like and len(classes) > 1 and all(parts):
        like = [folder.name for folder in classes]
    if like:
        raise UsageError(
            f"{base} holds {_quoted(like)}, named like a split where a class should be",
            remedy="name the folder that holds the splits `train` and `test`, or give the class another name",
        )


def _refuse_splits_inside(folder: Path) -> None:
    """Splits inside each class would all be trained on."""
    try:
        inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return  # named where its pictures are looked for
    splits = [name for name in inside if split_of(name) is not None]
    if any(split_of(name) == TRAIN for name in splits):
        raise UsageError(
            f"the class {folder} holds {_quoted(splits)}, named like splits",
            remedy="put the classes into the splits: train/CLASS, test/CLASS",
        )


def _folders(base: Path, layout: Layout) -> list[Path]:
    """Folders that may be classes or splits, sorted; those that tools make are noted.

    Raises:
        UsageError: The folder cannot be opened.
    """
    try:
        found = sorted(path for path in base.iterdir() if path.is_dir())
    except OSError as error:
        raise UsageError(f"{base} cannot be read ({error.strerror})", remedy="give yourself access to it") from error
    layout.not_read += [_by_tool(path, layout) for path in found if is_by_tool(path.name)]
    return [path for path in found if not is_by_tool(path.name)]


def is_by_tool(name: str) -> bool:
    """Whether a folder or file of this name is hidden or was made by a tool, such as `__MACOSX` and `.DS_Store`."""
    return name.startswith(".") or name.lower() in _MADE_BY_TOOLS


def _by_tool(path: Path, layout: Layout) -> Problem:
    return Problem(f"{layout.place(path)}/", "is hidden or made by a tool")


def _note_loose_files(base: Path, layout: Layout) -> None:
    """Pictures beside the class folders belong to no class."""
    loose = sorted(path.name for path in base.iterdir() if not path.name.startswith(".") and is_picture_file(path))
    if loose:
        first = layout.place(base / loose[0])
        layout.not_read.append(Problem(first, f"{_count(len(loose), 'picture')} in no class folder"))


def _pictures(folder: Path, layout: Layout) -> Iterator[Path]:
    """Picture files of a class, sorted, each once however many links lead to it."""
    beside: Counter[str] = Counter()
    once: dict[str, Path] = {}
    # A file is known by the name that is no link, and found under it first.
    for path, _linked in sorted(_walk(folder, layout), key=lambda found: (found[1], str(found[0]))):
        if path.name.startswith("."):
            beside["hidden"] += 1
        elif not path.exists():
            layout.problems.append(Problem(layout.place(path), "is a link to nothing"))
        elif not path.is_file():
            layout.problems.append(Problem(layout.place(path), "is no regular file"))
        elif not is_picture_file(path):
            beside[path.suffix.lower() or path.name] += 1
        elif (real := os.path.realpath(path)) in once:
            kept = layout.place(once[real])
            layout.not_read.append(Problem(layout.place(path), f"is a link to {kept}, which is read once"))
        else:
            once[real] = path
    for kind, count in sorted(beside.items()):
        layout.not_read.append(
            Problem(f"{layout.place(folder)}/", f"{_count(count, f'{kind} file')} beside the pictures")
        )
    yield from sorted(once.values())


def _walk(folder: Path, layout: Layout) -> Iterator[tuple[Path, bool]]:
    """Every file below a class folder, and whether a link leads to it; each folder once, linked ones last."""
    seen: set[tuple[int, int]] = set()
    above = {_identity(path) for path in Path(os.path.realpath(folder)).parents}
    waiting = [(folder, False)]
    while waiting:
        at, linked = waiting.pop(0)
        try:
            identity = _identity(at)
            entries = sorted(os.scandir(at), key=lambda entry: entry.name)
        except OSError as error:
            layout.problems.append(Problem(f"{layout.place(at)}/", f"cannot be read ({error.strerror})"))
            continue
        if identity in seen or identity in above:
            layout.not_read.append(Problem(f"{layout.place(at)}/", "is a link to a folder that is read already"))
            continue
        seen.add(identity)
        for entry in entries:
            path, through = at / entry.name, linked or entry.is_symlink()
            if not entry.is_dir():
                yield path, through
            elif is_by_tool(entry.name) or entry.name.lower() in _THUMBNAILS:
                layout.not_read.append(_by_tool(path, layout))
            elif through:
                waiting.append((path, True))
            else:
                waiting.insert(0, (path, False))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _quoted(names: list[str]) -> str:
    return " and ".join(f"`{name}`" for name in names[:3])

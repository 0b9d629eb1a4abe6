"""The training side of the road: a fresh clone of this checkout, its first model, and how often a package is right."""

import itertools
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from demo.road.people import Noise, people, picture
from demo.steps import run
from edge_contract.package import read_file
from edge_vision.classifier import Classifier
from edge_vision.faces import open_detector
from edge_vision.recognition import answer, find
from train.params import write_values

ROOT: Final = Path(__file__).resolve().parents[2]
_QUICK: Final = ROOT / "demo" / "params.yaml"
"""The demo's settings: a small network that learns drawings in half a minute."""
_SOURCE: Final = "synthetic:1260"
_EPOCHS: Final = 12
_EPOCHS_AGAIN: Final = 4
FIRST: Final = Path("build/packages/synthetic-1.ewm")
"""Where `make pipeline` puts the first package, in the checkout."""
_SHOWN: Final = 300
_PLACES: Final = frozenset({"dataset", "output", "folder", "experiment", "tracking_uri", "source"})


def clone(folder: Path) -> Path:
    """A fresh clone of this checkout's last commit, with this one's environments and the demo's settings."""
    run(["git", "clone", "--quiet", str(ROOT), str(folder)], folder.parent / "logs" / "clone.log")
    for environment in (".venv", ".venv-tflite"):
        if (ROOT / environment).exists():
            (folder / environment).symlink_to((ROOT / environment).resolve())
    for section, values in yaml.safe_load(_QUICK.read_text()).items():
        kept = {name: value for name, value in values.items() if name not in _PLACES}
        if kept:
            write_values(folder / "params.yaml", section, kept)
    write_values(folder / "params.yaml", "train", {"epochs": _EPOCHS})
    write_values(folder / "params.yaml", "retrain", {"champion": str(FIRST), "epochs": _EPOCHS_AGAIN})
    return folder


def first(checkout: Path) -> Path:
    """`make data` and `make pipeline`: the first package."""
    log = checkout.parent / "logs" / "clone.log"
    for arguments in (["data", f"SOURCE={_SOURCE}"], ["pipeline"]):
        run(["make", "-C", str(checkout), *arguments], log)
    return checkout / FIRST


def accuracy(package: Path, *, seed: int) -> float:
    """How often a model is right about people it never saw, in the new light, of those whose face is found."""
    read, detector = read_file(package), open_detector(None)
    classifier, noise = Classifier(read.model, read.manifest), Noise(seed)
    right = found = 0
    for person in itertools.islice(people(1000 + seed), _SHOWN):
        seen = picture(person, 0.5, "glare", noise)
        if boxes := find(seen, detector, read.manifest.crop):
            probabilities = answer(classifier, seen, boxes[0]).probabilities
            right += read.manifest.labels[int(np.argmax(probabilities))] == person.emotion
            found += 1
    return right / max(1, found)

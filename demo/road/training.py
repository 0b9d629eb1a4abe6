"""The training side of the road: a fresh clone of this checkout, its first model, and how often a package is right."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from demo.road.people import Noise, Picture, people, picture
from demo.steps import run
from edge_contract.package import ModelPackage, read_file
from edge_vision.classifier import Classifier
from edge_vision.faces import FaceDetector, open_detector
from edge_vision.recognition import answer, find
from train.params import write_values

ROOT: Final = Path(__file__).resolve().parents[2]
_QUICK: Final = ROOT / "demo" / "params.yaml"
"""The demo's settings: a small network that learns drawings in half a minute."""
_SOURCE: Final = "synthetic:1400"
_EPOCHS: Final = 14
_EPOCHS_AGAIN: Final = 4
FIRST: Final = Path("build/packages/synthetic-1.ewm")
"""Where `make pipeline` puts the first package, in the checkout."""
_SHOWN: Final = 210
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


def accuracies(packages: Sequence[Path], *, seed: int) -> list[float]:
    """How often each model is right about people it never saw, in the new light, of those whose face is found."""
    detector, noise = open_detector(None), Noise(seed)
    shown = [(person.emotion, picture(person, 0.5, "glare", noise)) for person in islice(people(1000 + seed), _SHOWN)]
    return [_accuracy(read_file(package), shown, detector) for package in packages]


def _accuracy(package: ModelPackage, shown: Sequence[tuple[str, Picture]], detector: FaceDetector) -> float:
    classifier, manifest = Classifier(package.model, package.manifest), package.manifest
    right = found = 0
    for emotion, seen in shown:
        if boxes := find(seen, detector, manifest.crop):
            probabilities = answer(classifier, seen, boxes[0]).probabilities
            right += manifest.labels[int(np.argmax(probabilities))] == emotion
            found += 1
    return right / max(1, found)

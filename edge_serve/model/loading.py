"""From a package to a model that answers: digest, goldens, one interpreter for each thread.

The goldens are first run in a child under limits (`edge_vision.confined_goldens`): a model that crashes the interpreter
ends that child and not the server. Then each interpreter that will answer is held against them too. Blocking: for a
thread beside the event loop.
"""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from edge_contract.errors import TrustError
from edge_contract.manifest import ModelManifest
from edge_contract.package import ModelPackage, write
from edge_serve.model.engine import Engine
from edge_vision import confined_goldens, goldens
from edge_vision.classifier import Classifier
from edge_vision.faces import FaceDetector

_WARM: Final = 3
_MEASURED: Final = 20  # invocations
_LEAST_S: Final = 1e-6  # of one: a coarse clock may say that they took no time


class Loaded(NamedTuple):
    """One model, ready. Requests keep the one they began with."""

    manifest: ModelManifest
    runtime: str
    here: Engine
    """The event loop's, without a detector."""
    threads: tuple[Engine, ...]
    """One for each thread beside it."""
    seconds: float
    """Of the processor, for one tensor, as measured here when it was loaded."""

    def engine(self, thread: int | None) -> Engine:
        """A thread's by its number, or the event loop's."""
        return self.here if thread is None else self.threads[thread]


def load(package: ModelPackage, detectors: Sequence[FaceDetector]) -> Loaded:
    """Check and load; `detectors`: one for each thread.

    Raises:
        TrustError: the digest is another one, or the model answers its goldens wrongly, crashes or does not end.
        UsageError: its tensors are not those of its manifest.
        EdgewiseError: no interpreter is installed.
    """
    manifest = package.manifest
    name = f"{manifest.name} {manifest.release}"
    confined = confined_goldens.check(write(package), name)
    if not confined.run or confined.failed:
        raise _wrong(name, confined.failed, confined.run)
    here, *others = (_interpreter(package, name) for _ in range(len(detectors) + 1))
    return Loaded(
        manifest,
        here.runtime,
        Engine(here, None),
        tuple(Engine(each, detector) for each, detector in zip(others, detectors, strict=True)),
        _seconds(here),
    )


def _interpreter(package: ModelPackage, name: str) -> Classifier:
    classifier = Classifier(package.model, package.manifest)
    report = goldens.check(classifier, package.manifest, goldens.WITH_DELEGATES)
    if not report.ok:
        raise _wrong(name, report.failed, report.run)
    return classifier


def _wrong(name: str, failed: int, run: int) -> TrustError:
    if not run:
        return TrustError(f"{name} carries no known answers: not served", remedy="package the model again")
    return TrustError(f"{name} answered {failed} of {run} known inputs wrongly here", remedy="do not serve it here")


def _seconds(classifier: Classifier) -> float:
    tensor = np.zeros(classifier.manifest.input.shape, np.uint8)
    for _ in range(_WARM):
        classifier.raw(tensor)
    began = time.thread_time()
    for _ in range(_MEASURED):
        classifier.raw(tensor)
    return max((time.thread_time() - began) / _MEASURED, _LEAST_S)

"""A bound on one picture's inference, for commands that run a model in their own process.

A model that answered its known inputs may still compute for ever on another picture, and nothing interrupts the C call
in which it does: the process ends, with a sentence. Not for the agent, whose watchdog and whose trial of a new release
know what a pipeline that hangs means.
"""

import threading
import time
from contextlib import AbstractContextManager
from typing import Any, Final

from edge_contract.command_end import end_process
from edge_contract.errors import EdgewiseError
from edge_vision.classifier import Classifier
from edge_vision.picture import Pixels

PATIENCE_S: Final = 60.0
"""Seconds for one answer; the slowest network on the slowest board takes one."""


class Patience(AbstractContextManager["Patience"]):
    """`with` it around every inference: costs next to nothing, and a thread that looks four times in `PATIENCE_S`."""

    def __init__(self, model: str, command: str = "") -> None:
        """`model` and `command` are named in the sentence."""
        self._model, self._command = model, command
        self._began: float | None = None
        threading.Thread(target=self._watch, name="patience", daemon=True).start()

    def __enter__(self) -> "Patience":
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._began = None

    def _watch(self) -> None:
        while True:
            time.sleep(PATIENCE_S / 4)
            began = self._began
            if began is not None and time.monotonic() - began > PATIENCE_S:
                end_process(
                    EdgewiseError(
                        f"{self._model} gave no answer to one picture within {PATIENCE_S:g} seconds",
                        remedy="do not run this model here",
                    ),
                    self._command,
                )


class BoundedClassifier(Classifier):
    """A classifier whose process ends when one picture takes it too long."""

    def __init__(self, *arguments: Any, command: str = "", **options: Any) -> None:
        """As `Classifier`; `command` is named in the sentence."""
        super().__init__(*arguments, **options)
        self._patience = Patience(f"{self.manifest.name} {self.manifest.release}", command)

    def raw(self, tensor: Pixels) -> Any:
        """As `Classifier.raw`."""
        with self._patience:
            return super().raw(tensor)

"""The evidence about a model on trial or in shadow: its own answers and failures, counted on the pipeline's thread.

Frames without a face, a camera that fails and a detector that raises are evidence of nothing: a trial in an empty scene
stays undecided, for as long as the scene is empty. Of a model in shadow the release side judges how often it fails;
here only one is given up that answers nothing.
"""

import threading
from typing import Final

from edge_contract.messages import ModelRef

ANSWERS: Final = 30
"""Faces that a new model must answer before it is committed: about a second of video with one face."""
FAILURES: Final = 3
"""Failures in a row that end a trial: one may be due to the moment, a machine short of memory for example."""
SHARE: Final = 10
"""One failure in so many answers that prove a model may be due to the moment. More end the trial as well, in a row or
not: a model may answer most pictures and some never."""
SHADOW_FAILURES: Final = 10
"""Failures in a row that end a shadow: the model does not answer here at all."""


class Probation:
    """One trial at a time; between trials nothing is counted."""

    def __init__(self, answers: int = ANSWERS, failures: int = FAILURES) -> None:
        """`answers` prove a model, `failures` in a row disprove it."""
        self._needed, self._allowed = answers, failures
        self._lock = threading.Lock()
        self._model: ModelRef | None = None
        self._answers = self._failures = self._failures_in_all = 0
        self._reason, self._shadow = "", False

    def begin(self, model: ModelRef, *, shadow: bool = False) -> None:
        """Start the trial of this model: what is said of another one, which still runs for a frame, does not count.

        `shadow`: it runs beside the one that answers.
        """
        with self._lock:
            self._model, self._reason, self._shadow = model, "", shadow
            self._answers = self._failures = self._failures_in_all = 0

    def end(self) -> None:
        """End the trial, decided or not."""
        self._model = None

    def answered(self, model: ModelRef) -> None:
        """The model answered one face; callable from any thread."""
        if self._model is not None:  # read without the lock: this is called for every face for ever
            with self._lock:
                if model == self._model:
                    self._answers, self._failures = self._answers + 1, 0

    def failed(self, model: ModelRef, reason: str) -> None:
        """The model gave no answer to one face; callable from any thread."""
        with self._lock:
            if self._model is not None and model == self._model:
                self._failures, self._reason = self._failures + 1, reason
                self._failures_in_all += 1

    def verdict(self) -> str | None:
        """Empty: proven. A sentence: disproved. None: undecided, or there is no trial."""
        with self._lock:
            if self._model is None:
                return None
            if self._failures >= (SHADOW_FAILURES if self._shadow else self._allowed):
                end = "rejected" if self._shadow else "rolled back"
                return f"the model failed on {self._failures} faces in a row ({self._reason}): {end}."
            if not self._shadow and self._failures_in_all > max(self._allowed, self._needed // SHARE):
                seen = self._answers + self._failures_in_all
                return f"the model failed on {self._failures_in_all} of {seen} faces ({self._reason}): rolled back."
            return "" if self._answers >= self._needed else None

    @property
    def notice(self) -> str:
        """What an undecided trial waits for; empty while there is no trial."""
        with self._lock:
            if self._model is None or self._shadow:
                return ""
            return f"on trial: {self._answers} of {self._needed} faces answered."

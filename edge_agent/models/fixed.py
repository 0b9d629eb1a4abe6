"""One package as the only model: for a device that trusts no release side."""

import time
from collections.abc import Callable
from pathlib import Path

from edge_agent.models.slots import ActiveModel
from edge_contract import package
from edge_contract.messages import ModelRef, Reported
from edge_contract.update_state import UpdateState


class FixedModel:
    """The factory package: it runs, and no release replaces it."""

    def __init__(
        self,
        path: Path,
        *,
        require: Callable[[ActiveModel], None],
        device: str,
        session: int,
        on_activate: Callable[[ActiveModel], None],
        report: Callable[[Reported], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read and verify the package; `require` raises where the model may not run.

        Raises:
            UsageError, TrustError: it is missing or damaged.
            EdgewiseError: as `require`.
        """
        found = package.read_file(path)
        self._active = ActiveModel(found.manifest, found.model, "factory")
        require(self._active)
        self._device, self._session, self._now = device, session, now
        self._on_activate, self._report = on_activate, report

    def start(self) -> None:
        """Activate the model and report it."""
        self._on_activate(self._active)
        self._report(
            Reported(
                device=self._device,
                session=self._session,
                active=self._active.manifest.ref,
                state=UpdateState.IDLE,
                time=self._now(),
            )
        )

    def stop(self) -> None:
        """Nothing is under way."""

    def active(self) -> ActiveModel | None:
        """The factory model."""
        return self._active

    def trusted_time(self) -> float:
        """The system's: nothing signed says more."""
        return self._now()

    @property
    def trust_expires(self) -> float | None:
        """None: nothing signed is held."""
        return None

    @property
    def trouble(self) -> str:
        """None: there is no thread."""
        return ""

    def answered(self, model: ModelRef) -> None:
        """There is no trial."""

    def model_failed(self, model: ModelRef, reason: str) -> None:
        """There is nothing to go back to."""

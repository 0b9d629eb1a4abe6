"""The factory model of an agent that trusts no release side: it runs, and nothing replaces it."""

from collections.abc import Callable
from pathlib import Path

from edge_agent.link import Link
from edge_agent.slots import ActiveModel
from edge_contract import package
from edge_contract.messages import Reported


class FixedModel:
    """Stands where `ModelUpdates` would."""

    def __init__(
        self,
        path: Path,
        *,
        device: str,
        session: int,
        on_activate: Callable[[ActiveModel], None],
        report: Callable[[Reported], None],
        now: Callable[[], float],
    ) -> None:
        """Read and verify the package.

        Raises:
            UsageError, TrustError: it is missing or damaged.
        """
        found = package.read_file(path)
        self._active = ActiveModel(found.manifest, found.model, "factory")
        self._device, self._session, self._now = device, session, now
        self._on_activate, self._report = on_activate, report

    def attach(self, control: Link) -> None:
        """Nobody is listened to."""

    def start(self) -> None:
        """Run the model and say so."""
        self._on_activate(self._active)
        self._report(
            Reported(
                device=self._device,
                session=self._session,
                active=self._active.manifest.ref,
                state="idle",
                time=self._now(),
            )
        )

    def stop(self) -> None:
        """Nothing is under way."""

    def active(self) -> ActiveModel | None:
        """The factory model."""
        return self._active

    def frame_ok(self) -> None:
        """There is no trial."""

    def frame_failed(self, reason: str) -> None:
        """There is nothing to go back to."""

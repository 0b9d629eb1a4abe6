"""Which model runs here: the update machinery's choice, or a fixed package where no release side is trusted."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge_agent.models.slots import ActiveModel
from edge_agent.mqtt.link import Link
from edge_agent.settings import Settings
from edge_agent.update.store import StateStore
from edge_agent.update.updater import ModelUpdates
from edge_agent.update.work import UpdateSettings
from edge_contract import package
from edge_contract.errors import UsageError
from edge_contract.messages import ModelRef, Reported
from edge_vision.classifier import runtime

Activate = Callable[[ActiveModel], None]
Report = Callable[[Reported], None]


class Models(Protocol):
    """What the agent asks of either."""

    def start(self) -> None:
        """Run what has to run, then go on in the background."""

    def stop(self) -> None:
        """End within seconds."""

    def active(self) -> ActiveModel | None:
        """The model that runs; None while there is none."""

    def answered(self, model: ModelRef) -> None:
        """The model answered one face."""

    def model_failed(self, model: ModelRef, reason: str) -> None:
        """The model gave no answer to one face."""


class FixedModel:
    """The factory package: it runs, and nothing replaces it."""

    def __init__(
        self,
        path: Path,
        *,
        device: str,
        session: int,
        on_activate: Activate,
        report: Report,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read and verify the package.

        Raises:
            UsageError, TrustError: it is missing or damaged.
        """
        found = package.read_file(path)
        self._active = ActiveModel(found.manifest, found.model, "factory")
        self._device, self._session, self._now = device, session, now
        self._on_activate, self._report = on_activate, report

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

    def answered(self, model: ModelRef) -> None:
        """There is no trial."""

    def model_failed(self, model: ModelRef, reason: str) -> None:
        """There is nothing to go back to."""


def open_models(
    settings: Settings, store: StateStore, session: int, control: Link, *, on_activate: Activate, report: Report
) -> ModelUpdates | FixedModel:
    """As the settings have it: releases of a trusted release side, or one package.

    `control`: the device's link, not started yet.

    Raises:
        UsageError: the settings name neither, or name something that cannot be read.
        EdgewiseError: the root metadata cannot be used.
    """
    device, model = settings.device, settings.model
    if model.trust_root is not None:
        try:
            root = model.trust_root.read_bytes()
        except OSError as error:
            raise UsageError(
                f"the root metadata {model.trust_root} cannot be read ({error.strerror}); copy the release side's "
                "fleet/root.json there."
            ) from error
        return ModelUpdates(
            device.state_dir,
            UpdateSettings(device=device.id, groups=device.groups, root=root, runtime=runtime(), factory=model.factory),
            store=store,
            session=session,
            link=control,
            on_activate=on_activate,
            report=report,
        )
    if model.factory is not None:
        return FixedModel(model.factory, device=device.id, session=session, on_activate=on_activate, report=report)
    raise UsageError(
        "the settings name no model: set model.trust_root (the release side's root metadata, from `edgewise keys "
        "init`) to take releases, or model.factory to run one package."
    )

"""Which model runs here: the update machinery's choice, or a fixed package where no release side is trusted."""

from collections.abc import Callable
from typing import Protocol

from edge_agent.models.fixed import FixedModel
from edge_agent.models.slots import ActiveModel
from edge_agent.mqtt.link import Link
from edge_agent.settings import Settings
from edge_agent.update.factory import require_tested
from edge_agent.update.installation import UpdateSettings
from edge_agent.update.store import StateStore
from edge_agent.update.updater import ModelUpdates
from edge_agent.update.work import Challenger
from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import UsageError
from edge_contract.messages import ModelRef, Reported
from edge_vision.classifier import runtime

Activate = Callable[[ActiveModel], None]
RunBeside = Callable[[Challenger | None], None]
Report = Callable[[Reported], None]


class Models(Protocol):
    """The models of a device, whichever way they come."""

    def start(self) -> None:
        """Run what has to run, then go on in the background."""

    def stop(self) -> None:
        """End within seconds."""

    def active(self) -> ActiveModel | None:
        """The model that runs; None while there is none."""

    def trusted_time(self) -> float:
        """Seconds since 1970, for expiries."""

    @property
    def trust_expires(self) -> float | None:
        """When the first of the signed lists held ends, seconds since 1970; None where none is held."""

    @property
    def trouble(self) -> str:
        """Why updates do not work any more; empty while they do."""

    def answered(self, model: ModelRef) -> None:
        """The model answered one face."""

    def model_failed(self, model: ModelRef, reason: str) -> None:
        """The model gave no answer to one face."""


def open_models(
    settings: Settings,
    store: StateStore,
    session: int,
    control: Link,
    *,
    on_activate: Activate,
    on_shadow: RunBeside,
    report: Report,
) -> ModelUpdates | FixedModel:
    """As the settings have it: releases of a trusted release side, or one package.

    `control`: the device's link, not started yet.

    Raises:
        UsageError: the settings name neither, or name something that cannot be read.
        EdgewiseError: the root metadata cannot be used, or the package does not pass its self-test.
    """
    device, model = settings.device, settings.model
    if model.trust_root is not None:
        try:
            root = read_file(model.trust_root, limits.METADATA_BYTES)
        except OSError as error:
            raise UsageError(
                f"the root metadata {model.trust_root} cannot be read ({error.strerror})",
                remedy="copy the release side's fleet/root.json there",
            ) from error
        return ModelUpdates(
            device.state_dir,
            UpdateSettings(
                device=device.id,
                groups=device.groups,
                root=root,
                runtime=runtime(),
                factory=model.factory,
                window=settings.update.window,
            ),
            store=store,
            session=session,
            link=control,
            on_activate=on_activate,
            on_shadow=on_shadow,
            report=report,
        )
    if model.factory is not None:
        return FixedModel(
            model.factory,
            require=lambda factory: require_tested(factory, store, runtime()),
            device=device.id,
            session=session,
            on_activate=on_activate,
            report=report,
        )
    raise UsageError(
        "the settings name no model",
        remedy="set model.trust_root (the release side's root metadata, from `edgewise keys init`) to take releases, "
        "or model.factory to run one package",
    )

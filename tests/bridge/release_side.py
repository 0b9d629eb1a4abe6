"""What the release side publishes for people, as the bridge's tests need it."""

from typing import Any

from edge_contract.group_status import GroupStatus
from edge_contract.manifest import FaceCrop, ImageInput, ModelManifest, Output
from edge_contract.messages import ModelRef
from edge_contract.release_card import ReleaseCard
from tests.bridge.publisher import LABELS, MODEL


def card(model: ModelRef = MODEL, *, time: float = 1.0, withdrawn: bool = False, **changed: Any) -> ReleaseCard:
    """A release's card."""
    fields: dict[str, Any] = {
        "name": model.name,
        "release": model.release,
        "digest": model.digest,
        "size": 1000,
        "labels": LABELS,
        "input": ImageInput(height=48, width=48, color="gray"),
        "crop": FaceCrop(),
        "output": Output(dtype="uint8", scale=1 / 256),
        "quantization": "int8",
    }
    return ReleaseCard(manifest=ModelManifest(**{**fields, **changed}), withdrawn=withdrawn, time=time)


def status(group: str = "shops", desired: ModelRef | None = MODEL, **changed: Any) -> GroupStatus:
    """How a group stands, without a rollout."""
    return GroupStatus(group=group, desired=desired, time=1.0, **changed)

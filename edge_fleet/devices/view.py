"""What the devices of a fleet report, folded into one view. Pure: messages in, a view out.

All of it is a device's own report, unsigned: good for a table and for waiting, never for a decision about what may run.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from msgspec import Struct

from edge_contract import shared_id, topics
from edge_contract.errors import MessageError
from edge_contract.messages import Availability, Info, ModelRef, Reported, decode
from edge_contract.scope import Scope
from edge_contract.update_state import ENDED, UpdateState

Outcome = Literal["pending", "done", "refused"]


@dataclass(frozen=True, slots=True)
class Device:
    """One device; a part that it has not reported yet is None."""

    id: str
    availability: Availability | None = None
    info: Info | None = None
    reported: Reported | None = None

    @property
    def online(self) -> bool:
        """Connected as far as the broker knows."""
        return self.availability is not None and self.availability.state == "online"

    def shares_id(self, now: float) -> bool:
        """Whether another device most likely has this id, by its own word; `now`: seconds since 1970."""
        return self.availability is not None and shared_id.holds(self.availability.taken_over, now)

    def outcome(self, model: ModelRef, revision: int) -> Outcome:
        """How far the device has come with a desired state: it runs the model, refused it, or neither yet."""
        reported = self.reported
        if reported is None or reported.revision < revision or reported.state not in ENDED:
            return "pending"
        runs = reported.active == model
        return "done" if runs and reported.state is UpdateState.COMMITTED else "refused"


@dataclass(slots=True)
class Fleet:
    """All devices that reported, and the reason of each malformed message by topic."""

    devices: dict[str, Device] = field(default_factory=dict)
    malformed: dict[str, str] = field(default_factory=dict)

    def apply(self, topic: str, payload: bytes) -> Device | None:
        """Apply one message; the device as it is now, or None for a message that is about none or is malformed."""
        match topics.parse(topic):
            case topics.DeviceTopic(device=id_, leaf="availability"):
                return self._update(id_, "availability", Availability, payload, topic)
            case topics.DeviceTopic(device=id_, leaf="info"):
                return self._update(id_, "info", Info, payload, topic)
            case topics.DeviceTopic(device=id_, leaf="reported"):
                return self._update(id_, "reported", Reported, payload, topic)
            case _:
                return None

    def in_scope(self, scope: Scope) -> list[Device]:
        """The devices that a desired state of this scope is for."""
        name, known = scope.name, self.devices.values()
        if scope.kind == "device":
            return [device for device in known if device.id == name]
        return [device for device in known if device.info is not None and name in device.info.groups]

    def _update(self, id_: str, part: str, kind: type[Struct], payload: bytes, topic: str) -> Device | None:
        device = self.devices.get(id_, Device(id_))
        try:
            received = decode(payload, kind) if payload else None
        except MessageError as error:
            self.malformed[topic] = str(error)
            return None
        # An older session's last will can arrive after the new session's message.
        held: Struct | None = getattr(device, part)
        if received is not None and held is not None and getattr(received, "session") < getattr(held, "session"):  # noqa: B009
            return None
        self.devices[id_] = device = replace(device, **{part: received})  # type: ignore[arg-type]  # each part its kind
        return device

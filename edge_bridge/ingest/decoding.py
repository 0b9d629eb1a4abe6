"""From the bytes of one arrival to a message of the contract, or to the reason why it is refused. Pure."""

import logging
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from edge_bridge.fleet.state import DeviceMessage
from edge_contract import limits, topics
from edge_contract.errors import MessageError
from edge_contract.group_status import GroupStatus
from edge_contract.loop_status import LoopStatus
from edge_contract.messages import Availability, Count, Info, Key, Message, Prediction, Reported, Telemetry, decode
from edge_contract.release_card import ReleaseCard

KINDS: Final[dict[str, type[DeviceMessage]]] = {
    "availability": Availability,
    "info": Info,
    "reported": Reported,
    "telemetry": Telemetry,
    "prediction": Prediction,
}
"""What the bridge reads, by the topic's leaf."""
RETAINED: Final = (Availability, Info, Reported)
"""What the broker holds, and what an empty message clears there."""
FILTERS: Final = (
    *(topics.all_devices(leaf) for leaf in ("availability", "info", "reported", "telemetry", "prediction")),
    f"{topics.PREFIX}/group/+/status",
    f"{topics.PREFIX}/release/+",
    f"{topics.PREFIX}/loop/+/status",
)
"""What the bridge subscribes to."""

Refusal = Literal[
    "topic", "empty", "size", "malformed", "order", "device-mismatch", "device-limit", "shape",
    "name-mismatch", "group-limit", "card-limit", "loop-limit",
]  # fmt: skip
"""Label values of a metric."""

_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a message lies in its device's spool."""

    key: Key
    oldest: Key
    """The oldest message that the device still held."""


T = TypeVar("T", bound=Message)


class _Keyed(msgspec.Struct):
    session: Count
    sequence: Count
    oldest: Key


def read(device: str, kind: type[DeviceMessage], payload: bytes) -> DeviceMessage | Refusal:
    """The message that a device sent on the topic of this kind."""
    message: DeviceMessage | Literal["size", "malformed"] = _read(device, payload, kind)
    if isinstance(message, str):
        return message
    if getattr(message, "device", device) != device:
        return "device-mismatch"
    if isinstance(message, Prediction) and "\0" in message.label:  # PostgreSQL's text cannot hold it
        return "malformed"
    if isinstance(message, Prediction | Telemetry) and not _ordered(message.sequence, message.oldest):
        return "order"
    return message


def read_group(group: str, payload: bytes) -> GroupStatus | Refusal:
    """How the group that the topic names stands."""
    found = _read(group, payload, GroupStatus)
    return "name-mismatch" if isinstance(found, GroupStatus) and found.group != group else found


def read_loop(model: str, payload: bytes) -> LoopStatus | Refusal:
    """How the loop of the model stands that the topic names."""
    found = _read(model, payload, LoopStatus)
    return "name-mismatch" if isinstance(found, LoopStatus) and found.model != model else found


def read_card(digest: str, payload: bytes) -> ReleaseCard | Refusal:
    """What the release is whose digest the topic names."""
    found = _read(digest, payload, ReleaseCard)
    return "name-mismatch" if isinstance(found, ReleaseCard) and found.manifest.digest != digest else found


def place_of(message: Telemetry | Prediction) -> Place:
    """Where it lies in the spool."""
    return Place((message.session, message.sequence), message.oldest)


def place_in(payload: bytes) -> Place | None:
    """The place of a message that is refused; None where it cannot be read."""
    try:
        keyed = msgspec.json.decode(payload, type=_Keyed)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if keyed.sequence == 0:
        return None
    # An `oldest` that cannot be says nothing of what was before: then only this one message is passed over.
    oldest = keyed.oldest if _ordered(keyed.sequence, keyed.oldest) else (0, 0)
    return Place((keyed.session, keyed.sequence), oldest)


def _read(name: str, payload: bytes, kind: type[T]) -> T | Literal["size", "malformed"]:
    if len(payload) > limits.MESSAGE_BYTES:
        return "size"
    try:
        return decode(payload, kind)
    except MessageError as error:
        _log.debug("%s: %s", name, error)
        return "malformed"


def _ordered(sequence: int, oldest: Key) -> bool:
    """Whether a spool can hold both: sequences begin at 1 and grow, over all sessions."""
    return 1 <= oldest[1] <= sequence

"""From the bytes of one arrival to a message of the contract, or to the reason why it is refused. Pure."""

import logging
from typing import Final, Literal, NamedTuple

import msgspec

from edge_bridge.fleet.state import DeviceMessage
from edge_contract import limits, topics
from edge_contract.errors import MessageError
from edge_contract.messages import Availability, Count, Info, Key, Prediction, Reported, Telemetry, decode

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
FILTERS: Final = tuple(
    topics.all_devices(leaf) for leaf in ("availability", "info", "reported", "telemetry", "prediction")
)
"""What the bridge subscribes to."""

Refusal = Literal["topic", "empty", "size", "malformed", "order", "device-mismatch", "device-limit", "shape"]
"""Label values of a metric."""

_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a message lies in its device's spool."""

    key: Key
    oldest: Key
    """The oldest message that the device still held."""


class _Keyed(msgspec.Struct):
    session: Count
    sequence: Count
    oldest: Key


def read(device: str, kind: type[DeviceMessage], payload: bytes) -> DeviceMessage | Refusal:
    """The message that a device sent on the topic of this kind."""
    if len(payload) > limits.MESSAGE_BYTES:
        return "size"
    try:
        message: DeviceMessage = decode(payload, kind)
    except MessageError as error:
        _log.debug("%s: %s", device, error)
        return "malformed"
    if getattr(message, "device", device) != device:
        return "device-mismatch"
    if isinstance(message, Prediction) and "\0" in message.label:  # PostgreSQL's text cannot hold it
        return "malformed"
    if isinstance(message, Prediction | Telemetry) and not _ordered(message.sequence, message.oldest):
        return "order"
    return message


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


def _ordered(sequence: int, oldest: Key) -> bool:
    """Whether a spool can hold both: sequences begin at 1 and grow, over all sessions."""
    return 1 <= oldest[1] <= sequence

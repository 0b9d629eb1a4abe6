"""What a broker says of itself when it admits a client: the properties of its CONNACK, once for every role."""

from typing import NamedTuple

from edge_mqtt import reasons
from edge_mqtt.reasons import Reason


class Granted(NamedTuple):
    """Limits of one connection; a property that the broker left out has MQTT's own value."""

    largest_packet: int | None
    """Bytes; None for as large as MQTT has them."""
    in_flight: int
    """Unacknowledged messages that it takes at once. paho does not look: one more ends the connection (0x93), and all
    of it is sent again on the next."""
    session_expiry_s: int | None
    """For how long it keeps the session of a client that is gone; None for as long as was asked for."""
    lacking: Reason | None
    """What Edgewise needs and this broker does not have."""

    @classmethod
    def of(cls, properties: object) -> "Granted":
        """`properties`: paho's, or None where there were none."""
        return cls(
            largest_packet=getattr(properties, "MaximumPacketSize", None),
            in_flight=getattr(properties, "ReceiveMaximum", 65535),
            session_expiry_s=getattr(properties, "SessionExpiryInterval", None),
            lacking=reasons.lacking(
                retain_available=getattr(properties, "RetainAvailable", 1),
                maximum_qos=getattr(properties, "MaximumQoS", 2),
            ),
        )

    def shorter_session(self, asked: int) -> Reason | None:
        """What there is to say where the broker forgets this client sooner than after the seconds it asked for."""
        if self.session_expiry_s is None or self.session_expiry_s >= asked:
            return None
        return Reason(
            f"keeps what waits for this client for {self.session_expiry_s} s after it is gone, and not for {asked} s",
            "raise the longest session expiry there, or do not be away for longer",
        )

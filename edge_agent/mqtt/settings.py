"""`[broker]` and `[home_assistant]`: the broker, this device's session there, and discovery through it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_mqtt.address import BrokerAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings(BrokerAddress):
    """`[broker]`: the broker's address, and how long it waits for this device."""

    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    """The broker calls the device offline after one and a half of these."""
    session_expiry_s: Annotated[int, Meta(ge=0, le=2**32 - 2)] = 7 * 86400
    """For how long the broker keeps commands for a device that is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantSettings:
    """`[home_assistant]`: discovery by Home Assistant through the same broker."""

    enabled: bool = False
    prefix: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", description="1 to 64 letters, digits, hyphens and underscores"),
    ] = "homeassistant"
    """Home Assistant's own discovery prefix."""

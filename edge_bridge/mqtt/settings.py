"""The broker's address, and the bridge's session there."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from edge_contract.setting_types import Id
from edge_mqtt.address import BrokerAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings(BrokerAddress):
    """`[broker]`: the broker's address, which may also stand there as `url`, and the bridge's session."""

    client_id: Id = "edgewise-bridge"
    """The broker keeps what this id has not fetched yet; two bridges need two ids."""
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    session_expiry_s: Annotated[int, Meta(ge=0, le=2**32 - 2)] = 7 * 86400
    """For how long the broker keeps messages for a bridge that is away; devices keep theirs until acknowledged."""

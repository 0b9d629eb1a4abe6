"""A paho client as the link needs it: limits, account, TLS and will, before any connection."""

from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.mqtt.settings import BrokerSettings
from edge_mqtt.any_descriptor import SelectByPoll
from edge_mqtt.tls import tls_context

CONNECT_S: Final = 10.0
"""From the start of an attempt to the broker's CONNACK."""
IN_FLIGHT: Final = 16
"""Unacknowledged messages on the wire, where the broker takes as many."""
OUTBOX: Final = 256
"""Unacknowledged messages in all; the link's `publish` says False past it."""


def make_client(settings: BrokerSettings, client_id: str, will: tuple[str, bytes] | None) -> mqtt.Client:
    """`will`: topic and payload that the broker retains when the connection breaks.

    Raises:
        UsageError: a certificate or key file of the settings cannot be used.
    """
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
    )
    setattr(mqtt, "select", SelectByPoll)  # noqa: B010  # no typed way in
    client.max_inflight_messages_set(IN_FLIGHT)
    client.max_queued_messages_set(OUTBOX)
    client.connect_timeout = CONNECT_S
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    if settings.tls:
        client.tls_set_context(tls_context(settings))
    if will is not None:
        client.will_set(will[0], will[1], qos=1, retain=True)
    return client

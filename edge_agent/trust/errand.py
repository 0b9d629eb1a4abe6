"""Fetching through the device's one connection: short-lived subscriptions that no broker queues anything for.

A device has one connection. Where the broker takes client ids from certificates (it should: otherwise one device can
take another's id), a second connection of the same device would throw out the first. But a durable session must not
subscribe to megabytes with QoS 1, for the broker would queue them while the device is away. With QoS 0 it queues
nothing: what is lost on the way is found missing by its digest and asked for again.
"""

from collections.abc import Callable
from typing import Literal, Protocol

from edge_agent.mqtt.link import Link

Handler = Callable[[str, bytes], None]


class Connection(Protocol):
    """What fetching needs of a way to the broker."""

    def start(self) -> None:
        """Begin to deliver."""

    def stop(self) -> None:
        """Deliver nothing any more."""

    def publish(self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False) -> bool:
        """As `Link.publish`."""

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """As `Link.subscribe`."""

    def unsubscribe(self, topic_filter: str) -> None:
        """As `Link.unsubscribe`."""


class Errand:
    """A `Connection` that borrows a link; `stop` takes back what it subscribed to and leaves the link alone."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._filters: set[str] = set()

    def start(self) -> None:
        """The link is started by whoever owns it."""

    def stop(self) -> None:
        """Unsubscribe from everything."""
        for topic_filter in tuple(self._filters):
            self.unsubscribe(topic_filter)

    def publish(self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False) -> bool:
        """As `Link.publish`."""
        return self._link.publish(topic, payload, qos=qos, retain=retain)

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """As `Link.subscribe`, with QoS 0."""
        self._filters.add(topic_filter)
        self._link.subscribe(topic_filter, handler, qos=0)

    def unsubscribe(self, topic_filter: str) -> None:
        """As `Link.unsubscribe`."""
        self._filters.discard(topic_filter)
        self._link.unsubscribe(topic_filter)

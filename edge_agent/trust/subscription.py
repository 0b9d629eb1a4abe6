"""What is fetched through the device's one connection: metadata and chunks, subscribed to only while they are needed.

A device has one connection. Where the broker takes client ids from certificates (it should: otherwise one device can
take another's id), a second connection of the same device would end the first. But a durable session must not
subscribe to megabytes with QoS 1, for the broker would queue them while the device is away. With QoS 0 it queues
nothing: what is lost on the way is found missing by its digest and asked for again.
"""

from typing import Final

from edge_agent.mqtt.link import Link
from edge_agent.mqtt.subscriptions import Handler
from edge_agent.trust.retained_metadata import FILTER, RetainedFiles

IDLE_S: Final = 10.0
"""Metadata that was not asked for during so long is not subscribed to any more; the next retry often comes sooner."""


class Subscription:
    """Subscriptions of QoS 0 on a link that is another's to start and stop; used by one thread."""

    def __init__(self, link: Link, receive: Handler) -> None:
        """`receive(topic, payload)` gets every message, on the link's thread."""
        self._link, self._receive = link, receive
        self._filters: set[str] = set()
        self._files: RetainedFiles | None = None
        self._used = 0.0

    def subscribe(self, topic_filter: str) -> None:
        """Have what matches delivered, retained messages first."""
        self._filters.add(topic_filter)
        self._link.subscribe(topic_filter, self._receive, qos=0)

    def unsubscribe(self, topic_filter: str) -> None:
        """Undo `subscribe`."""
        self._filters.discard(topic_filter)
        self._link.unsubscribe(topic_filter)

    def publish(self, topic: str, payload: bytes) -> bool:
        """As `Link.publish`, retained."""
        return self._link.publish(topic, payload, retain=True)

    def metadata(self, now: float) -> RetainedFiles:
        """The metadata that the broker has handed out so far, subscribed to now if it was not. `now`: monotonic s."""
        self._used = now
        return self._subscribe_to_metadata() if self._files is None else self._files

    def renew_metadata(self) -> None:
        """Have the broker hand out the metadata anew: at QoS 0 a file may have been lost on the way."""
        if self._files is not None:
            self.unsubscribe(FILTER)
            self._subscribe_to_metadata()

    def close_when_idle(self, now: float) -> None:
        """Unsubscribe from metadata that was not asked for during `IDLE_S`."""
        if self._files is not None and now - self._used > IDLE_S:
            self._files = None
            self.unsubscribe(FILTER)

    def close(self) -> None:
        """Unsubscribe from everything."""
        self._files = None
        for topic_filter in tuple(self._filters):
            self.unsubscribe(topic_filter)

    def _subscribe_to_metadata(self) -> RetainedFiles:
        files = self._files = RetainedFiles()

        def received(topic: str, payload: bytes) -> None:
            files.receive(topic, payload)
            self._receive(topic, payload)

        self._filters.add(FILTER)
        self._link.subscribe(FILTER, received, qos=0)
        return files

"""What a link subscribes to: asked for on every connect, its answers matched to filters, its messages to handlers.

Handlers are added and removed from any thread; the lock keeps a request in step with the connection it is made on.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final, Literal

import paho.mqtt.client as mqtt

Handler = Callable[[str, bytes], None]

NOTHING: Final = 0
"""In the place of a request's number: there is nothing to ask for."""
_log = logging.getLogger(__name__)


class Subscriptions:
    """The subscriptions of one client."""

    def __init__(self, client: mqtt.Client) -> None:
        """`client`: whose connection comes and goes."""
        self._client = client
        self._handlers: dict[str, tuple[Handler, Literal[0, 1]]] = {}
        self._lock = threading.Lock()
        self._asked: dict[int, list[str]] = {}  # by request
        self.standing = False
        """Whether one made now is asked for now; otherwise on the next connect."""

    def add(self, topic_filter: str, handler: Handler, qos: Literal[0, 1]) -> None:
        """Call `handler(topic, payload)` for what matches."""
        with self._lock:
            self._handlers[topic_filter] = (handler, qos)
            if self.standing:
                self._ask([(topic_filter, qos)])

    def remove(self, topic_filter: str) -> None:
        """Undo `add`."""
        with self._lock:
            if self._handlers.pop(topic_filter, None) and self.standing:
                self._client.unsubscribe(topic_filter)

    def ask_for_all(self) -> int | None:
        """On a new connection: the number of the request, `NOTHING`, or None when the connection was lost meanwhile."""
        with self._lock:
            self.standing, self._asked = True, {}
            filters: list[tuple[str, int]] = [(topic, qos) for topic, (_, qos) in self._handlers.items()]
            return self._ask(filters) if filters else NOTHING

    def asked(self, request: int) -> list[str]:
        """The filters that the request of this number was for; its answer came."""
        return self._asked.pop(request, [])

    def dispatch(self, topic: str, payload: bytes) -> None:
        """Hand a message to every handler whose filter matches."""
        with self._lock:
            handlers = [h for f, (h, _) in self._handlers.items() if f == topic or _matches(f, topic)]
        for handler in handlers:
            guarded(handler, topic, payload)

    def _ask(self, filters: list[tuple[str, int]]) -> int | None:
        """A request's number, or None when the connection was lost meanwhile. The lock is held."""
        number = self._client.subscribe(filters)[1]
        if number is not None:
            self._asked[number] = [topic for topic, _ in filters]
        return number


def _matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter with a wildcard covers the topic; paho builds a tree for each question."""
    return ("+" in topic_filter or "#" in topic_filter) and mqtt.topic_matches_sub(topic_filter, topic)


def guarded(function: Callable[..., None], *arguments: str | bytes) -> None:
    """Run a handler; its error is logged, because one bad message must not end the link."""
    try:
        function(*arguments)
    except Exception:  # noqa: BLE001  # whatever it is
        _log.exception("a handler failed on %s", arguments[0] if arguments else "connecting")

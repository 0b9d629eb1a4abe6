"""What devices say, on its way from the link's thread to the controller's: bounded, whatever they send.

Of what is retained only the newest counts, so it is kept by topic. Of telemetry the oldest goes where too much waits:
it is cumulative, so a window that is lost bends nothing.
"""

import threading
from collections import deque
from typing import Final

from edge_contract import limits, topics
from edge_fleet.link import Arrived, Link

LEAVES: Final[tuple[topics.DeviceLeaf, ...]] = ("availability", "info", "reported", "telemetry")
_WINDOWS: Final = 20_000
"""Windows of telemetry that wait; a thousand devices send that many in three minutes."""
_TOPICS: Final = 300_000
"""Retained topics that wait: those of a hundred thousand devices."""


class Intake:
    """A queue with one reader."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._retained: dict[str, bytes] = {}
        self._telemetry = deque[Arrived](maxlen=_WINDOWS)

    def subscribe(self, link: Link) -> None:
        """Take in what every device says.

        Raises:
            EdgewiseError: the broker does not answer, or refuses.
        """
        for leaf in LEAVES:
            link.subscribe(topics.all_devices(leaf), self.put)

    def put(self, arrived: Arrived) -> None:
        """Keep one message; one that is too large, or for which there is no room, is dropped."""
        if len(arrived.payload) > limits.MESSAGE_BYTES:
            return
        with self._news:
            if arrived.topic.endswith("/telemetry"):
                self._telemetry.append(arrived)
            elif arrived.topic in self._retained or len(self._retained) < _TOPICS:
                self._retained[arrived.topic] = arrived.payload
            self._news.notify()

    def take(self) -> list[Arrived]:
        """All that waits: first what is retained, then telemetry in order."""
        with self._news:
            taken = [Arrived(topic, payload) for topic, payload in self._retained.items()]
            taken += self._telemetry
            self._retained.clear()
            self._telemetry.clear()
        return taken

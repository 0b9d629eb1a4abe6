"""What is true of this device now, as retained messages: availability, inventory, reported state, discovery.

Level-triggered: all of it is published again on every connect, so a broker that lost everything heals by itself. The
last will carries the session number, so an old connection's will cannot hide a newer session.
"""

import threading
from collections.abc import Mapping
from typing import Literal

from edge_agent.mqtt.link import Link
from edge_contract import topics
from edge_contract.messages import Availability, Info, Reported, encode


def availability(
    device: str, state: Literal["online", "offline", "stopped"], session: int, taken_over: float = 0.0
) -> tuple[str, bytes]:
    """Topic and payload; `offline` is what the last will says. `taken_over` as the link knows it."""
    message = Availability(state=state, session=session, taken_over=taken_over)
    return topics.device(device, "availability"), encode(message)


class Presence:
    """The retained messages of one session."""

    def __init__(self, link: Link, info: Info, further: Mapping[str, bytes]) -> None:
        """`further`: more retained messages by topic, such as Home Assistant's discovery."""
        self._link, self._info, self._further = link, info, dict(further)
        self._reported: Reported | None = None
        self._lock = threading.Lock()  # so that an older report never follows a newer one
        self._stopped = False

    def publish_all(self) -> None:
        """On every connect."""
        with self._lock:
            if self._stopped:
                return
            taken_over = self._link.taken_over
            self._publish(*availability(self._info.device, "online", self._info.session, taken_over))
            self._publish(topics.device(self._info.device, "info"), encode(self._info))
            for topic, payload in self._further.items():
                self._publish(topic, payload)
            self._publish_reported()

    def report(self, reported: Reported) -> None:
        """The update's state changed; what cannot be published now is on the next connect."""
        with self._lock:
            self._reported = reported
            self._publish_reported()

    def _publish_reported(self) -> None:
        if self._reported is not None:
            self._publish(topics.device(self._info.device, "reported"), encode(self._reported))

    def publish_stopped(self) -> None:
        """The end of a session that was stopped on purpose."""
        with self._lock:
            self._stopped = True
            self._publish(*availability(self._info.device, "stopped", self._info.session))

    def _publish(self, topic: str, payload: bytes) -> None:
        self._link.publish(topic, payload, retain=True)

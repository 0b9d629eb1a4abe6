"""Subscriptions to what is fetched, only while there is something to fetch.

Metadata and chunks are never subscribed to in a way that lets a broker queue megabytes of them for a device that is
away. A visit subscribes to the metadata at once, and ends when nobody used it for a while.
"""

from collections.abc import Callable
from typing import Final

from edge_agent.trust.errand import Connection
from edge_agent.trust.retained_metadata import FILTER, RetainedFiles

IDLE_S: Final = 10.0
"""A visit without use ends after this; the next chunk or retry often comes sooner."""


class Visit:
    """Opened by use, closed by `close_when_idle`."""

    def __init__(self, open_link: Callable[[], Connection], heard: Callable[[str, bytes], None]) -> None:
        """`open_link` makes an `Errand`, or a link with a clean session, not yet started.

        `heard` gets every metadata message.
        """
        self._open_link, self._heard = open_link, heard
        self._current: tuple[Connection, RetainedFiles] | None = None
        self._used = 0.0

    def link(self, now: float) -> Connection:
        """The connection, opened if it is not."""
        return self._open(now)[0]

    def files(self, now: float) -> RetainedFiles:
        """What its metadata subscription delivers."""
        return self._open(now)[1]

    def ask_again(self) -> None:
        """Have the broker hand out the metadata anew: at QoS 0 a file may have been lost on the way."""
        if self._current is not None:
            link = self._current[0]
            link.unsubscribe(FILTER)
            self._current = (link, self._subscribe(link))

    def close_when_idle(self, now: float, *, busy: bool) -> None:
        """End it when it was not used for `IDLE_S`."""
        if busy:
            self._used = now
        elif self._current is not None and now - self._used > IDLE_S:
            self.close()

    def close(self) -> None:
        """End it now."""
        if self._current is not None:
            link = self._current[0]
            self._current = None
            link.stop()

    def _open(self, now: float) -> tuple[Connection, RetainedFiles]:
        self._used = now
        if self._current is None:
            link = self._open_link()
            self._current = (link, self._subscribe(link))
            link.start()
        return self._current

    def _subscribe(self, link: Connection) -> RetainedFiles:
        files = RetainedFiles()

        def received(topic: str, payload: bytes) -> None:
            files.receive(topic, payload)
            self._heard(topic, payload)

        link.subscribe(FILTER, received)
        return files

"""Subscriptions to what is fetched, only while there is something to fetch.

Metadata and chunks are never subscribed to in a way that lets a broker queue megabytes of them for a device that is
away. A visit subscribes to the metadata at once, and ends when nobody used it for a while.
"""

from collections.abc import Callable
from typing import Final

from edge_agent.errand import Connection
from edge_agent.metadata import FILTER, RetainedFetcher

IDLE_S: Final = 10.0
"""A visit without use ends after this; the next chunk or retry often comes sooner."""


class Visit:
    """Opened by use, closed by `close_when_idle`."""

    def __init__(self, open_link: Callable[[], Connection], heard: Callable[[str, bytes], None]) -> None:
        """`open_link` makes an `Errand`, or a link with a clean session, not yet started.

        `heard` gets every metadata message.
        """
        self._open_link, self._heard = open_link, heard
        self._current: tuple[Connection, RetainedFetcher] | None = None
        self._used = 0.0

    def link(self, now: float) -> Connection:
        """The connection, opened if it is not."""
        return self._open(now)[0]

    def fetcher(self, now: float) -> RetainedFetcher:
        """What its metadata subscription delivers."""
        return self._open(now)[1]

    def abort(self) -> None:
        """Let a refresh that waits give up; from any thread."""
        if self._current is not None:
            self._current[1].close()

    def close_when_idle(self, now: float, *, busy: bool) -> None:
        """End it when it was not used for `IDLE_S`."""
        if busy:
            self._used = now
        elif self._current is not None and now - self._used > IDLE_S:
            self.close()

    def close(self) -> None:
        """End it now."""
        if self._current is not None:
            link, fetcher = self._current
            self._current = None
            fetcher.close()
            link.stop()

    def _open(self, now: float) -> tuple[Connection, RetainedFetcher]:
        self._used = now
        if self._current is None:
            link, fetcher = self._open_link(), RetainedFetcher()

            def received(topic: str, payload: bytes) -> None:
                fetcher.receive(topic, payload)
                self._heard(topic, payload)

            link.subscribe(FILTER, received)
            self._current = (link, fetcher)
            link.start()
        return self._current

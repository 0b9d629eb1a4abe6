"""What the broker refused to take: by topic, logged once each, until it takes one again.

A client's library gives a message its number only when it has been handed over, and the answer may be there first, on
another thread: answers without a topic wait for theirs.
"""

import logging
import threading
from typing import Final

from edge_mqtt import reasons

_TOPICS: Final = 64
"""Refused topics remembered; a device publishes to a dozen."""
_WAITING: Final = 1024
"""Messages or answers without the other half; more are only there when a connection broke, and are forgotten."""
_log = logging.getLogger(__name__)


class Refusals:
    """Answers to one client's messages; callable from any thread."""

    def __init__(self, identity: str) -> None:
        """`identity`: as whom the broker knows this client, for texts."""
        self._identity = identity
        self._lock = threading.Lock()
        self._topics: dict[int, str] = {}
        self._answers: dict[int, int] = {}
        self._refused: dict[str, reasons.Reason] = {}

    def sent(self, number: int, topic: str) -> None:
        """A message was handed over under this number."""
        with self._lock:
            code = self._answers.pop(number, None)
            if code is None:
                if len(self._topics) >= _WAITING:
                    self._topics.clear()
                self._topics[number] = topic
        if code is not None:
            self._judge(topic, code)

    def answered(self, number: int, code: int) -> None:
        """The broker's answer to the message of this number."""
        with self._lock:
            topic = self._topics.pop(number, None)
            if topic is None:
                if len(self._answers) >= _WAITING:
                    self._answers.clear()
                self._answers[number] = code
        if topic is not None:
            self._judge(topic, code)

    def subscribed(self, filters: list[str], codes: list[int]) -> None:
        """The broker's answer to a request for subscriptions: one code each, unless it chose to send others."""
        for topic_filter, code in zip(filters, codes, strict=False):
            self._judge(topic_filter, code)

    def forget(self) -> None:
        """A connection ended whose numbers mean nothing to the next one; what was refused stays so until it is not."""
        with self._lock:
            self._topics.clear()
            self._answers.clear()

    def __str__(self) -> str:
        """One sentence; empty when nothing is refused."""
        with self._lock:
            refused = dict(self._refused)
        if not refused:
            return ""
        first, *others = refused
        more = f" and {len(others)} more topics" if others else ""
        return f"the broker refuses {first}{more} to {self._identity}: it {refused[first]}"

    def _judge(self, topic: str, code: int) -> None:
        with self._lock:
            if code < reasons.FAILURE:
                self._refused.pop(topic, None)
                return
            known = topic in self._refused or len(self._refused) >= _TOPICS
            if not known:
                self._refused[topic] = reasons.reason(code)
        if not known:
            _log.warning("the broker refuses %s to %s: it %s", topic, self._identity, reasons.reason(code))

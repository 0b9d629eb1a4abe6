"""The door for Alertmanager's webhooks: a POST with the token, of which alerts are kept before it is answered.

A token is held against the loop's own in constant time, before the body is read as anything. A storm of notifications
costs a row an alert and begins nothing here: alerts are looked at together, later, by who conducts the loop.
"""

import hmac
import sqlite3
import threading
import time
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus

from edge_contract.errors import MessageError, UsageError
from edge_contract.visible import visible
from edge_fleet.listener import Listener, RefusedError
from edge_fleet.loop import alerts
from edge_fleet.loop.settings import TOKEN
from edge_fleet.loop.store import LoopStore


class Receiver:
    """A listener of one model's loop."""

    def __init__(
        self,
        address: tuple[str, int],
        token: str | None,
        model: str,
        store: LoopStore,
        say: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Listen; nothing is answered before `with`. `say` is called with a sentence for the operator's log.

        Raises:
            UsageError: there is no token.
            EdgewiseError: the address is taken, or not of this machine.
        """
        if not token:
            raise UsageError("the loop's webhook needs a token", remedy=f"set {TOKEN} to what Alertmanager shows")
        self._token, self._model, self._store = f"Bearer {token}".encode(), model, store
        self._say, self._now = say, now
        self._said, self._lock = "", threading.Lock()
        self._listener = Listener(
            address,
            self.arrived,
            self._refused,
            body_bytes=alerts.BODY_BYTES,
            name="the loop's webhook",
            remedy="set listen to another address",
        )

    def __enter__(self) -> "Receiver":
        self._listener.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.__exit__()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._listener.url

    def arrived(self, headers: Message, body: bytes) -> None:
        """Keep the alerts of one notification.

        Raises:
            RefusedError: the token is another, the body is no notification, or the disk refuses it.
        """
        given = headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, self._token):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "its token is not the loop's")
        try:
            found = alerts.parse(body, self._model)
        except MessageError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, error.problem) from error
        try:
            left_out = self._store.take(self._model, found.firing, found.resolved, self._now())
        except sqlite3.Error as error:  # answered so that it comes again
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, f"it cannot be kept ({error})") from error
        if left_out:
            # Not refused: Alertmanager would send the same again at once, and repeats them later anyway.
            self._tell(f"{left_out} alerts were left out: {alerts.ALERTS} fire already.")
        else:
            with self._lock:
                self._said = ""

    def _refused(self, why: str) -> None:
        self._tell(f"A webhook was refused: {visible(why)}.")

    def _tell(self, text: str) -> None:
        """Say it, once until all is right: a wrong token is to be found, and no log is to be filled."""
        with self._lock:
            new, self._said = self._said != text, text
        if new:
            self._say(text)

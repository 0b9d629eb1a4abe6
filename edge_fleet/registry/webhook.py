"""The door for MLflow's webhooks: a POST whose signature holds causes a look at the registry, and says nothing more.

What MLflow signs (`mlflow.webhooks`, after Standard Webhooks) is `DELIVERY-ID.TIMESTAMP.BODY` with HMAC-SHA256; the
headers are `X-MLflow-Delivery-Id`, `X-MLflow-Timestamp` (seconds since 1970) and `X-MLflow-Signature` (`v1,` and the
Base64 of it). The body is held against its signature and never read: whoever stole the secret can cause a look at the
registry, and no more than that.
"""

import base64
import hashlib
import hmac
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from typing import Final, NamedTuple

from edge_contract.errors import UsageError
from edge_contract.settings_file import Secret
from edge_fleet import listener
from edge_fleet.listener import Listener, RefusedError

SECRET: Final = Secret("EDGEWISE_WEBHOOK_SECRET", "webhook-secret")
"""Where the secret comes from: a command line is seen by too many."""
SHORTEST_SECRET: Final = 16
BODY_BYTES: Final = 256 * 1024
"""A model's tags and description are in it."""
REPLAY_S: Final = 300.0
"""So far may the time that was signed be from this clock, in both directions."""

_DELIVERIES: Final = 10_000  # that are remembered; within the window more would be an attack, and cost a look each
_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_VERSION: Final = "v1,"


class Signed(NamedTuple):
    """The three headers."""

    delivery: str
    timestamp: str
    signature: str

    @classmethod
    def of(cls, headers: Message) -> "Signed":
        """Those of a request; what is missing is empty."""
        names = ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature")
        return cls(*(headers.get(name, "") for name in names))


def check(signed: Signed, body: bytes, secret: bytes, now: float) -> None:
    """Return where who has the secret signed this body less than `REPLAY_S` before or after `now`.

    Raises:
        RefusedError: it is not so.
    """
    if not _ID.fullmatch(signed.delivery) or not _TIME.fullmatch(signed.timestamp):
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "it has no id or no time of delivery")
    content = f"{signed.delivery}.{signed.timestamp}.".encode() + body
    wanted = _VERSION.encode() + base64.b64encode(hmac.digest(secret, content, hashlib.sha256))
    if not hmac.compare_digest(signed.signature.encode("utf-8", "replace"), wanted):
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "its signature is not made with this secret")
    if abs(now - int(signed.timestamp)) > REPLAY_S:
        raise RefusedError(HTTPStatus.UNAUTHORIZED, "it was signed too long ago, or one of the two clocks is wrong")


def listen_address(text: str, *, exposed: bool = False) -> tuple[str, int]:
    """`PORT` or `HOST:PORT`. `exposed`: another address than this machine's own is meant.

    Raises:
        UsageError: it is neither, or it is another address and that was not said.
    """
    return listener.listen_address(text, "--webhook", exposed=exposed, expose="add --webhook-exposed")


def checked_secret(secret: str | None) -> bytes:
    """The secret as what signs.

    Raises:
        UsageError: there is none, or it can be guessed.
    """
    if not secret:
        raise UsageError("a webhook needs its secret", remedy=f"set {SECRET} to the one that MLflow signs with")
    if len(secret) < SHORTEST_SECRET:
        raise UsageError(
            f"the webhook's secret has fewer than {SHORTEST_SECRET} characters",
            remedy="make one: `openssl rand -hex 32`",
        )
    return secret.encode()


class Webhook:
    """A listener; `wake` is called on its threads."""

    def __init__(
        self,
        address: tuple[str, int],
        secret: bytes,
        wake: Callable[[], None],
        say: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Listen; nothing is answered before `with`. `say` is called with a sentence for the operator's log.

        Raises:
            EdgewiseError: the address is taken, or not of this machine.
        """
        self._secret, self._wake, self._say, self._now = secret, wake, say, now
        self._deliveries: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._said = ""
        self._listener = Listener(
            address,
            lambda headers, body: self.arrived(Signed.of(headers), body),
            self.refused,
            body_bytes=BODY_BYTES,
            name="the webhook",
            remedy="give another address with --webhook",
        )

    def __enter__(self) -> "Webhook":
        self._listener.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.__exit__()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._listener.url

    def arrived(self, signed: Signed, body: bytes) -> None:
        """Check one delivery, and wake; the same one again is acknowledged and wakes nobody.

        Raises:
            RefusedError: as `check`.
        """
        check(signed, body, self._secret, self._now())
        with self._lock:
            self._said = ""
            known = signed.delivery in self._deliveries
            self._deliveries[signed.delivery] = None
            while len(self._deliveries) > _DELIVERIES:
                self._deliveries.popitem(last=False)
        if not known:
            self._wake()

    def refused(self, why: str) -> None:
        """Say it, once until one is right: a wrong secret is to be found."""
        with self._lock:
            new, self._said = self._said != why, why
        if new:
            self._say(f"A webhook was refused: {why}. The registry is looked at every 30 s all the same.")

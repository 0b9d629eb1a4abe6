"""What Alertmanager says of alerts: asked every few seconds on a thread of its own, with limits on time and size.

What it answers is another program's and checked before it is kept: an answer that is none leaves a sentence, said once
in the log and on the page until there is an answer again.
"""

import logging
import threading
import time
import urllib.error
import urllib.request
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from edge_contract.visible import visible

EVERY_S: Final = 10.0
TIMEOUT_S: Final = 5.0
"""Until the next part of an answer comes."""
WHOLE_S: Final = 15.0
_PART: Final = 1 << 16
LARGEST: Final = 4 << 20
"""Bytes of an answer: some thousand alerts."""
KEPT: Final = 2000
"""Alerts that are shown."""

_log = logging.getLogger(__name__)

_Texts = dict[Annotated[str, Meta(max_length=128)], Annotated[str, Meta(max_length=4096)]]


class _Status(Struct):
    state: str = ""
    silencedBy: list[str] = []  # noqa: N815  # Alertmanager's name, as those below
    inhibitedBy: list[str] = []  # noqa: N815


class Alert(Struct):
    """One alert, as Alertmanager's API v2 gives it."""

    labels: _Texts
    annotations: _Texts = {}
    startsAt: str = ""  # noqa: N815
    fingerprint: str = ""
    status: _Status = msgspec.field(default_factory=_Status)


class Alerts(NamedTuple):
    """The last answer."""

    alerts: tuple[Alert, ...] = ()
    problem: str = ""
    """Why there is none, as a sentence with its remedy; empty where there is."""
    asked: bool = False
    """Whether it was asked at all."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Refuse: an address in the settings is the address that is asked."""


class Alertmanager:
    """Polls one Alertmanager while it runs."""

    def __init__(self, address: str) -> None:
        """`address`: such as http://127.0.0.1:9093; empty for none."""
        self.address = address.rstrip("/")
        self.now = Alerts()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alertmanager", daemon=True)
        # Without the environment's proxies: it is a neighbour's address, and its answer is for this page alone.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())

    def start(self) -> None:
        """Begin to ask, where there is an address."""
        if self.address:
            self._thread.start()

    def stop(self) -> None:
        """Ask no more; waits for no answer."""
        self._stopping.set()

    def ask(self) -> None:
        """Ask once."""
        before = self.now
        try:
            self.now = Alerts(self._read(), "", asked=True)
        except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
            problem = f"Alertmanager at {self.address} does not answer as it should ({visible(_cause(error))})"
            self.now = Alerts(before.alerts, f"{problem}; start it, or correct web.alertmanager.", asked=True)
        if self.now.problem and not before.problem:
            _log.warning("%s", self.now.problem)
        elif before.problem and not self.now.problem:
            _log.info("Alertmanager at %s answers again", self.address)

    def _read(self) -> tuple[Alert, ...]:
        with self._opener.open(f"{self.address}/api/v2/alerts", timeout=TIMEOUT_S) as answer:  # checked by the settings
            data, until = bytearray(), time.monotonic() + WHOLE_S
            while part := answer.read1(_PART):
                data += part
                if len(data) > LARGEST:
                    raise ValueError(f"its answer is larger than {LARGEST >> 20} MB")
                if time.monotonic() > until:
                    raise TimeoutError(f"its answer takes more than {WHOLE_S:.0f} s")
        found = msgspec.json.decode(data, type=list[Alert])
        return tuple(found[:KEPT])

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.ask()
            self._stopping.wait(EVERY_S)


def _cause(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    reason = getattr(error, "reason", None)
    return str(reason or error)[:200] or type(error).__name__

"""What the service manager is sent: ready, alive, stopping. systemd's sd_notify protocol, one datagram each.

Without a service manager (no $NOTIFY_SOCKET) every call does nothing. No call waits: the thread that speaks here
watches over the others, and a manager that does not read for a while must not hold it. What did not go then goes with
the next.
"""

import logging
import socket
from collections.abc import Mapping
from typing import Final

_ALIVE: Final = "WATCHDOG=1"
_log = logging.getLogger(__name__)


class ServiceManager:
    """The manager that started this process, if one did."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read the manager's address and its watchdog's period from the environment it gave."""
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        period = environ.get("WATCHDOG_USEC", "")
        self.watchdog_s: float | None = int(period) / 1e6 if period.isdecimal() and self._address else None
        """Seconds without `alive` after which the manager restarts this process; None when it does not watch."""
        self.missed = 0
        """How often the manager took nothing."""
        self._unsent: list[str] = []

    @property
    def present(self) -> bool:
        """Whether a service manager started this process."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Start-up is over: frames are worked on."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send(_ALIVE)

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        states = [*self._unsent, state]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.connect(self._address)
                sock.send("\n".join(states).encode(), socket.MSG_DONTWAIT)
        except OSError as error:  # BlockingIOError: its queue is full
            if not self.missed:
                _log.warning("the service manager takes no notice of this process (%s); trying again", error)
            self.missed += 1
            self._unsent = [each for each in states if each != _ALIVE]
        else:
            self._unsent = []

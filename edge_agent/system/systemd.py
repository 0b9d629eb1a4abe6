"""What the service manager is sent: ready, alive, stopping. systemd's sd_notify protocol, one datagram each.

Without a service manager (no $NOTIFY_SOCKET) every call does nothing.
"""

import contextlib
import socket
from collections.abc import Mapping


class ServiceManager:
    """The manager that started this process, if one did."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read the manager's address and its watchdog's period from the environment it gave."""
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        period = environ.get("WATCHDOG_USEC", "")
        self.watchdog_s: float | None = int(period) / 1e6 if period.isdecimal() and self._address else None
        """Seconds without `alive` after which the manager restarts this process; None when it does not watch."""

    @property
    def present(self) -> bool:
        """Whether a service manager started this process."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Start-up is over: frames are worked on."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(self._address)
            sock.send(state.encode())

"""When certificates and revocation lists end: PEM files of this machine, read again every minute.

Of a file with several the first that ends counts. One that cannot be read is counted and said once, and is read again.
"""

import logging
import re
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from edge_bridge.metrics.text import Family, Text, escape
from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.visible import visible

EVERY_S: Final = 60.0
"""Between two readings."""
_ENDS: Final = Family(
    "edgewise_bridge_file_expires_timestamp_seconds",
    "When the first certificate or revocation list of a file ends.",
)
_UNREAD: Final = Family(
    "edgewise_bridge_file_unreadable", "1 for a file of metrics.expiring in which no end can be read."
)
_BLOCK: Final = re.compile(rb"-----BEGIN (CERTIFICATE|X509 CRL)-----.*?-----END \1-----", re.DOTALL)

_log = logging.getLogger(__name__)


class Expiring:
    """The files of the setting `metrics.expiring`; callable from any thread."""

    def __init__(self, files: Sequence[Path], steady: Callable[[], float]) -> None:
        """`steady`: seconds that never go back."""
        self._files, self._steady = files, steady
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._ends: dict[str, float] = {}
        self._complaints: dict[str, str] = {}

    @property
    def complaints(self) -> list[str]:
        """A sentence for each file that cannot be read."""
        self._refresh()
        return list(self._complaints.values())

    def write(self, *, openmetrics: bool = False) -> str:
        """The files as samples."""
        self._refresh()
        out = Text(openmetrics=openmetrics)
        out.family(_ENDS, "gauge", ((_label(name), end) for name, end in self._ends.items()))
        names = {each.name for each in self._files}
        out.family(_UNREAD, "gauge", ((_label(name), int(name in self._complaints)) for name in sorted(names)))
        return str(out)

    def _refresh(self) -> None:
        with self._lock:
            now = self._steady()
            if self._read_at is not None and now - self._read_at < EVERY_S:
                return
            self._read_at = now
            ends: dict[str, float] = {}
            complaints: dict[str, str] = {}
            for file in self._files:
                try:
                    end = first_end(read_file(file, limits.CERTIFICATES_BYTES)).timestamp()
                except (OSError, ValueError) as error:
                    complaints[file.name] = f"when {file} ends cannot be read: {visible(str(error))}"
                else:  # two files of one name are one series: the earlier end counts
                    ends[file.name] = min(end, ends.get(file.name, end))
            for name, complaint in complaints.items():
                if self._complaints.get(name) != complaint:
                    _log.warning("%s; mend it, or name another in metrics.expiring", complaint)
            self._ends, self._complaints = ends, complaints


def first_end(pem: bytes) -> datetime:
    """The first end of a certificate or a revocation list in a PEM file; other parts, such as keys, are passed over.

    Raises:
        ValueError: there is none, or one is damaged.
    """
    ends = []
    for block in _BLOCK.finditer(pem):
        if block[1] == b"CERTIFICATE":
            ends.append(x509.load_pem_x509_certificate(block[0]).not_valid_after_utc)
        elif (until := x509.load_pem_x509_crl(block[0]).next_update_utc) is not None:
            ends.append(until)
    if not ends:
        raise ValueError("it holds no certificate and no revocation list that ends")
    return min(ends)


def _label(name: str) -> str:
    return f'file="{escape(visible(name))}"'

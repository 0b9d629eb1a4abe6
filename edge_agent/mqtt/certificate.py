"""When this device's own certificate ends, read from its file, again whenever that changes.

The one date in it is found by its place: the library that reads certificates whole costs the agent megabytes for good.
See RFC 5280, 4.1; the doctor reads the same file with that library.
"""

import binascii
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_mqtt.address import BrokerAddress

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_BEFORE_VALIDITY: Final = 3  # serial number, signature algorithm and issuer

_log = logging.getLogger(__name__)


class CertificateEnd:
    """The end of the certificate that is shown to the broker."""

    def __init__(self, broker: BrokerAddress) -> None:
        """Nothing is read yet."""
        self._path = broker.certificate
        self._seen: tuple[int, int, int] | None = None
        self._end: float | None = None

    def read(self) -> float | None:
        """Seconds since 1970; None where there is no certificate, or none that can be read, which is logged once."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return self._end  # it is being replaced, or its disk is away: what was read still holds
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen != self._seen:
            self._seen, self._end = seen, _end_of(self._path)
        return self._end


def end_of(pem: bytes) -> float:
    """When the first certificate in these bytes ends, seconds since 1970.

    Raises:
        ValueError: they hold none, or a damaged one.
    """
    block = _PEM.search(pem)
    if block is None:
        raise ValueError("it holds no certificate in PEM")
    certificate = _content(binascii.a2b_base64(block[1]), _SEQUENCE)
    fields = [field for field in _elements(_content(certificate, _SEQUENCE)) if field[0] != _VERSION]
    if len(fields) <= _BEFORE_VALIDITY or fields[_BEFORE_VALIDITY][0] != _SEQUENCE:
        raise ValueError("it is not built as a certificate is")
    times = list(_elements(fields[_BEFORE_VALIDITY][1]))
    if len(times) != len(("not before", "not after")):
        raise ValueError("it has no two dates")
    return _time(*times[1])


def _end_of(path: Path) -> float | None:
    try:
        return end_of(read_file(path, limits.SECRET_BYTES))
    except (OSError, ValueError) as error:
        _log.warning("when the certificate %s ends cannot be read: %s", path, error)
        return None


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year, of 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("its dates are not written as dates")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _content(data: bytes, tag: int) -> bytes:
    """What the first element holds, which must be of this tag."""
    found, content = next(_elements(data), (-1, b""))
    if found != tag:
        raise ValueError("it is not built as a certificate is")
    return content


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element, in order (X.690: lengths of one byte, or of a byte and up to four more)."""
    at = 0
    while at < len(data):
        header = data[at : at + 2]
        if len(header) < 2:
            raise ValueError("it is cut off")
        tag, length = header
        at += 2
        if length & 0x80:
            more = length & 0x7F
            if not 1 <= more <= 4:
                raise ValueError("a length in it is none")
            length = int.from_bytes(data[at : at + more], "big")
            at += more
        if at + length > len(data):
            raise ValueError("it is cut off")
        yield tag, data[at : at + length]
        at += length

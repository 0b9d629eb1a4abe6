"""Where a broker is and how a role is admitted there: one address for every role, from a URL or from settings.

Not here: the connection itself (each role's `link`), and what the certificate files are used for (`tls`).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import quote, unquote, urlsplit

from msgspec import Meta

from edge_contract.errors import UsageError
from edge_contract.public_url import public_url
from edge_contract.settings_file import Secret

PASSWORD: Final = Secret("EDGEWISE_BROKER_PASSWORD", "broker-password")
"""Where the password comes from: a settings file, a URL and a command line are seen by too many."""

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
"""The port of an address that names none, by scheme; the second speaks TLS."""

Port = Annotated[int, Meta(ge=1, le=65535)]

_TEXT_BYTES: Final = 65535
"""The longest text that MQTT carries."""
_HOST: Final = re.compile(r"[^\s/@\[\]?#\\\x00-\x1f\x7f]{1,253}")
_LABEL: Final = 63
"""The longest part of a host's name between two dots."""

_FORM: Final = "mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """A broker, and the account and files with which a role connects to it."""

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """A name, an IPv4 address, or an IPv6 address without brackets."""
    port: Port = PORTS["mqtt"]
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    """From `PASSWORD` alone, and in no text that is shown or logged."""
    ca: Path | None = None
    """Certificates that vouch for the broker; the system's own when absent."""
    certificate: Path | None = None
    """The role's own certificate."""
    key: Path | None = None
    """The certificate's private key."""

    def __post_init__(self) -> None:
        """Refuse what would connect otherwise than was meant.

        Raises:
            UsageError: host or user is none, half of a certificate's pair is missing, or files are named without TLS.
        """
        if not _is_host(self.host):
            raise UsageError(
                "broker.host is no host", remedy="give a name such as broker.local, or an address without brackets"
            )
        if self.username is not None and not _is_text(self.username):
            raise UsageError(
                "broker.username is empty, too long or has a character that no broker takes",
                remedy="give the user's name, or leave it out",
            )
        if (self.certificate is None) != (self.key is None):
            raise UsageError("broker.certificate and broker.key belong together", remedy="give both or neither")
        if not self.tls and (self.ca or self.certificate):
            raise UsageError(
                "broker.ca and broker.certificate need TLS", remedy="set broker.tls = true, or write mqtts://HOST"
            )

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        password: str | None = None,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> Self:
        """Read `mqtt://[USER@]HOST[:PORT]` or `mqtts://…`; what a URL cannot hold is given beside it.

        Raises:
            UsageError: not such an address, or it holds a password; the text never repeats one.
        """
        shown = public_url(url)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{shown!r} is no broker address", remedy=f"write it as {_FORM}") from error
        if parts.password is not None:
            raise UsageError("a password does not belong in a broker's address", remedy=f"set {PASSWORD}")
        rest = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in PORTS or not host or port == 0 or rest:
            raise UsageError(f"{shown!r} is no broker address", remedy=f"write it as {_FORM}")
        return cls(
            host=host,
            port=port or PORTS[parts.scheme],
            tls=parts.scheme == "mqtts",
            username=unquote(parts.username) if parts.username else None,
            password=password,
            ca=ca,
            certificate=certificate,
            key=key,
        )

    @property
    def where(self) -> str:
        """`HOST:PORT` for messages, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def identity(self) -> str:
        """As whom the broker knows this side, for messages: the user, else the certificate that it shows."""
        if self.username:
            return f"user {self.username!r}"
        if self.certificate is not None:
            return f"the holder of {self.certificate.name}"
        return "a client without user and certificate"

    def __str__(self) -> str:
        """The URL that `parse` reads, without the password."""
        account = f"{quote(self.username, safe='')}@" if self.username else ""
        return f"{'mqtts' if self.tls else 'mqtt'}://{account}{self.where}"


def _is_host(host: str) -> bool:
    """Whether a connection can be asked of it: what is no name would end in an error of Python's, not the network's."""
    if not _HOST.fullmatch(host):
        return False
    labels = host.removesuffix(".").split(".")
    if not host.isascii():
        try:
            host.encode("idna")
        except UnicodeError:
            return False
    return ":" in host or all(0 < len(label) <= _LABEL for label in labels)


def _is_text(text: str) -> bool:
    try:
        return 0 < len(text.encode()) <= _TEXT_BYTES and "\0" not in text
    except UnicodeEncodeError:  # a lone surrogate
        return False

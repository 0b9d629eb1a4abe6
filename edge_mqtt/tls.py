"""The TLS context of a connection to the broker: one policy for every role."""

import ssl
from pathlib import Path
from typing import Protocol

from edge_contract.errors import UsageError


class TlsFiles(Protocol):
    """The files of one client."""

    @property
    def ca(self) -> Path | None:
        """Certificates that vouch for the broker; the system's own when absent."""

    @property
    def certificate(self) -> Path | None:
        """The client's own."""

    @property
    def key(self) -> Path | None:
        """The certificate's."""


def tls_context(settings: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer, the broker's name checked; with the client's own certificate where the settings name one.

    Raises:
        UsageError: a file cannot be read or is no certificate or key; the text names it.
    """
    named = [path for path in (settings.ca, settings.certificate, settings.key) if path is not None]
    for path in named:
        if not path.is_file():
            raise UsageError(f"{path} is missing; put the file there or change [broker] in the settings.")
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except (ssl.SSLError, OSError) as error:
        files = ", ".join(map(str, named))
        raise UsageError(f"the TLS files {files} cannot be used ({error}); check that they belong together.") from error
    return context

"""TLS as every client of ours speaks it, to a broker or a camera. Not here: sockets, and certificates of one's own."""

import ssl
from pathlib import Path
from typing import Final

OLDEST: Final = ssl.TLSVersion.TLSv1_2


def client_context(authority: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer; the server's chain, dates and name are checked against `authority`, or the system's.

    Raises:
        OSError: the file is none of certificates (ssl.SSLError is one).
    """
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = OLDEST
    if authority is not None:
        # Python 3.13 asks for what public authorities have to write, such as key identifiers. What people sign at home
        # mostly lacks them, and one file has to serve the fleet's old boards and its new ones.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context

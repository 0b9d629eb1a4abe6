"""TLS to the broker: one policy for every role. Not here: sockets; each role's link wraps its own."""

import ssl

from edge_contract import limits
from edge_contract.bounded_read import check_file
from edge_contract.errors import UsageError
from edge_contract.tls_client import client_context
from edge_mqtt.address import BrokerAddress


def tls_context(address: BrokerAddress) -> ssl.SSLContext:
    """TLS 1.2 or newer, the broker's name checked; with the role's own certificate where the address names one.

    Raises:
        UsageError: a file is missing, cannot be read, or is no certificate or key; the text names it.
    """
    files = {"CA file": address.ca, "certificate": address.certificate, "key": address.key}
    named = {kind: path for kind, path in files.items() if path is not None}
    for kind, path in named.items():
        try:  # OpenSSL opens these by name, and reads whatever comes
            check_file(path, limits.CERTIFICATES_BYTES if kind == "CA file" else limits.SECRET_BYTES)
        except FileNotFoundError as error:
            raise UsageError(
                f"the broker's {kind} {path} is missing", remedy="put it there or name the right file"
            ) from error
        except OSError as error:
            raise UsageError(
                f"the broker's {kind} {path} cannot be read ({error.strerror})",
                remedy="name the right file, and let this user read it",
            ) from error
    try:
        context = client_context(address.ca)
        if address.certificate is not None:
            context.load_cert_chain(address.certificate, address.key)
    except (ssl.SSLError, OSError) as error:
        paths = ", ".join(map(str, named.values()))
        raise UsageError(
            f"the TLS files {paths} cannot be used ({error})", remedy="check that they are PEM and belong together"
        ) from error
    return context

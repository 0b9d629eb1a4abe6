"""The TLS context of the bridge's connection to its broker."""

import ssl

from edge_bridge.settings import BrokerSettings
from edge_contract.errors import UsageError


def tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, the broker's name checked; with the bridge's own certificate where the settings name one.

    Raises:
        UsageError: a file is missing or is no certificate or key.
    """
    for path in (settings.ca, settings.certificate, settings.key):
        if path is not None and not path.is_file():
            raise UsageError(f"{path} is missing; put the file there or change [broker] in the bridge's settings.")
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"the TLS files of [broker] cannot be used ({error}); check that they belong together.") from (
            error
        )
    return context

"""Lines of a log: one a message, whatever a device, a client or a broker wrote into it; a traceback has its own."""

import logging
from typing import Any, Final

from edge_contract.visible import visible, visible_lines

SERVICE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""How the services of a host log."""


class LogLines(logging.Formatter):
    """See the module."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """One line, whatever the message holds."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        """A line a frame."""
        return visible_lines(super().formatException(ei))

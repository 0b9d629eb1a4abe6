"""How the agent logs: one JSON object a line for a journal, short lines for a person on a terminal. Set up once."""

import json
import logging
from datetime import UTC, datetime
from typing import Final, TextIO

from edge_agent.system.settings import LogSettings
from edge_contract.log_lines import LogLines
from edge_contract.visible import visible_json

_OURS: Final = "edge_agent"
"""The logger that `log.level` sets; libraries stay at warning."""
_PLAIN: Final = "%(asctime)s %(levelname)-7s %(message)s"


class JsonLines(logging.Formatter):
    """time, level, logger, message, and error with its traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return visible_json(json.dumps(entry, ensure_ascii=False))


def as_json(settings: LogSettings, stream: TextIO) -> bool:
    """Whether a program reads the log, rather than a person."""
    return settings.format == "json" or (settings.format == "auto" and not stream.isatty())


def set_up(settings: LogSettings, stream: TextIO) -> None:
    """Send all logging to `stream`; called again, it replaces what it set up before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if as_json(settings, stream) else LogLines(_PLAIN, "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    set_level(settings)


def set_level(settings: LogSettings) -> None:
    """Change the agent's own level, also while it runs."""
    logging.getLogger(_OURS).setLevel(settings.level.upper())

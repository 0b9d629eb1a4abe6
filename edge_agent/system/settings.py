"""`[log]`: how the agent logs."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The agent's own log; libraries log warnings and worse."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    """auto: short lines on a terminal, otherwise one JSON object a line."""

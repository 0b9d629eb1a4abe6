"""The prediction log: what is kept of it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`[log]`: how long predictions are kept."""

    retention_days: Annotated[float, Meta(gt=0, le=36500)] = 30.0
    retention_rows: Annotated[int, Meta(ge=1000, le=10**12)] = 5_000_000
    """The oldest go first; about 400 bytes each on SQLite."""
    retention_mb: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """Megabytes that predictions and their indexes may take, 0 for any. The database uses the room of those deleted
    again, and gives none back to the disk."""

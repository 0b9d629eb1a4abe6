"""Which Edgewise this is: all roles come from one distribution."""

from functools import cache
from importlib import metadata
from typing import Final

_DISTRIBUTION: Final = "edgewise-toolkit"


@cache
def version() -> str:
    """The installed version; `checkout` where the source runs without being installed."""
    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "checkout"

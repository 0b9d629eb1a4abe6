"""Room for the descriptors of a fleet: a device has a connection, a database with its log, and files on their way."""

import resource
from typing import Final

from edge_contract.errors import EdgewiseError

_OF_A_DEVICE: Final = 8
_OF_THE_PROCESS: Final = 256


def allow_open_files(devices: int) -> None:
    """Raise this process's limit as far as so many devices need.

    Raises:
        EdgewiseError: the system does not allow it that many.
    """
    needed = devices * _OF_A_DEVICE + _OF_THE_PROCESS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        fit = max(0, (hard - _OF_THE_PROCESS) // _OF_A_DEVICE)
        raise EdgewiseError(
            f"{devices} devices need {needed} open files, and this process may have {hard}",
            remedy=f"simulate at most {fit} here and the rest in another process (--first), or raise `ulimit -Hn`",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

"""Who runs this process, also where the system has no name for the number, as in a container that runs as one."""

import os
from pathlib import Path


def user_name() -> str:
    """The name of the user, or "uid 54321"."""
    import getpass  # noqa: PLC0415  # a health check has no use for it

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError before Python 3.13
        return f"uid {os.getuid()}"


def expanded(path: Path) -> Path:
    """The path with a `~` at its beginning replaced by the home directory.

    Raises:
        ValueError: there is no such home directory, or no file can have such a name; the text says which.
    """
    if "\0" in str(path):
        raise ValueError("no file can have such a name")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("there is no such home directory") from error

"""The registry asked by its command: its releases, and a challenger registered. It is another role's, so a process.

Only where MLFLOW_TRACKING_URI names a store: then it is configured. An address may hold a password, so it stays in the
environment.
"""

import json
import subprocess
import sys
from typing import Final

from edge_contract.errors import EdgewiseError

_EDGEWISE: Final = (sys.executable, "-c", "import sys; from edge_fleet.cli import main; sys.exit(main())")
_PATIENCE_S: Final = 600.0


def releases(name: str) -> list[int]:
    """Release numbers that the registry has of this name.

    Raises:
        EdgewiseError: it cannot be asked.
    """
    try:
        versions = json.loads(_said("ls", "--json"))["versions"]
        return [int(one["release"]) for one in versions if one["name"] == name]
    except (ValueError, LookupError, TypeError) as error:
        raise EdgewiseError("the registry lists no releases", remedy="look at `edgewise registry ls --json`") from error


def register(package: str) -> None:
    """Make the package the challenger of its name; the same one again changes nothing.

    Raises:
        EdgewiseError: the registry refuses or cannot be reached.
    """
    _said("register", package)


def _said(*words: str) -> str:
    try:
        done = subprocess.run(
            [*_EDGEWISE, "registry", *words], capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        raise EdgewiseError(
            f"the registry gave no answer in {_PATIENCE_S:g} s", remedy="look at it, and run this again"
        ) from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-300:]
        raise EdgewiseError(f"`edgewise registry {words[0]}` failed ({said})", remedy="mend that, and run this again")
    return done.stdout

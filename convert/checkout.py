"""Whether git works in a checkout, and if not, why: `python -m convert.checkout` says it for `make data`.

DVC and the lineage of a package need git. What git itself prints is its own language, and may change: it is asked in
English, and what is not known here is passed on.
"""

import os
import subprocess
import sys
from pathlib import Path

from edge_contract.command_end import command
from edge_contract.errors import EdgewiseError, ExitCode


def trouble(checkout: Path) -> EdgewiseError | None:
    """Why git knows no commit of `checkout`; None where all is well."""
    try:
        done = _git(checkout, "rev-parse", "--is-bare-repository")
        if done.returncode == 0 and done.stdout.strip() == "true":
            return EdgewiseError(f"{checkout} is a bare repository, without files", remedy="clone it, and work there")
        head = _git(checkout, "rev-parse", "--verify", "HEAD")
    except FileNotFoundError:
        return EdgewiseError("git is not installed", remedy="run `sudo apt-get install git`")
    except OSError as error:
        return EdgewiseError(f"git cannot be run ({error.strerror})", remedy="look at its file and its permissions")
    said = f"{done.stderr}\n{head.stderr}"
    if "dubious ownership" in said:
        return EdgewiseError(
            f"the checkout {checkout} belongs to another user, and git does not work in it",
            remedy=f"run `git config --global --add safe.directory {checkout}`",
        )
    if "not a git repository" in said:
        return EdgewiseError(f"{checkout} is no git repository", remedy="run `git init`, then commit")
    if done.returncode != 0:
        return EdgewiseError(f"git does not work in {checkout} ({' '.join(said.split())[:200]})", remedy="mend that")
    if head.returncode != 0:
        return EdgewiseError(f"the git repository {checkout} has no commit yet", remedy="commit its files")
    return None


def _git(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments],  # noqa: S607 - git from PATH, as everywhere in a checkout
        cwd=checkout, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip


@command()
def main() -> int:
    """Command line of `python -m convert.checkout`: silent where DVC can work here, also before the first commit."""
    found = trouble(Path.cwd())
    if found is not None and "no commit yet" not in found.problem:
        raise EdgewiseError(f"{found.problem}, and `make pipeline` needs git", remedy=found.remedy)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())

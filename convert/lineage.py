"""Where a model came from, read from the checkout at packaging time: commit, pipeline lock, parameters, run."""

import json
import subprocess
from pathlib import Path

import yaml

from edge_contract import limits
from edge_contract.bounded_read import read_file, read_text
from edge_contract.manifest import Lineage, digest_of


def trace(checkout: Path, *, params: Path, dataset: str, network: str, result: Path, trained_on: str) -> Lineage:
    """The lineage of what stands in `checkout`; an empty string for what cannot be known there.

    `dataset`: digest of the data set's source. `network`: SHA-256 of the trained network that was converted. `result`:
    where training noted its run; that of another network is not this one's.
    """
    noted = _json(result)
    return Lineage(
        git_commit=_commit(checkout, params),
        dvc_lock=_lock(checkout / "dvc.lock"),
        params=_digest(params),
        dataset=dataset,
        mlflow_run=str(noted.get("mlflow_run", "")) if noted.get("network") == network else "",
        trained_on=trained_on,
    )


def _lock(path: Path) -> str:
    """Digest of the lock's stages before packaging: the package's own entry is written after the package."""
    try:
        stages = yaml.safe_load(read_text(path, limits.DOCUMENT_BYTES))["stages"]
    except (OSError, yaml.YAMLError, LookupError, TypeError):
        return ""
    before = {name: stage for name, stage in stages.items() if name != "package"}
    return digest_of(json.dumps(before, sort_keys=True).encode())


def _commit(checkout: Path, params: Path) -> str:
    """HEAD, with `-dirty` where it does not hold the code of training and conversion, or the parameters, as they are.

    So a file that git does not know is none of the commit's either; what git ignores is left out.
    """
    head = _git(checkout, "rev-parse", "HEAD")
    if not head:
        return ""
    code = ("train", "convert", "edge_contract", "edge_vision", "dvc.yaml")
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=all", "--", *code)
    held = _git(checkout, "ls-files", "--error-unmatch", "--", str(params.resolve()))
    changed_params = not held or _git(checkout, "status", "--porcelain", "--", str(params.resolve()))
    return f"{head}-dirty" if changed or changed_params else head


def _git(checkout: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 - git from PATH, as everywhere in a checkout
            cwd=checkout,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _digest(path: Path) -> str:
    return digest_of(read_file(path, limits.DOCUMENT_BYTES)) if path.is_file() else ""


def _json(path: Path) -> dict[str, object]:
    try:
        document = json.loads(read_text(path, limits.DOCUMENT_BYTES))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}

"""The model registry: which packages exist, which is challenger, which is champion. The only module that knows MLflow.

A registered package is an MLflow model version with its lineage in tags, and the `.ewm` itself as the run's artifact.
Aliases say the state: registering sets `challenger`, promoting moves `champion`. MLflow keeps no record of who moved an
alias, so a `Ledger` beside it does; the ledger's head stands in MLflow too, which shows a ledger cut short.
"""

import getpass
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_contract import package as packages
from edge_contract.errors import EdgewiseError, GateRefusedError, TrustError, UsageError
from edge_contract.manifest import ModelManifest, digest_of
from edge_contract.package import ModelPackage
from edge_fleet.registry.ledger import Entry, Ledger

CHALLENGER: Final = "challenger"
CHAMPION: Final = "champion"
DEFAULT_URI: Final = "sqlite:///mlflow.db"
_EXPERIMENT: Final = "edgewise-packages"
_HEAD: Final = "edgewise.ledger_head"


@dataclass(frozen=True, slots=True)
class Version:
    """One registered package."""

    name: str
    release: int
    version: str
    """MLflow's own number."""
    digest: str
    aliases: tuple[str, ...]
    run: str
    """The MLflow run that holds the package."""
    tags: dict[str, str]


class Registry:
    """Packages in an MLflow store, a local sqlite file or a server."""

    def __init__(self, uri: str, ledger: Ledger, clock: Callable[[], float], actor: str = "") -> None:
        """`actor`: who acts, for the ledger; the server's user or the operating system's when empty."""
        self.uri, self.ledger, self._clock = uri, ledger, clock
        self._actor = actor or os.environ.get("MLFLOW_TRACKING_USERNAME", "") or getpass.getuser()
        self._mlflow = _client(uri)

    def register(self, package: ModelPackage) -> Version:
        """Make the package a model version with the alias `challenger`; the same package again changes nothing.

        Raises:
            GateRefusedError: the gate did not pass it.
            UsageError: another package has this name and release.
            EdgewiseError: the store cannot be reached, or does not permit it.
        """
        manifest = package.manifest
        if manifest.gate is None or not manifest.gate.passed:
            raise GateRefusedError(f"{package.file_name} did not pass the gate and cannot be registered.")
        with _translated(self.uri, f"register {package.file_name}"):
            known = {version.release: version for version in self._of(manifest.name)}
            if (there := known.get(manifest.release)) is not None:
                if there.tags.get("package") != digest_of(packages.write(package)):
                    raise UsageError(
                        f"{manifest.name} {manifest.release} is registered as another package ({there.digest[:12]})",
                        remedy="package the model under the next release number",
                    )
                return there
            self._ensure_model(manifest)
            run = self._run_for(manifest)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / package.file_name
                path.write_bytes(packages.write(package))
                self._mlflow.log_artifact(run, str(path), "package")
            source = f"{self._mlflow.get_run(run).info.artifact_uri}/package"
            made = self._mlflow.create_model_version(
                manifest.name, source, run_id=run, tags=_tags(package), description=manifest.intended_use
            )
            self._mlflow.set_registered_model_alias(manifest.name, CHALLENGER, made.version)
        self._record("register", manifest.name, manifest.release, manifest.digest, str(made.version))
        return self.get(manifest.name, manifest.release)

    def promote(self, name: str, release: int, reason: str = "") -> Version:
        """Make this release the champion of its name.

        Raises:
            UsageError: no such release is registered.
            GateRefusedError: its gate did not pass.
            TrustError: the ledger is broken; nothing was moved.
            EdgewiseError: the store does not permit it or cannot be reached; nothing was recorded.
        """
        chosen = self.get(name, release)
        if chosen.tags.get("gate") != "passed":
            raise GateRefusedError(f"{name} {release} did not pass the gate and cannot be champion.")
        self.history(name)  # a broken ledger is mended before anything more is promoted
        before = self.champion(name)
        with _translated(self.uri, f"promote {name} {release}"):
            # First what needs the greater permission (MANAGE, on a server with users): a refusal leaves all as it was.
            if CHALLENGER in chosen.aliases:
                self._mlflow.delete_registered_model_alias(name, CHALLENGER)
            self._mlflow.set_registered_model_alias(name, CHAMPION, chosen.version)
        previous = {"before": str(before.release)} if before else {}
        why = {"reason": reason} if reason else {}
        self._record("promote", name, release, chosen.digest, chosen.version, **previous, **why)
        return self.get(name, release)

    def champion(self, name: str) -> Version | None:
        """The champion of a name; None before the first promotion."""
        return next((version for version in self.versions(name) if CHAMPION in version.aliases), None)

    def versions(self, name: str = "") -> list[Version]:
        """Registered packages of one name or of all, oldest first."""
        with _translated(self.uri, "list models"):
            names = [name] if name else sorted(model.name for model in self._mlflow.search_registered_models())
            return [version for one in names for version in self._of(one)]

    def get(self, name: str, release: int) -> Version:
        """One registered package.

        Raises:
            UsageError: it is not registered; the text says what is.
        """
        found = self.versions(name)
        for version in found:
            if version.release == release:
                return version
        there = ", ".join(str(version.release) for version in found) or "none"
        raise UsageError(
            f"{name} {release} is not registered (releases there: {there})", remedy="see `edgewise registry ls`"
        )

    def find(self, digest: str) -> Version:
        """The package whose model has this digest, or the start of it.

        Raises:
            UsageError: none has, or several have.
        """
        digest = digest.lower().removeprefix("sha256:")
        if len(digest) < 6 or not set(digest) <= set("0123456789abcdef"):
            raise UsageError(f"{digest!r} is no digest: give at least its first six hexadecimal digits.")
        found = [version for version in self.versions() if version.digest.startswith(digest)]
        if len({version.digest for version in found}) > 1:
            raise UsageError(f"{len(found)} models start with {digest}", remedy="give more of the digest")
        if not found:
            raise UsageError(f"no registered model has the digest {digest}", remedy="see `edgewise registry ls`")
        return found[-1]

    def history(self, name: str = "") -> list[Entry]:
        """The ledger's entries, of one name or all, oldest first.

        Raises:
            TrustError: the ledger's chain is broken, or its end is missing.
        """
        entries, heads = self.ledger.entries(), set(self.ledger.heads())
        with _translated(self.uri, "read the ledger's head"):
            for model in self._mlflow.search_registered_models():
                head = model.tags.get(_HEAD)
                if head and head not in heads:
                    raise TrustError(
                        f"the ledger {self.ledger.path} lacks an entry that the registry knows of {model.name}: "
                        "its end was cut off or another ledger was named."
                    )
        return [entry for entry in entries if not name or entry.subject.get("name") == name]

    def training_run(self, version: Version) -> dict[str, dict[str, str]] | None:
        """Parameters and last metrics of the run that trained it; None when this store does not have that run."""
        run = self._existing_run(version.tags.get("train_run", ""))
        if run is None:
            return None
        return {
            "params": dict(run.data.params),
            "metrics": {name: f"{value:.6g}" for name, value in run.data.metrics.items()},
            "tags": {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")},
        }

    def _of(self, name: str) -> list[Version]:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            aliases: dict[str, list[str]] = {}
            for alias, number in self._mlflow.get_registered_model(name).aliases.items():
                aliases.setdefault(str(number), []).append(alias)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise
        found = [
            Version(
                name=name,
                release=int(one.tags["release"]),
                version=str(one.version),
                digest=one.tags["digest"],
                aliases=tuple(sorted(aliases.get(str(one.version), []))),
                run=one.run_id or "",
                tags=dict(one.tags),
            )
            for one in self._mlflow.search_model_versions(f"name = '{name}'")
            if "release" in one.tags and "digest" in one.tags  # others were not registered by Edgewise
        ]
        return sorted(found, key=lambda version: version.release)

    def _ensure_model(self, manifest: ModelManifest) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            self._mlflow.create_registered_model(manifest.name, description=manifest.intended_use)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _run_for(self, manifest: ModelManifest) -> str:
        """The run that trained the model where this store has it, else one made for the package."""
        if self._existing_run(manifest.lineage.mlflow_run) is not None:
            return manifest.lineage.mlflow_run
        experiment = self._mlflow.get_experiment_by_name(_EXPERIMENT)
        experiment_id = experiment.experiment_id if experiment else self._mlflow.create_experiment(_EXPERIMENT)
        run = self._mlflow.create_run(experiment_id, run_name=f"{manifest.name}-{manifest.release}")
        self._mlflow.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def _existing_run(self, run_id: str) -> Any:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        if not run_id:
            return None
        try:
            return self._mlflow.get_run(run_id)
        except MlflowException:
            return None

    def _record(self, action: str, name: str, release: int, digest: str, version: str, **more: str) -> None:
        subject = {"name": name, "release": str(release), "digest": digest, "version": version, **more}
        self.ledger.append(self._actor, action, subject, self._clock())
        with _translated(self.uri, "keep the ledger's head"):
            self._mlflow.set_registered_model_tag(name, _HEAD, self.ledger.heads()[-1])


def _tags(package: ModelPackage) -> dict[str, str]:
    manifest = package.manifest
    lineage = manifest.lineage
    tags = {
        "release": str(manifest.release),
        "digest": manifest.digest,
        "size": str(manifest.size),
        "package": digest_of(packages.write(package)),
        "labels": ",".join(manifest.labels),
        "gate": "passed" if manifest.gate and manifest.gate.passed else "refused",
        "git_commit": lineage.git_commit,
        "dvc_lock": lineage.dvc_lock,
        "params": lineage.params,
        "dataset": lineage.dataset,
        "train_run": lineage.mlflow_run,
        "trained_on": lineage.trained_on,
    }
    if manifest.accuracy is not None:
        score = manifest.accuracy.int8
        tags["accuracy"] = f"{score.accuracy:.4f} [{score.low:.4f}, {score.high:.4f}]"
        tags["accuracy_on"] = f"{score.dataset} {score.split}, labels of {score.label_set}, n = {score.n}"
    return {name: value for name, value in tags.items() if value}


def _client(uri: str) -> Any:
    from mlflow import MlflowClient  # noqa: PLC0415 - a second and 100 MB

    if uri.startswith("file:") or "://" not in uri:
        raise UsageError(
            f"{uri} is no registry: name a database such as {DEFAULT_URI}, or a server by its http address."
        )
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT  # noqa: PLC0415

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs every table that it makes
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)  # stdout is the command's own, one JSON object with --json
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


class _translated:  # noqa: N801 - used as a statement
    """MLflow's errors as ours."""

    def __init__(self, uri: str, doing: str) -> None:
        self._uri, self._doing = uri, doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        if not isinstance(error, MlflowException):
            return
        status = error.get_http_status_code()
        if error.error_code == "PERMISSION_DENIED" or status in (401, 403):
            raise EdgewiseError(
                f"the registry {self._uri} does not permit you to {self._doing}",
                remedy="ask its owner for that permission",
            ) from error
        first = str(error).strip().partition("\n")[0][:200]
        raise EdgewiseError(f"the registry {self._uri} failed to {self._doing}: {first}") from error

"""The MLflow store behind the registry: model versions, aliases, tags and runs. The only module that knows MLflow.

A registered package is a model version with its lineage in tags, and the `.ewm` itself as the run's artifact. Which
package may be registered or promoted is `registry`'s to decide; MLflow's errors leave here as sentences.
"""

import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_contract import limits
from edge_contract import package as packages
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.manifest import ModelManifest, digest_of
from edge_contract.mlflow_reason import explained, schemas
from edge_contract.package import ModelPackage
from edge_contract.public_url import public_url

CHALLENGER: Final = "challenger"
CHAMPION: Final = "champion"
DEFAULT_URI: Final = "sqlite:///mlflow.db"
_EXPERIMENT: Final = "edgewise-packages"
_HEAD: Final = "edgewise.ledger_head"
_RELEASE: Final = re.compile(r"[0-9]{1,16}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_WAIT_S: Final = 10  # for one answer of a server, where this is asked again anyway


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


class Store:
    """One MLflow store, a local sqlite file or a server.

    Every method raises EdgewiseError where the store cannot be reached or does not permit it.
    """

    def __init__(self, uri: str, *, asked_again: bool = False) -> None:
        """Nothing is asked yet. `asked_again`: what fails is tried by who asks, so nothing here waits for long.

        Raises:
            UsageError: the address is no store's.
        """
        self._uri = uri
        self._mlflow = _client(uri)
        if asked_again:
            _wait_briefly()

    def versions(self, name: str = "") -> list[Version]:
        """Registered packages of one name or of all, oldest first."""
        with _translated(self._uri, "list models"):
            names = [name] if name else sorted(model.name for model in self._mlflow.search_registered_models())
            return [version for one in names for version in self._of(one)]

    def champion(self, name: str) -> Version:
        """The package that has the alias `champion`.

        Raises:
            EdgewiseError: there is none, or it is none that Edgewise registered; the text says what to do.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        with _translated(self._uri, f"find the champion of {name}"):
            try:
                model = self._mlflow.get_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise EdgewiseError(
                    f"the registry has no model {name}",
                    remedy="run `edgewise registry register FILE.ewm`, or correct it",
                ) from error
            number = model.aliases.get(CHAMPION)
            if number is None:
                raise EdgewiseError(
                    f"{name} has no champion yet", remedy=f"run `edgewise registry promote {name} RELEASE`"
                )
            found = _version(self._mlflow.get_model_version(name, number), (CHAMPION,))
        if found is None:
            raise EdgewiseError(
                f"version {number} of {name}, its champion, is no package that Edgewise registered",
                remedy=f"run `edgewise registry register FILE.ewm` and `edgewise registry promote {name} RELEASE`",
            )
        return found

    def package(self, version: Version) -> ModelPackage:
        """The registered package itself.

        Raises:
            EdgewiseError: the registry does not give it.
            TrustError: it is not the one that was registered under this version.
        """
        file = f"package/{version.name}-{version.release}{packages.SUFFIX}"
        with tempfile.TemporaryDirectory() as folder, _translated(self._uri, f"fetch {file}"):
            sizes = {one.path: one.file_size for one in self._mlflow.list_artifacts(version.run, "package")}
            if not 0 < (sizes.get(file) or 0) <= limits.PACKAGE_BYTES:
                raise EdgewiseError(
                    f"the registry holds no {file} of a size that a package can have",
                    remedy=f"register {version.name} under the next release number",
                )
            data = packages.bytes_of(Path(self._mlflow.download_artifacts(version.run, file, folder)))
        package = packages.read(data, file)
        manifest = package.manifest
        registered = (version.name, version.release, version.digest)
        if digest_of(data) != version.tags.get("package") or registered != (
            manifest.name, manifest.release, manifest.digest
        ):  # fmt: skip
            raise TrustError(
                f"{file} in the registry is not the package that was registered as {version.name} {version.release}",
                remedy="find out who changed it, and register the package under the next release number",
            )
        return package

    def add(self, package: ModelPackage) -> str:
        """Make the package a model version with the alias `challenger`; MLflow's number of it."""
        manifest = package.manifest
        with _translated(self._uri, f"register {package.file_name}"):
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
        return str(made.version)

    def make_champion(self, version: Version) -> None:
        """Move the alias `champion` to this version; all stays as it was where that is not permitted."""
        with _translated(self._uri, f"promote {version.name} {version.release}"):
            # First what needs the greater permission (MANAGE, on a server with users): a refusal leaves all as it was.
            if CHALLENGER in version.aliases:
                self._mlflow.delete_registered_model_alias(version.name, CHALLENGER)
            self._mlflow.set_registered_model_alias(version.name, CHAMPION, version.version)

    def ledger_heads(self) -> dict[str, str]:
        """The ledger's head as it was last kept, by model name."""
        with _translated(self._uri, "read the ledger's head"):
            kept = {model.name: model.tags.get(_HEAD, "") for model in self._mlflow.search_registered_models()}
        return {name: head for name, head in kept.items() if head}

    def keep_ledger_head(self, name: str, head: str) -> None:
        """Keep the ledger's head beside the model: a ledger cut short lacks it."""
        with _translated(self._uri, "keep the ledger's head"):
            self._mlflow.set_registered_model_tag(name, _HEAD, head)

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
            version
            for one in self._mlflow.search_model_versions(f"name = '{name}'")
            if (version := _version(one, tuple(sorted(aliases.get(str(one.version), []))))) is not None
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


def _version(one: Any, aliases: tuple[str, ...]) -> Version | None:
    """A model version as ours; None of one that was not registered by Edgewise, whatever its tags say."""
    release, digest = str(one.tags.get("release", "")), str(one.tags.get("digest", ""))
    if not _RELEASE.fullmatch(release) or not _DIGEST.fullmatch(digest):
        return None
    return Version(
        name=one.name,
        release=int(release),
        version=str(one.version),
        digest=digest,
        aliases=aliases,
        run=one.run_id or "",
        tags=dict(one.tags),
    )


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
            f"{public_url(uri)} is no registry",
            remedy=f"name a database such as {DEFAULT_URI}, or a server by its http address",
        )
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT  # noqa: PLC0415

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs every table that it makes
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)  # stdout is the command's own, one JSON object with --json
    with _translated(uri, "be opened"):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _wait_briefly() -> None:
    """For this process; what its environment says of it counts before."""
    from mlflow import environment_variables as variables  # noqa: PLC0415

    for variable, value in (
        (variables.MLFLOW_HTTP_REQUEST_TIMEOUT, _WAIT_S),
        (variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES, 0),
    ):
        if not variable.is_set():
            variable.set(value)


class _translated:  # noqa: N801 - used as a statement
    """MLflow's errors as ours."""

    def __init__(self, uri: str, doing: str) -> None:
        self._uri, self._doing = uri, doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        import mlflow  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        if not isinstance(error, (MlflowException, SQLAlchemyError, ModuleNotFoundError)):
            return
        refused = isinstance(error, MlflowException) and (
            error.error_code == "PERMISSION_DENIED" or error.get_http_status_code() in (401, 403)
        )
        if refused:
            raise EdgewiseError(
                f"the registry {public_url(self._uri)} does not permit you to {self._doing}",
                remedy="ask its owner for that permission",
            ) from error
        known = explained(error, self._uri, schemas(str(mlflow.__file__)))
        if known.remedy:
            raise known from error
        raise EdgewiseError(f"the registry {public_url(self._uri)} failed to {self._doing}: {known}") from error

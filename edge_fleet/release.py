"""Releases: a package becomes a listed TUF target whose `custom` is its manifest and how its file is cut.

Listing is what makes a model runnable anywhere; withdrawing is what ends that. The model files of listed releases are
kept beside the metadata, so that a broker that lost everything can be filled again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tuf.api.metadata import TargetFile

from edge_contract import limits
from edge_contract.errors import GateRefusedError, TrustError, UsageError
from edge_contract.manifest import digest_of
from edge_contract.messages import ModelRef
from edge_contract.package import ModelPackage
from edge_contract.trust import Chunks, ReleaseTarget, release_from_custom, release_to_custom, target_path
from edge_fleet.repository import Repository, write_durably

_MODELS: Final = "models"


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of one repository."""

    repository: Repository

    def add(self, package: ModelPackage, notes: str = "") -> bool:
        """List a package as a release; False when exactly this model is listed under its name and number already.

        Raises:
            GateRefusedError: the package itself says that the gate refused the model.
            UsageError: the same name and number are taken by another model.
        """
        manifest = package.manifest
        if manifest.gate is not None and not manifest.gate.passed:
            raise GateRefusedError(
                f"the gate refused {package.file_name} ({'; '.join(manifest.gate.reasons) or 'no reason given'}); "
                "only a model that passed can be released."
            )
        target = ReleaseTarget(manifest=manifest, chunks=cut(package.model), notes=notes)
        path = target_path(manifest.ref)
        taken = self.repository.listed().get(path)
        if taken is not None:
            if release_from_custom(taken.custom).manifest == manifest:
                return False
            raise UsageError(
                f"{manifest.name} {manifest.release} is released already and differs from this package; "
                "package it with a higher release number."
            )
        # The file stands before the list names it.
        write_durably(self._model_path(manifest.digest), package.model)
        with self.repository.editing() as targets:
            file = TargetFile.from_data(path, package.model, ["sha256"])
            file.unrecognized_fields["custom"] = release_to_custom(target)
            targets[path] = file
        return True

    def withdraw(self, name: str, release: int) -> ReleaseTarget:
        """Take a release from the list: no device activates it any more, and the one returned was it.

        Raises:
            UsageError: it is not listed.
        """
        found = self.find(name, release)
        with self.repository.editing() as targets:
            del targets[target_path(found.manifest.ref)]
        return found

    def find(self, name: str, release: int) -> ReleaseTarget:
        """One listed release.

        Raises:
            UsageError: it is not listed; the text says what is.
        """
        listed = self.listed()
        for target in listed:
            if (target.manifest.name, target.manifest.release) == (name, release):
                return target
        known = ", ".join(f"{target.manifest.name} {target.manifest.release}" for target in listed) or "none"
        raise UsageError(f"{name} {release} is not released (listed: {known}); run: edgewise release FILE.ewm")

    def listed(self) -> list[ReleaseTarget]:
        """All listed releases, by name and number."""
        targets = (release_from_custom(file.custom) for file in self.repository.listed().values())
        return sorted(targets, key=lambda target: (target.manifest.name, target.manifest.release))

    def model(self, ref: ModelRef) -> bytes:
        """A listed release's file.

        Raises:
            TrustError: the file is missing or is not what was released.
        """
        path = self._model_path(ref.digest)
        data = path.read_bytes() if path.is_file() else b""
        if digest_of(data) != ref.digest:
            raise TrustError(f"{path} is missing or damaged; release the package of {ref.name} {ref.release} again.")
        return data

    def orphans(self) -> dict[str, int]:
        """Digests of kept files that no listed release names, with their number of chunks."""
        named = {file.hashes["sha256"] for file in self.repository.listed().values()}
        kept = (self.repository.directory / _MODELS).glob("*.tflite")
        return {path.stem: -(-path.stat().st_size // limits.CHUNK_BYTES) for path in kept if path.stem not in named}

    def forget(self, digest: str) -> None:
        """Delete the file of a withdrawn release."""
        self._model_path(digest).unlink(missing_ok=True)

    def _model_path(self, digest: str) -> Path:
        return self.repository.directory / _MODELS / f"{digest}.tflite"


def cut(model: bytes) -> Chunks:
    """The digests of a model file's chunks."""
    return Chunks(size=limits.CHUNK_BYTES, digests=tuple(digest_of(chunk) for chunk in pieces(model)))


def pieces(model: bytes) -> list[bytes]:
    """A model file in chunks; only the last may be shorter."""
    return [model[start : start + limits.CHUNK_BYTES] for start in range(0, len(model), limits.CHUNK_BYTES)]

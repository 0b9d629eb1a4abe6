"""Releases: a package becomes two listed TUF targets, the model file and the release file that describes it.

Listing is what makes a model runnable anywhere; withdrawing is what ends that. Both files of listed releases are kept
under `models/` by their digest, so that a broker that lost everything can be filled again.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from tuf.api.metadata import TargetFile

from edge_contract import durable, limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import GateRefusedError, TrustError, UsageError
from edge_contract.manifest import digest_of
from edge_contract.messages import ModelRef
from edge_contract.package import ModelPackage
from edge_contract.trust import (
    Chunks,
    ListedRelease,
    Release,
    blob_of_target,
    decode_release,
    encode_release,
    file_custom,
    model_path,
    release_path,
)
from edge_fleet.releases.metadata_folder import PUBLIC
from edge_fleet.releases.repository import Repository

_FILES: Final = "models"
_MODEL, _RELEASE = ".tflite", ".json"


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of one repository."""

    repository: Repository

    def add(self, package: ModelPackage, notes: str = "") -> bool:
        """List a package as a release; False when exactly this model is listed under its name and number already.

        Raises:
            GateRefusedError: the package itself says that the gate refused the model.
            UsageError: the same name and number are taken by another model, or the list is full.
        """
        manifest = package.manifest
        if manifest.gate is not None and not manifest.gate.passed:
            raise GateRefusedError(
                f"the gate refused {package.file_name} ({'; '.join(manifest.gate.reasons) or 'no reason given'})",
                remedy="release one that passed",
            )
        release = Release(manifest=manifest, chunks=Chunks.of(package.model), notes=notes)
        with self.repository.locked():  # else they are files that no release names, which publishing tidies away
            taken = self._is_taken(release)
            # Both files stand before the list names them. Of a listed release they are written again: one may be lost.
            self.keep_file(package.model, _MODEL)
            described = self.keep_release_file(release)
            if not taken:
                model = TargetFile.from_data(model_path(manifest.ref), package.model, ["sha256"])
                with self.repository.editing() as targets:
                    targets |= {model.path: model, described.path: described}
            return not taken

    def withdraw(self, name: str, release: int) -> str:
        """Take a release from the list, and return its model's digest: no device activates it any more.

        Its files are not read: this is also the way out for a release whose files are damaged or cannot be read.

        Raises:
            UsageError: it is not listed.
        """
        listed = self.repository.listed()
        ref = ModelRef(name=name, release=release, digest="")
        if model_path(ref) not in listed:
            self.find(name, release)
        with self.repository.editing() as targets:
            digest: str = targets.pop(model_path(ref)).hashes["sha256"]
            targets.pop(release_path(ref), None)
        return digest

    def find(self, name: str, release: int) -> Release:
        """One listed release.

        Raises:
            UsageError: it is not listed; the text says what is.
        """
        listed = self.listed()
        for known in listed:
            if _names(known, name, release):
                return known
        names = ", ".join(f"{known.manifest.name} {known.manifest.release}" for known in listed) or "none"
        raise UsageError(
            f"{name} {release} is not released (listed: {names})", remedy="run `edgewise release FILE.ewm`"
        )

    def listed(self) -> list[Release]:
        """All listed releases, by name and number.

        Raises:
            TrustError: a release file is missing or is not what was released.
            UsageError: an earlier version of this command wrote the list.
        """
        targets = self.repository.listed()
        found = [self._read(path, targets) for path in targets if path.endswith(_MODEL)]
        return sorted(found, key=lambda release: (release.manifest.name, release.manifest.release))

    def readable(self) -> list[Release]:
        """As `listed`, without those whose release file is missing or damaged."""
        targets, found = self.repository.listed(), list[Release]()
        for path in sorted(path for path in targets if path.endswith(_MODEL)):
            with contextlib.suppress(TrustError, UsageError):
                found.append(self._read(path, targets))
        return found

    def files(self, release: Release) -> dict[str, bytes]:
        """Both files of a listed release by digest, the release file first.

        Raises:
            TrustError: one is missing or damaged.
        """
        manifest = release.manifest
        described = encode_release(release)
        model = self._file(manifest.digest, _MODEL, manifest.ref)
        return {digest_of(described): described, manifest.digest: model}

    def listed_file(self, digest: str) -> bytes | None:
        """A file of a listed release by its digest; None for any other.

        Raises:
            TrustError: it is missing or damaged.
        """
        for path, target in self.repository.listed().items():
            if target.hashes.get("sha256") == digest:
                where = PurePosixPath(path)
                ref = ModelRef(name=where.parent.name, release=int(where.stem), digest=digest)
                return self._file(digest, where.suffix, ref)
        return None

    def orphans(self) -> dict[str, int]:
        """Digests of kept files that no listed release names, with their number of chunks."""
        named = {file.hashes["sha256"] for file in self.repository.listed().values()}
        return {
            path.stem: -(-path.stat().st_size // limits.CHUNK_BYTES)
            for path in (self.repository.directory / _FILES).glob("*.*")
            if path.stem not in named and path.suffix in {_MODEL, _RELEASE}
        }

    def lacking(self) -> dict[str, str]:
        """Listed files that are missing or damaged: the target's path by digest."""
        lost: dict[str, str] = {}
        for path, target in self.repository.listed().items():
            digest, file = target.hashes["sha256"], self._path(target.hashes["sha256"], PurePosixPath(path).suffix)
            if not _is_whole(file, digest):
                lost[digest] = path
        return lost

    def keep_file(self, data: bytes, suffix: str) -> None:
        """Write a file of a release down under its digest."""
        durable.write_file(self._path(digest_of(data), suffix), data, mode=PUBLIC, parents=True)

    def forget(self, digest: str) -> None:
        """Delete a file of a withdrawn release."""
        for suffix in (_MODEL, _RELEASE):
            self._path(digest, suffix).unlink(missing_ok=True)

    def keep_release_file(self, release: Release) -> TargetFile:
        """Write a release file down; the target to be listed for it.

        Raises:
            UsageError: it would be larger than a device takes, or no device could read it.
        """
        data = encode_release(release)
        _check_readable(data, release)
        if len(data) > limits.RELEASE_BYTES:
            raise UsageError(
                f"the release file of {release.manifest.name} {release.manifest.release} would have {len(data)} bytes, "
                f"more than {limits.RELEASE_BYTES}",
                remedy="package the model with fewer goldens",
            )
        self.keep_file(data, _RELEASE)
        file = TargetFile.from_data(release_path(release.manifest.ref), data, ["sha256"])
        if (custom := file_custom(Chunks.of(data))) is not None:
            file.unrecognized_fields["custom"] = custom
        return file

    def _is_taken(self, release: Release) -> bool:
        """Whether it is listed; raises UsageError where another one is under its name and number."""
        manifest, targets = release.manifest, self.repository.listed()
        if model_path(manifest.ref) not in targets:
            return False
        file = targets.get(release_path(manifest.ref))
        same = file is not None and file.hashes.get("sha256") == digest_of(encode_release(release))
        if same:
            return True
        if file is not None and targets[model_path(manifest.ref)].hashes["sha256"] == manifest.digest:
            kept = self._path(file.hashes["sha256"], _RELEASE)
            if not _is_whole(kept, kept.stem):
                return False  # the same model, and what described it is lost: it is described anew
        if self._read(model_path(manifest.ref), targets).manifest == manifest:
            return True
        raise UsageError(
            f"{manifest.name} {manifest.release} is released already and differs from this package",
            remedy="package it with a higher release number",
        )

    def _read(self, path: str, targets: dict[str, TargetFile]) -> Release:
        model = targets[path]
        where = PurePosixPath(path)
        ref = ModelRef(name=where.parent.name, release=int(where.stem), digest=model.hashes["sha256"])
        file = targets.get(release_path(ref))
        if file is None:
            raise UsageError(
                f"{ref.name} {ref.release} was released by an earlier version", remedy="run `edgewise release refresh`"
            )
        blob = blob_of_target(file.length, file.hashes, file.custom)
        listed = ListedRelease(model=ref.digest, size=model.length, file=blob)
        data = self._file(blob.digest, _RELEASE, ref)
        try:
            return decode_release(data, ref, listed)
        except TrustError as error:
            raise TrustError(
                f"{error.problem.rstrip('.')}", remedy=f"run `edgewise release withdraw {ref.name} {ref.release}`"
            ) from error

    def _file(self, digest: str, suffix: str, ref: ModelRef) -> bytes:
        path = self._path(digest, suffix)
        data = read_file(path, limits.PACKAGE_BYTES) if path.is_file() else b""
        if digest_of(data) != digest:
            raise TrustError(
                f"{path} is missing or damaged", remedy=f"release the package of {ref.name} {ref.release} again"
            )
        return data

    def _path(self, digest: str, suffix: str) -> Path:
        return self.repository.directory / _FILES / f"{digest}{suffix}"


def _is_whole(file: Path, digest: str) -> bool:
    """Whether a kept file is there with its digest."""
    try:
        return digest_of(read_file(file, max(limits.MODEL_BYTES, limits.RELEASE_BYTES))) == digest
    except OSError:
        return False


def _check_readable(data: bytes, release: Release) -> None:
    """What is signed can be read again, by this command and by devices: else it could not even be pushed."""
    try:
        msgspec.json.decode(data, type=Release)
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"the release file of {release.manifest.name} {release.manifest.release} could not be read again ({error})",
            remedy="give shorter --notes, or package the model again",
        ) from error


def _names(release: Release, name: str, number: int) -> bool:
    return (release.manifest.name, release.manifest.release) == (name, number)

"""Signed metadata as files, `metadata/{N.root,N.targets,N.snapshot,timestamp}.json`: read, verified, written durably.

What is read holds under a root of this folder, or is named with the way to have it again. Who signs what, and when that
expires, is `repository`'s.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edge_contract import durable, limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError, TrustError, UsageError

PUBLIC: Final = 0o644
"""Permissions of all that the release side writes but keys, whatever the umask: all may read, its owner may change."""

_RESTORE: Final = "restore it from a backup, or run `edgewise fleet recover`, which has it from the broker"
_S = TypeVar("_S", Root, Targets, Snapshot, Timestamp)


class MetadataFolder:
    """The files of one repository."""

    def __init__(self, directory: Path) -> None:
        """`directory`: the release side's folder. Nothing is made before it is written."""
        self._directory = directory
        self._metadata = directory / "metadata"

    def root_versions(self) -> list[int]:
        """1, 2, … without a gap, as devices walk them."""
        versions: list[int] = []
        while (self._metadata / f"{len(versions) + 1}.root.json").exists():
            versions.append(len(versions) + 1)
        return versions

    def require(self) -> list[int]:
        """The root versions, of which there is one at least.

        Raises:
            UsageError: there is none.
        """
        versions = self.root_versions()
        if not versions:
            raise UsageError(f"{self._directory} holds no keys yet", remedy="run `edgewise keys init`")
        return versions

    def trusted_root(self) -> Root:
        """The one that devices are installed with; later ones are reached from it, one signed by the other.

        Raises:
            EdgewiseError: there is none, or it is damaged: then `root.json` is the same file.
        """
        self.require()
        try:
            return self.parse("1.root.json", Root).signed
        except TrustError as error:
            raise TrustError(
                error.problem, remedy=f"copy {self._directory / 'root.json'} over it, which is the same file"
            ) from error

    def newest_root(self) -> Root:
        """The one in force."""
        return self.parse(f"{self.require()[-1]}.root.json", Root).signed

    def roots(self) -> dict[int, bytes]:
        """Every root so far by its version, from the first on without a gap."""
        return {version: self.read(f"{version}.root.json") for version in self.root_versions()}

    def own(self, name: str) -> bytes | None:
        """A file as it was signed here, superseded ones too; None where there is none of this name."""
        return self.read(name) if (self._metadata / name).is_file() else None

    def verified(self, name: str, kind: type[_S], roots: Sequence[Metadata[Root]]) -> _S:
        """What a file holds, if one of these roots names who signed it.

        Raises:
            TrustError: none does, or it is damaged.
        """
        metadata = self.parse(name, kind)
        for root in roots:
            with contextlib.suppress(RepositoryError):
                root.signed.verify_delegate(kind.type, metadata.signed_bytes, metadata.signatures)
                return metadata.signed
        raise TrustError(f"{self._metadata / name} is not signed by this repository's keys", remedy=_RESTORE)

    def parse(self, name: str, kind: type[_S]) -> Metadata[_S]:
        """A file as metadata of this kind, its signatures not checked."""
        try:
            metadata: Metadata[_S] = Metadata[_S].from_bytes(self.read(name))
        except DeserializationError as error:
            raise TrustError(f"{self._metadata / name} is damaged", remedy=_RESTORE) from error
        if not isinstance(metadata.signed, kind):
            raise TrustError(f"{self._metadata / name} is of another kind than its name", remedy=_RESTORE)
        return metadata

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        try:
            return read_file(self._metadata / name, limits.DOCUMENT_BYTES)
        except OSError as error:
            raise EdgewiseError(
                f"{self._metadata / name} cannot be read ({error.strerror})", remedy=_RESTORE
            ) from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file as it was signed elsewhere."""
        durable.write_file(self._metadata / name, data, mode=PUBLIC, parents=True)

    def write_signed(self, name: str, signed: _S, signers: Sequence[Signer]) -> None:
        """Sign and write.

        Raises:
            UsageError: it would be larger than a gateway passes.
        """
        metadata = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes()
        if len(data) > limits.METADATA_BYTES:
            raise UsageError(
                f"{name} would have {len(data):,} bytes and gateways pass {limits.METADATA_BYTES:,} in one packet",
                remedy="withdraw releases that no device runs (`edgewise release withdraw NAME RELEASE`)",
            )
        self.write(name, data)

"""TUF on the device: `tuf.ngclient` verifies the files it is given, and what holds is kept in `trust/`.

Runs in the verifying child alone. There is no network here: a file that was not given is absent, but the timestamp,
for which the kept one stands in, so that a device without a broker knows what it knew. Metadata that does not verify,
is older than what was seen, or has expired leaves everything as it was: the device holds what it runs.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from securesystemslib.signer import Key
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, TargetFile, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edge_agent.trust.clock import SignedTime
from edge_agent.trust.evidence import OnlineKeys
from edge_agent.trust.listed import TrustedMetadata
from edge_contract import limits
from edge_contract.bounded_read import check_file, read_file
from edge_contract.durable import sync_directory, sync_file
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.trust import ISSUED_FIELD, ListedRelease, blob_of_target

_URL: Final = "mqtt:"
_MODEL, _RELEASE = ".tflite", ".json"
_RECOVER: Final = "if the release side's folder is an old copy, run `edgewise fleet recover` there"
_RENEW: Final = {
    "root": "run `edgewise keys rotate root` with the root keys, then `edgewise fleet heal`",
    "release list": "run `edgewise release refresh`, then `edgewise fleet heal`",
}


class _GivenFetcher(FetcherInterface):
    """Answers from the files that came with the question, and the timestamp from what was verified before."""

    def __init__(self, directory: Path) -> None:
        self.given: Mapping[str, bytes] = {}
        self._directory = directory

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        data = self.given.get(name)
        if data is None and name == "timestamp.json" and (kept := self._directory / name).is_file():
            data = read_file(kept, limits.METADATA_BYTES)
        if data is None:
            # TUF asks for the next root until it is told that there is none.
            raise DownloadHTTPError(f"{name} is not on the broker", 404)
        return iter((data,))


class Trust:
    """The device's TUF client and its kept metadata; one process at a time."""

    def __init__(self, directory: Path, root: bytes) -> None:
        """`root`: the first root metadata, from the installation. Waits for another process that works here.

        Raises:
            EdgewiseError: that root is not usable, or the disk does not take it.
        """
        self._directory, self._bootstrap = directory, root
        self._fetcher = _GivenFetcher(directory)
        try:
            # Held until `close`: a child left over from an agent that was killed must not write an older file over a
            # newer one.
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                for kept in directory.rglob("*.json"):
                    if kept.is_symlink() and not kept.exists():
                        kept.unlink()  # a power cut took what it names: the newest root is linked anew
                    else:
                        check_file(kept, limits.METADATA_BYTES)  # TUF opens them by name, and reads whatever comes
                updater = self._updater()
                self._root: Root = updater._trusted_set.root
                self._next: Updater | None = updater  # the first question's: the kept root is verified once
            except BaseException:
                self.close()
                raise
        except RepositoryError as error:
            raise EdgewiseError(
                f"the root metadata of this device cannot be used ({error})", remedy="install root.json again"
            ) from error
        except OSError as error:
            raise _not_kept(error) from error

    def close(self) -> None:
        """Let another process work here."""
        os.close(self._lock)

    @property
    def online_keys(self) -> Sequence[Key]:
        """Who may sign desired states and commands, by the newest root that `refresh` came to."""
        return [self._root.keys[keyid] for keyid in self._root.roles[Timestamp.type].keyids]

    @property
    def online(self) -> OnlineKeys:
        """Their ids, and how many of them must."""
        role = self._root.roles[Timestamp.type]
        return OnlineKeys(tuple(role.keyids), role.threshold)

    def refresh(self, files: Mapping[str, bytes], system: float, signed: SignedTime) -> TrustedMetadata:
        """Verify what is new among `files` (by TUF's names), against the trusted time.

        That is the later of what the board's clock says (`system`, seconds since 1970) and what was `signed`, if that
        counts under the newest root among `files`: a key that it revokes may have signed any time.

        Raises:
            TrustError: something does not verify, is older than what was seen, or has expired.
            EdgewiseError: something is not there.
        """
        self._fetcher.given = files
        updater = self._next or self._updater()
        trusted = updater._trusted_set  # no public way to what was verified, nor to the time it is verified against
        try:
            updater._load_root()  # what `refresh` begins with, and finds done then: the time depends on it
            self._root = trusted.root
            now = max(system, signed.seconds) if signed.counts(self.online) else system
            trusted.reference_time = datetime.fromtimestamp(now, UTC)
            updater.refresh()
        except ExpiredMetadataError as error:
            role = "root" if trusted.root.is_expired(trusted.reference_time) else "release list"
            raise TrustError(f"the {role} has expired ({error}): holding what runs", remedy=_RENEW[role]) from error
        except BadVersionNumberError as error:
            raise TrustError(
                f"metadata older than what was seen before arrived ({error}): refused", remedy=_RECOVER
            ) from error
        except UnsignedMetadataError as error:
            raise TrustError(f"metadata arrived without the signatures of trusted keys ({error}): refused.") from error
        except RepositoryError as error:
            raise TrustError(f"metadata arrived that does not verify ({error}): refused.") from error
        except DownloadError as error:
            raise EdgewiseError(f"signed metadata is missing ({error})", remedy="run `edgewise fleet heal`") from error
        except OSError as error:
            raise _not_kept(error) from error
        finally:
            self._next = None
            self._root = trusted.root  # new roots count even when what follows them does not
        self._keep()
        parts = (trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets)
        return TrustedMetadata(
            version=trusted.timestamp.version,
            expires=min(part.expires.timestamp() for part in parts),
            issued=_issued(trusted.timestamp),
            signers=self._signers_of_timestamp(),
            releases=listed_releases(trusted.targets.targets),
        )

    def _signers_of_timestamp(self) -> tuple[str, ...]:
        """Whose signatures the one that was just verified and kept has."""
        kept: Metadata[Timestamp] = Metadata.from_file(str(self._directory / "timestamp.json"))
        result = self._root.get_verification_result(Timestamp.type, kept.signed_bytes, kept.signatures)
        return tuple(result.signed)

    def _updater(self) -> Updater:
        limit = limits.METADATA_BYTES
        config = UpdaterConfig(
            root_max_length=limit, timestamp_max_length=limit, snapshot_max_length=limit, targets_max_length=limit
        )
        return Updater(str(self._directory), _URL, fetcher=self._fetcher, config=config, bootstrap=self._bootstrap)

    def _keep(self) -> None:
        """TUF renames without fsync; without it a power cut could undo what protects from older metadata."""
        for path in self._directory.rglob("*.json"):
            sync_file(path)
        sync_directory(self._directory / "root_history")
        sync_directory(self._directory)


def _issued(timestamp: Timestamp) -> int:
    """When it was signed; never past its own expiry, for a time that no calendar has would end every later question."""
    issued = timestamp.unrecognized_fields.get(ISSUED_FIELD)
    return min(max(0, issued), int(timestamp.expires.timestamp())) if isinstance(issued, int) else 0


def _not_kept(error: OSError) -> EdgewiseError:
    return EdgewiseError(f"verified metadata cannot be kept ({error})", remedy="check the disk")


def listed_releases(targets: Mapping[str, TargetFile]) -> dict[str, ListedRelease | str]:
    """The releases of verified targets, by `NAME/RELEASE`; what cannot be fetched as the reason why."""
    found: dict[str, ListedRelease | str] = {}
    for path, model in targets.items():
        name = path.removesuffix(_MODEL)
        if name == path:
            continue
        try:
            if (file := targets.get(name + _RELEASE)) is None:
                raise TrustError(
                    f"{name} is listed without its release file: refused", remedy="run `edgewise release refresh`"
                )
            blob = blob_of_target(file.length, file.hashes, file.custom)
            if (digest := model.hashes.get("sha256")) is None or model.length > limits.MODEL_BYTES:
                raise TrustError(f"{name} is listed without a SHA-256 or with more bytes than a model has: refused.")
            found[name] = ListedRelease(model=digest, size=model.length, file=blob)
        except TrustError as error:
            found[name] = str(error)
    return found

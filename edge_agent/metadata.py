"""TUF over MQTT: `tuf.ngclient` verifies, a fetcher answers from retained messages, and what was verified is read here.

The fetcher believes nothing. The index is a hint that saves waiting for files that do not exist; whoever forges it
can only hide news, which withholding messages does too, and which the timestamp's expiry ends. What TUF verified is
kept in `trust/`; metadata that does not verify, is older than what was seen, or has expired leaves everything as it
was: the device holds what it runs.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from tuf.api.metadata import Root, TargetFile, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edge_agent.durable import sync_directory, sync_file
from edge_agent.trusted_time import TrustedClock
from edge_contract import limits
from edge_contract.errors import EdgewiseError, MessageError, TrustError
from edge_contract.messages import ModelRef, TrustIndex, decode
from edge_contract.topics import PREFIX
from edge_contract.trust import ISSUED_FIELD, ReleaseTarget, release_from_custom, target_path

FILTER: Final = f"{PREFIX}/trust/+"
SILENCE_S: Final = 5.0
"""How long a retained message may take; a broker hands it out within milliseconds of the subscription."""
_URL: Final = "mqtt:"
_KEPT: Final = 64  # files held at most; a release side publishes its roots and two versions of the rest


class RetainedFetcher(FetcherInterface):
    """Answers TUF's file names from what a subscription to `FILTER` delivers."""

    def __init__(self, silence: float = SILENCE_S) -> None:
        """`silence`: seconds to wait for a file before it counts as absent."""
        self._files: dict[str, bytes] = {}
        self._changed = threading.Condition()
        self._silence = silence
        self._closed = False

    def receive(self, topic: str, payload: bytes) -> None:
        """A message arrived (on the link's thread)."""
        name = topic.rpartition("/")[2]
        with self._changed:
            if payload and len(payload) <= limits.METADATA_BYTES and (name in self._files or len(self._files) < _KEPT):
                self._files[name] = payload
            elif not payload:
                self._files.pop(name, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for nothing any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        with self._changed:
            deadline = time.monotonic() + self._silence
            while name not in self._files:
                left = deadline - time.monotonic()
                if left <= 0 or self._closed or self._beyond_index(name):
                    # TUF asks for the next root until it is told that there is none.
                    raise DownloadHTTPError(f"{name} is not on the broker", 404)
                self._changed.wait(left)
            return iter((self._files[name],))

    def _beyond_index(self, name: str) -> bool:
        version, _, role = name.partition(".")
        if role != "root.json" or "index.json" not in self._files:
            return False
        try:
            return int(version) > decode(self._files["index.json"], TrustIndex).root
        except (MessageError, ValueError):
            return False


class _KeptFetcher(FetcherInterface):
    """Answers from what was verified before, so that a device without a broker knows what it knew."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        if name != "timestamp.json":
            raise DownloadHTTPError(f"{name} is not asked for without a broker", 404)
        return iter(((self._directory / name).read_bytes(),))


@dataclass(frozen=True, slots=True)
class TrustedMetadata:
    """What the release side vouches for, verified."""

    targets: dict[str, TargetFile]
    version: int
    """The timestamp's."""
    expires: float
    """When the first of it expires, seconds since 1970."""

    def release(self, model: ModelRef) -> ReleaseTarget:
        """The listed release of a model.

        Raises:
            TrustError: it is not listed, or what is listed contradicts itself or the desired state.
        """
        name = f"{model.name} {model.release}"
        file = self.targets.get(target_path(model))
        if file is None:
            raise TrustError(f"{name} is not among the listed releases (never released, or withdrawn): refused.")
        release = release_from_custom(file.custom)
        manifest = release.manifest
        if manifest.ref.name != model.name or manifest.release != model.release:
            raise TrustError(f"the manifest listed for {name} is that of another release: refused.")
        if file.hashes.get("sha256") != manifest.digest or file.length != manifest.size:
            raise TrustError(f"the manifest of {name} names another file than the signed list does: refused.")
        if manifest.digest != model.digest:
            raise TrustError(f"the desired state of {name} names another model than the signed list does: refused.")
        return release


class Trust:
    """The device's TUF client and its kept metadata."""

    def __init__(self, directory: Path, root: bytes, clock: TrustedClock) -> None:
        """`root`: the first root metadata, from the installation.

        Raises:
            EdgewiseError: that root is not usable.
        """
        self._directory, self._bootstrap, self._clock = directory, root, clock
        directory.mkdir(parents=True, exist_ok=True)
        try:
            self._root: Root = self._updater(_KeptFetcher(directory))._trusted_set.root
        except (RepositoryError, OSError) as error:
            raise EdgewiseError(
                f"the root metadata of this device cannot be used ({error}); install root.json again."
            ) from error

    @property
    def online_keys(self) -> Sequence[Key]:
        """Who may sign desired states and commands."""
        return [self._root.keys[keyid] for keyid in self._root.roles[Timestamp.type].keyids]

    @property
    def online_threshold(self) -> int:
        """How many of them must."""
        return self._root.roles[Timestamp.type].threshold

    def kept(self) -> TrustedMetadata | None:
        """What was verified before and holds still, without asking anybody; None when that is nothing."""
        with contextlib.suppress(EdgewiseError):
            return self.refresh(_KeptFetcher(self._directory))
        return None

    def refresh(self, fetcher: FetcherInterface) -> TrustedMetadata:
        """Fetch and verify what is new.

        Raises:
            TrustError: something does not verify, is older than what was seen, or has expired.
            EdgewiseError: something is not there.
        """
        updater = self._updater(fetcher)
        trusted = updater._trusted_set  # no public way to what was verified, nor to the time it is verified against
        trusted.reference_time = datetime.fromtimestamp(self._clock.now(), UTC)
        try:
            updater.refresh()
        except ExpiredMetadataError as error:
            raise TrustError(f"{error}: holding what runs; run `edgewise release refresh` and heal.") from error
        except BadVersionNumberError as error:
            raise TrustError(f"metadata older than what was seen before arrived ({error}): refused.") from error
        except UnsignedMetadataError as error:
            raise TrustError(f"metadata arrived without the signatures of trusted keys ({error}): refused.") from error
        except RepositoryError as error:
            raise TrustError(f"metadata arrived that does not verify ({error}): refused.") from error
        except DownloadError as error:
            raise EdgewiseError(f"signed metadata is missing ({error}); run `edgewise fleet heal`.") from error
        except OSError as error:
            raise EdgewiseError(f"verified metadata cannot be kept ({error}); check the disk.") from error
        finally:
            self._root = trusted.root  # new roots count even when what follows them does not
        self._keep()
        issued = trusted.timestamp.unrecognized_fields.get(ISSUED_FIELD)
        if isinstance(issued, int):
            self._clock.learn(issued)
        parts = (trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets)
        return TrustedMetadata(
            targets=dict(trusted.targets.targets),
            version=trusted.timestamp.version,
            expires=min(part.expires.timestamp() for part in parts),
        )

    def _updater(self, fetcher: FetcherInterface) -> Updater:
        limit = limits.METADATA_BYTES
        config = UpdaterConfig(root_max_length=limit, snapshot_max_length=limit, targets_max_length=limit)
        return Updater(str(self._directory), _URL, fetcher=fetcher, config=config, bootstrap=self._bootstrap)

    def _keep(self) -> None:
        """TUF renames without fsync; without it a power cut could undo what protects from older metadata."""
        for path in self._directory.glob("*.json"):
            sync_file(path)
        sync_directory(self._directory)

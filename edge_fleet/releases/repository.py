"""The TUF repository on the release side's disk: who may sign, what is listed, and when that expires.

Layout: `metadata/{N.root,N.targets,N.snapshot,timestamp}.json`. Every change writes new versioned files first and
`timestamp.json` last, each by temporary file, fsync and rename: the timestamp names all others, so a change is there
entirely or not at all, and what a killed command left behind is not named and is written over. A lock keeps two
commands apart. What a release is, and how it travels, is not known here.
"""

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeVar

from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edge_contract import durable, limits, messages, trust
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_fleet.releases.keys import KeyStore

ROOT_LIFE: Final = timedelta(days=730)  # re-signed by people with the offline keys: rarely
TARGETS_LIFE: Final = timedelta(days=365)  # re-signed by the release key with every release
ONLINE_LIFE: Final = timedelta(days=14)  # how long a device can be kept from news unnoticed; `release refresh` renews

PUBLIC: Final = 0o644
"""Permissions of all that is written here but keys, whatever the umask: all may read, its owner alone may change it."""

Role = Literal["root", "targets", "snapshot", "timestamp"]
KEY_NAMES: Final[Mapping[Role, str]] = {
    "root": "root", "targets": "release", "snapshot": "online", "timestamp": "online"
}  # fmt: skip
_S = TypeVar("_S", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class _Listed:
    """The newest metadata that belongs together."""

    root: Root
    targets: Targets
    snapshot: Snapshot
    timestamp: Timestamp


class Repository:
    """Signed metadata in one folder; every public method leaves it whole."""

    def __init__(self, directory: Path, keys: KeyStore, now: Callable[[], datetime]) -> None:
        """`now` gives the time in UTC that expiries are counted from."""
        self.directory = directory
        self._metadata = directory / "metadata"
        self._keys = keys
        self._now = now

    def create(self, *, root_keys: int, threshold: int) -> None:
        """Make all keys and the first metadata, with nothing listed.

        Raises:
            UsageError: a repository is here already, or the threshold cannot be met.
        """
        if not 1 <= threshold <= root_keys <= 9:
            raise UsageError(
                f"a threshold of {threshold} with {root_keys} root keys cannot be", remedy="give 1 to 9 root keys"
            )
        with self._locked():
            if self._root_versions():
                raise UsageError(f"{self.directory} holds keys and releases already", remedy="choose another folder")
            root = Root(expires=self._expiry(ROOT_LIFE), consistent_snapshot=True)
            root_signers: list[Signer] = []
            for _ in range(root_keys):
                root_signers.append(signer := self._keys.create("root"))
                root.add_key(signer.public_key, Root.type)
            root.roles[Root.type].threshold = threshold
            release, online = self._keys.create("release"), self._keys.create("online")
            root.add_key(release.public_key, Targets.type)
            root.add_key(online.public_key, Snapshot.type)
            root.add_key(online.public_key, Timestamp.type)
            listed = _Listed(root, Targets(), Snapshot(), Timestamp())
            listed.targets.version = listed.snapshot.version = listed.timestamp.version = 0  # counted up to 1 below
            self._publish(listed, new_targets=True)
            self._write_signed("1.root.json", root, root_signers)  # last: it says that a repository is here

    @property
    def exists(self) -> bool:
        """Whether `create` was run here."""
        return bool(self._root_versions())

    def listed(self) -> dict[str, TargetFile]:
        """The targets in force by path, verified."""
        return dict(self._load().targets.targets)

    @contextlib.contextmanager
    def editing(self) -> Iterator[dict[str, TargetFile]]:
        """Change what is listed: the dictionary yielded becomes the new targets when the block ends without error."""
        with self._locked():
            listed = self._load()
            targets = dict(listed.targets.targets)
            yield targets
            listed.targets.targets = targets
            self._publish(listed, new_targets=True)

    def refresh(self, *, only_when_due: bool = False) -> bool:
        """Sign snapshot and timestamp again with a new expiry; True when it was done.

        `only_when_due` leaves metadata alone that has more than half of its life before it.
        """
        with self._locked():
            listed = self._load()
            if only_when_due and listed.timestamp.expires - self._now() > ONLINE_LIFE / 2:
                return False
            # Targets are the release key's: they are renewed with a release, or here when they would expire first.
            self._publish(listed, new_targets=listed.targets.expires - self._now() <= ONLINE_LIFE)
            return True

    def rotate(self, role: Literal["root", "release", "online"]) -> int:
        """Replace a key (for "root": only sign with a new expiry) in a new root version, which is returned.

        The new root is signed by a threshold of the root keys, and everything else again by the keys it names.

        Raises:
            EdgewiseError: fewer root keys are here than the threshold asks for.
        """
        with self._locked():
            listed = self._load()
            root = listed.root
            signers = self._root_signers(root)
            if role != "root":
                fresh = self._keys.create(role)
                for tuf_role in (name for name, key_name in KEY_NAMES.items() if key_name == role):
                    for keyid in list(root.roles[tuf_role].keyids):
                        root.revoke_key(keyid, tuf_role)
                    root.add_key(fresh.public_key, tuf_role)
            root.version += 1
            root.expires = self._expiry(ROOT_LIFE)
            self._write_signed(f"{root.version}.root.json", root, signers)
            self._publish(listed, new_targets=True)
            return root.version

    def expiries(self) -> dict[Role, datetime]:
        """When each role's metadata ends."""
        listed = self._load()
        return {
            "root": listed.root.expires,
            "targets": listed.targets.expires,
            "snapshot": listed.snapshot.expires,
            "timestamp": listed.timestamp.expires,
        }

    def key_files(self) -> list[tuple[str, Key, Path | None]]:
        """Every key in force: its name, its public half, and its file where that is on this machine."""
        root = self._load().root
        found: dict[str, tuple[str, Key, Path | None]] = {}
        for role, name in KEY_NAMES.items():
            for keyid in root.roles[role].keyids:
                key = root.keys[keyid]
                found.setdefault(keyid, (name, key, self._keys.find(name, key)))
        return list(found.values())

    def online_signer(self) -> Signer:
        """Signs desired states and commands: the key that the root names for `timestamp`."""
        return self._signer(self._load().root, "timestamp")

    def online_keys(self) -> list[Key]:
        """The public keys whose signature on a desired state counts."""
        root = self._load().root
        return [root.keys[keyid] for keyid in root.roles[Timestamp.type].keyids]

    def first_root(self) -> bytes:
        """The root that devices are installed with; later ones are reached from it, one signed by the other."""
        return self._read("1.root.json")

    def files(self) -> dict[str, bytes]:
        """All metadata that devices need, by file name, in an order in which each file's references stand before it."""
        listed = self._load()
        names = [f"{version}.root.json" for version in self._root_versions()]
        names += [f"{listed.targets.version}.targets.json", f"{listed.snapshot.version}.snapshot.json"]
        index = messages.TrustIndex(
            root=listed.root.version, snapshot=listed.snapshot.version, targets=listed.targets.version
        )
        files = {name: self._read(name) for name in names}
        return files | {"index.json": messages.encode(index), "timestamp.json": self._read("timestamp.json")}

    def _load(self) -> _Listed:
        """The metadata in force, each file verified: damage on this disk must not be signed again."""
        versions = self._root_versions()
        if not versions:
            raise UsageError(f"{self.directory} holds no keys yet", remedy="run `edgewise keys init`")
        # A killed rotation leaves metadata that an earlier root of ours vouches for: it is signed again by the next.
        roots = [self._parse(f"{version}.root.json", Root) for version in reversed(versions)]
        timestamp = self._verified("timestamp.json", Timestamp, roots)
        snapshot = self._verified(f"{timestamp.snapshot_meta.version}.snapshot.json", Snapshot, roots)
        targets = self._verified(f"{snapshot.meta['targets.json'].version}.targets.json", Targets, roots)
        return _Listed(roots[0].signed, targets, snapshot, timestamp)

    def _publish(self, listed: _Listed, *, new_targets: bool) -> None:
        """Sign and write targets (when they changed), snapshot and timestamp, each one version on."""
        root, targets, snapshot, timestamp = listed.root, listed.targets, listed.snapshot, listed.timestamp
        if new_targets:
            targets.version += 1
            targets.expires = self._expiry(TARGETS_LIFE)
            name = f"{targets.version}.targets.json"
            self._write_signed(name, targets, [self._signer(root, "targets")])
            snapshot.meta["targets.json"] = MetaFile.from_data(targets.version, self._read(name), ["sha256"])
        snapshot.version += 1
        snapshot.expires = self._expiry(ONLINE_LIFE)
        name = f"{snapshot.version}.snapshot.json"
        self._write_signed(name, snapshot, [self._signer(root, "snapshot")])
        timestamp.version += 1
        timestamp.expires = self._expiry(ONLINE_LIFE)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, self._read(name), ["sha256"])
        # Devices without a clock of their own learn from it what time it is at least.
        timestamp.unrecognized_fields[trust.ISSUED_FIELD] = int(self._now().timestamp())
        self._write_signed("timestamp.json", timestamp, [self._signer(root, "timestamp")])

    def _signer(self, root: Root, role: Role) -> Signer:
        return self._keys.signer(KEY_NAMES[role], root.keys[root.roles[role].keyids[0]])

    def _root_signers(self, root: Root) -> list[Signer]:
        keys = [root.keys[keyid] for keyid in root.roles[Root.type].keyids]
        here = [key for key in keys if self._keys.find("root", key)]
        needed = root.roles[Root.type].threshold
        if len(here) < needed:
            raise EdgewiseError(
                f"{len(here)} of the {needed} root keys that must sign are here",
                remedy="name the others' folders with --keys",
            )
        return [self._keys.signer("root", key) for key in here]

    def _root_versions(self) -> list[int]:
        """1, 2, … without a gap, as devices walk them."""
        versions: list[int] = []
        while (self._metadata / f"{len(versions) + 1}.root.json").exists():
            versions.append(len(versions) + 1)
        return versions

    def _verified(self, name: str, kind: type[_S], roots: list[Metadata[Root]]) -> _S:
        metadata = self._parse(name, kind)
        for root in roots:
            with contextlib.suppress(RepositoryError):
                root.signed.verify_delegate(kind.type, metadata.signed_bytes, metadata.signatures)
                return metadata.signed
        raise TrustError(
            f"{self._metadata / name} is not signed by this repository's keys", remedy="restore it from a backup"
        )

    def _parse(self, name: str, kind: type[_S]) -> Metadata[_S]:
        try:
            metadata: Metadata[_S] = Metadata[_S].from_bytes(self._read(name))
        except DeserializationError as error:
            raise TrustError(f"{self._metadata / name} is damaged", remedy="restore it from a backup") from error
        if not isinstance(metadata.signed, kind):
            raise TrustError(
                f"{self._metadata / name} is of another kind than its name", remedy="restore it from a backup"
            )
        return metadata

    def _read(self, name: str) -> bytes:
        try:
            return (self._metadata / name).read_bytes()
        except OSError as error:
            raise EdgewiseError(
                f"{self._metadata / name} cannot be read ({error.strerror})", remedy="restore it from a backup"
            ) from error

    def _write_signed(self, name: str, signed: _S, signers: list[Signer]) -> None:
        metadata = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes()
        if len(data) > limits.METADATA_BYTES:
            raise UsageError(
                f"{name} would have {len(data):,} bytes and gateways pass {limits.METADATA_BYTES:,} in one packet",
                remedy="withdraw releases that no device runs (`edgewise release withdraw NAME RELEASE`)",
            )
        durable.write_file(self._metadata / name, data, mode=PUBLIC, parents=True)

    def _expiry(self, life: timedelta) -> datetime:
        return (self._now().astimezone(UTC) + life).replace(microsecond=0)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise EdgewiseError(
                    f"another command works on {self.directory}", remedy="try again after it"
                ) from error
            yield

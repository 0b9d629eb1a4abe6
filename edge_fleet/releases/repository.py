"""The TUF repository on the release side's disk: who may sign, what is listed, and when that expires.

Every change writes new versioned files first and `timestamp.json` last, each by temporary file, fsync and rename: the
timestamp names all others, so a change is there entirely or not at all, and what a killed command left behind is not
named and is written over. A lock keeps two commands apart, also while one publishes. What a release is, and how it
travels, is not known here.

Nothing is signed while this machine's clock contradicts what was signed last: devices without a clock learn the time
from `timestamp.json`, and what they learned from a wrong one locks them out until it is revoked with its key.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from edge_contract import limits, messages, trust
from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError, UsageError
from edge_fleet.releases.clock_guard import check_clock
from edge_fleet.releases.keys import KeyStore
from edge_fleet.releases.listed import Elsewhere, Listed, Role
from edge_fleet.releases.lock import FolderLock
from edge_fleet.releases.metadata_folder import MetadataFolder

ROOT_LIFE: Final = timedelta(days=730)  # re-signed by people with the offline keys: rarely
TARGETS_LIFE: Final = timedelta(days=365)  # re-signed by the release key with every release
ONLINE_LIFE: Final = timedelta(days=14)  # how long a device can be kept from news unnoticed; `release refresh` renews

KEY_NAMES: Final[Mapping[Role, str]] = {
    "root": "root", "targets": "release", "snapshot": "online", "timestamp": "online"
}  # fmt: skip


class Repository:
    """Signed metadata in one folder; every public method leaves it whole."""

    def __init__(
        self, directory: Path, keys: KeyStore, now: Callable[[], datetime], *, clock_is_right: bool = False
    ) -> None:
        """`now` gives the time in UTC that expiries are counted from.

        `clock_is_right`: somebody looked at it, so it may be far ahead of what was signed last.
        """
        self.directory = directory
        self.metadata = MetadataFolder(directory)
        self._keys = keys
        self._now, self._clock_is_right = now, clock_is_right
        self._lock = FolderLock(directory)

    def create(self, *, root_keys: int, threshold: int) -> None:
        """Make all keys and the first metadata, with nothing listed.

        Raises:
            UsageError: a repository is here already, or the threshold cannot be met.
        """
        if not 1 <= threshold <= root_keys <= 9:
            raise UsageError(
                f"a threshold of {threshold} with {root_keys} root keys cannot be", remedy="give 1 to 9 root keys"
            )
        with self.locked():
            if self.metadata.root_versions():
                raise UsageError(f"{self.directory} holds keys and releases already", remedy="choose another folder")
            root = Root(expires=self._expiry(ROOT_LIFE), consistent_snapshot=True)
            root_signers: list[Signer] = list(self._keys.take_up("root", root_keys))
            for signer in root_signers:
                root.add_key(signer.public_key, Root.type)
            root.roles[Root.type].threshold = threshold
            (release,), (online,) = self._keys.take_up("release", 1), self._keys.take_up("online", 1)
            root.add_key(release.public_key, Targets.type)
            root.add_key(online.public_key, Snapshot.type)
            root.add_key(online.public_key, Timestamp.type)
            listed = Listed(root, Targets(), Snapshot(), Timestamp())
            listed.targets.version = listed.snapshot.version = listed.timestamp.version = 0  # counted up to 1 below
            self._publish(listed, new_targets=True)
            self.metadata.write_signed("1.root.json", root, root_signers)  # last: it says that a repository is here

    @property
    def exists(self) -> bool:
        """Whether `create` was run here."""
        return bool(self.metadata.root_versions())

    def listed(self) -> dict[str, TargetFile]:
        """The targets in force by path, verified."""
        return dict(self._load().targets.targets)

    @contextlib.contextmanager
    def editing(self) -> Iterator[dict[str, TargetFile]]:
        """Change what is listed: the dictionary yielded becomes the new targets when the block ends without error."""
        with self.locked():
            listed = self._load()
            self._check_clock(listed.timestamp)
            targets = dict(listed.targets.targets)
            yield targets
            listed.targets.targets = targets
            self._publish(listed, new_targets=True)

    def refresh(self, *, only_when_due: bool = False) -> bool:
        """Sign snapshot and timestamp again with a new expiry; True when it was done.

        `only_when_due` leaves metadata alone that has more than half of its life before it.
        """
        with self.locked():
            listed = self._load()
            self._check_clock(listed.timestamp)
            if only_when_due and listed.timestamp.expires - self._now() > ONLINE_LIFE / 2:
                return False
            # Targets are the release key's: they are renewed with a release, or here when they would expire first.
            self._publish(listed, new_targets=listed.targets.expires - self._now() <= ONLINE_LIFE)
            return True

    def rotate(self, role: Literal["root", "release", "online"]) -> int:
        """Replace a key (for "root": only sign with a new expiry) in a new root version, which is returned.

        The new root is signed by a threshold of the root keys, and everything else again by the keys it names. A new
        online key revokes what the old one said of the time, so the clock may be behind that.

        Raises:
            EdgewiseError: fewer root keys are here than the threshold asks for.
        """
        with self.locked():
            listed = self._load()
            self._check_clock(listed.timestamp, behind=role != "online")
            return self._rotate(listed, role)

    def _rotate(self, listed: Listed, role: Literal["root", "release", "online"]) -> int:
        root = listed.root
        signers = self._root_signers(root)
        for tuf_role in ("targets", "timestamp"):  # missing keys are named before a root is written
            if KEY_NAMES[tuf_role] != role:
                self._signer(root, tuf_role)
        if role != "root":
            fresh = self._keys.create(role)
            for tuf_role in (name for name, key_name in KEY_NAMES.items() if key_name == role):
                for keyid in list(root.roles[tuf_role].keyids):
                    root.revoke_key(keyid, tuf_role)
                root.add_key(fresh.public_key, tuf_role)
        root.version += 1
        root.expires = self._expiry(ROOT_LIFE)
        self.metadata.write_signed(f"{root.version}.root.json", root, signers)
        self._publish(listed, new_targets=True)
        return root.version

    def begin_again(self, *, dry_run: bool = False) -> None:
        """Where the metadata are lost: begin with the first root that `keys init` left beside them.

        Raises:
            UsageError: there is none either, or there is and this is a `dry_run`.
        """
        with self.locked():
            first = self.directory / "root.json"
            if not self.exists and first.is_file():
                if dry_run:
                    raise UsageError(
                        f"the metadata of {self.directory} are lost", remedy=f"run it without --dry-run, with {first}"
                    )
                self.metadata.write("1.root.json", read_file(first, limits.METADATA_BYTES))
            self.metadata.require()

    def take_over(self, found: Elsewhere, *, new_online_key: bool) -> None:
        """Go on from metadata that are newer than those here, one version above both; again after a kill.

        `new_online_key`: what the key before it signed, here or there, counts for nothing.

        Raises:
            EdgewiseError: a key is not here, or the clock contradicts what was signed last.
        """
        with self.locked():
            try:
                listed = self._load()
            except EdgewiseError:
                if found.targets is None or found.snapshot is None or found.timestamp is None or not self.exists:
                    raise
                listed = Listed(self.metadata.newest_root(), found.targets, found.snapshot, found.timestamp)
            self._check_clock(listed.timestamp, found.timestamp, behind=not new_online_key)
            for version in sorted(found.roots):  # each by itself leaves a chain that devices can walk
                self.metadata.write(f"{version}.root.json", found.roots[version])
            listed = listed.ahead_of(self.metadata.newest_root(), found, online=not new_online_key)
            if new_online_key:
                self._rotate(listed, "online")
            else:
                self._signer(listed.root, "timestamp")  # missing keys are named before anything is signed
                self._publish(listed, new_targets=True)
            for name, data in found.files.items():  # last: until now one of them may have been in force here
                self.metadata.write(name, data)

    def expiries(self) -> dict[Role, datetime]:
        """When each role's metadata ends."""
        return {role: part.expires for role, part in self._load().parts.items()}

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
        """Signs desired states and commands: the key that the root names for `timestamp`.

        Raises:
            EdgewiseError: it is not here, or the clock contradicts what was signed last.
        """
        listed = self._load()
        self._check_clock(listed.timestamp)
        return self._signer(listed.root, "timestamp")

    def release_signer(self) -> Signer:
        """Signs the list of releases.

        Raises:
            EdgewiseError: it is not here, or cannot be opened.
        """
        return self._signer(self._load().root, "targets")

    def online_keys(self) -> list[Key]:
        """The public keys whose signature on a desired state counts."""
        root = self.metadata.newest_root()
        return [root.keys[keyid] for keyid in root.roles[Timestamp.type].keyids]

    def past_online_keys(self) -> list[Key]:
        """Those of every root so far: who signed a desired state that a killed rotation left."""
        roots = [self.metadata.parse(f"{version}.root.json", Root).signed for version in self.metadata.root_versions()]
        return [root.keys[keyid] for root in roots for keyid in root.roles[Timestamp.type].keyids]

    def first_root(self) -> bytes:
        """The root that devices are installed with."""
        return self.metadata.read("1.root.json")

    def root_signers(self) -> tuple[int, int]:
        """How many root keys there are, and how many of them must sign."""
        role = self.metadata.newest_root().roles[Root.type]
        return len(role.keyids), role.threshold

    def version(self, role: Role) -> int:
        """The version in force; 0 where the metadata here cannot be read."""
        try:
            listed = self._load()
        except EdgewiseError:
            return 0
        return listed.parts[role].version

    def files(self) -> dict[str, bytes]:
        """All metadata that devices need, by file name, in an order in which each file's references stand before it.

        Raises:
            TrustError: they have expired: no device would take them.
        """
        with self.locked():
            listed = self._load()
            self._check_expiry(listed)
            return self._files(listed)

    def _files(self, listed: Listed) -> dict[str, bytes]:
        names = [f"{version}.root.json" for version in self.metadata.root_versions()]
        names += [f"{listed.targets.version}.targets.json", f"{listed.snapshot.version}.snapshot.json"]
        files = {name: self.metadata.read(name) for name in names}
        return files | {
            "index.json": messages.encode(listed.index),
            "timestamp.json": self.metadata.read("timestamp.json"),
        }

    def _load(self) -> Listed:
        """The metadata in force, each file verified: damage on this disk must not be signed again."""
        versions = self.metadata.require()
        # A killed rotation leaves metadata that an earlier root of ours vouches for: it is signed again by the next.
        roots = [self.metadata.parse(f"{version}.root.json", Root) for version in reversed(versions)]
        timestamp = self.metadata.verified("timestamp.json", Timestamp, roots)
        snapshot = self.metadata.verified(f"{timestamp.snapshot_meta.version}.snapshot.json", Snapshot, roots)
        targets = self.metadata.verified(f"{snapshot.meta['targets.json'].version}.targets.json", Targets, roots)
        return Listed(roots[0].signed, targets, snapshot, timestamp)

    def _publish(self, listed: Listed, *, new_targets: bool) -> None:
        """Sign and write targets (when they changed), snapshot and timestamp, each one version on."""
        root, targets, snapshot, timestamp = listed.root, listed.targets, listed.snapshot, listed.timestamp
        if new_targets:
            targets.version += 1
            targets.expires = self._expiry(TARGETS_LIFE)
            name = f"{targets.version}.targets.json"
            self.metadata.write_signed(name, targets, [self._signer(root, "targets")])
            snapshot.meta["targets.json"] = MetaFile.from_data(targets.version, self.metadata.read(name), ["sha256"])
        snapshot.version += 1
        snapshot.expires = self._expiry(ONLINE_LIFE)
        name = f"{snapshot.version}.snapshot.json"
        self.metadata.write_signed(name, snapshot, [self._signer(root, "snapshot")])
        timestamp.version += 1
        timestamp.expires = self._expiry(ONLINE_LIFE)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, self.metadata.read(name), ["sha256"])
        # Devices without a clock of their own learn from it what time it is at least.
        timestamp.unrecognized_fields[trust.ISSUED_FIELD] = int(self._now().timestamp())
        self.metadata.write_signed("timestamp.json", timestamp, [self._signer(root, "timestamp")])

    def _signer(self, root: Root, role: Role) -> Signer:
        return self._keys.signer(KEY_NAMES[role], root.keys[root.roles[role].keyids[0]])

    def _check_clock(self, *timestamps: Timestamp | None, behind: bool = True) -> None:
        """Refuse to sign while the clock contradicts what was signed last: is `behind` it, or far ahead of it."""
        issued = [one.unrecognized_fields.get(trust.ISSUED_FIELD) for one in timestamps if one is not None]
        check_clock(self._now(), issued, self.directory, behind=behind, confirmed=self._clock_is_right)

    def _check_expiry(self, listed: Listed) -> None:
        listed.check_expiry(self._now(), self.directory)

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

    def _expiry(self, life: timedelta) -> datetime:
        return (self._now().astimezone(UTC) + life).replace(microsecond=0)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Nobody else changes or publishes this repository meanwhile; may be nested.

        Raises:
            EdgewiseError: another command holds it for longer than `lock.PATIENCE_S`.
        """
        return self._lock.held()

"""What the broker holds of this repository, verified: is it newer than the folder? After a backup came back, it is.

Devices have seen what the broker holds, and refuse what is older. So nothing is published over it, and `recover` takes
it over first. What no key of this repository signed is none of ours, and is written over as ever.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from edge_contract import limits, topics
from edge_contract.envelope import unseal
from edge_contract.errors import TrustError
from edge_contract.scope import Scope
from edge_contract.trust import DESIRED_TYPE, DesiredState
from edge_fleet.link import Link
from edge_fleet.releases.desired import DesiredStates, Issued
from edge_fleet.releases.listed import Elsewhere
from edge_fleet.releases.repository import Repository

_VERSIONED: Final = re.compile(r"^([1-9][0-9]{0,15})\.(snapshot|targets)\.json$")
_S = TypeVar("_S", Root, Snapshot, Targets, Timestamp)


@dataclass(frozen=True, slots=True)
class Newer:
    """What of the broker's is ours and newer than the folder's."""

    metadata: Elsewhere
    states: tuple[Issued, ...]
    foreign: tuple[str, ...]
    """Topics of desired states that no online key in force signed for their scope."""
    differences: tuple[str, ...]
    """In words, for people; empty where nothing is newer."""


def read(link: Link, desired: DesiredStates) -> Newer:
    """Hold what the broker retains now against the folder."""
    files = {
        topic.rpartition("/")[2]: data
        for topic, data in link.retained(f"{topics.PREFIX}/trust/+").items()
        if len(data) <= limits.METADATA_BYTES
    }
    states = link.retained(f"{topics.PREFIX}/group/+/desired") | link.retained(topics.all_devices("desired"))
    return compare(files, states, desired)


def compare(files: Mapping[str, bytes], states: Mapping[str, bytes], desired: DesiredStates) -> Newer:
    """`files`: metadata by TUF's names; `states`: envelopes by topic."""
    repository = desired.repository
    root, roots = _walk(files, repository)
    newest = _newest(files, root)
    timestamp = _verified(files.get("timestamp.json", b""), Timestamp, root)
    targets = newest["targets"] if isinstance(newest["targets"], Targets) else None
    snapshot = newest["snapshot"] if isinstance(newest["snapshot"], Snapshot) else None
    differences = [f"root {version}" for version in roots]
    if targets is not None and not _known(repository, f"{targets.version}.targets.json", files, "targets"):
        differences.append(f"release list {targets.version} (here {repository.version('targets')})")
    else:
        targets = None
    if snapshot is not None and _known(repository, f"{snapshot.version}.snapshot.json", files, "snapshot"):
        snapshot = None
    if timestamp is not None:
        own, same = (
            repository.version("timestamp"),
            repository.metadata.own("timestamp.json") == files["timestamp.json"],
        )
        if timestamp.version > own or (timestamp.version == own and not same) or snapshot is not None:
            differences.append(f"timestamp {timestamp.version} (here {own})")
        else:
            timestamp = None
    newer, foreign = _states(states, desired, root)
    differences += [f"{one.state.scope} revision {one.state.revision}" for one in newer]
    history = {
        f"{one.version}.{one.type}.json": files[f"{one.version}.{one.type}.json"]
        for one in (targets, snapshot)
        if one is not None
    }
    return Newer(
        Elsewhere(roots, targets, snapshot, timestamp, history), tuple(newer), tuple(foreign), tuple(differences)
    )


def _walk(files: Mapping[str, bytes], repository: Repository) -> tuple[Root, dict[int, bytes]]:
    """The newest root that is reached from our first one, and the roots on the way that are not here."""
    own = repository.metadata.roots()
    root = repository.metadata.trusted_root()
    missing: dict[int, bytes] = {}
    while True:
        version = root.version + 1
        for data in (files.get(f"{version}.root.json", b""), own.get(version, b"")):  # devices know the broker's
            following = _verified(data, Root, root)
            if following is not None and following.version == version and _verified(data, Root, following) is not None:
                if data != own.get(version):
                    missing[version] = data
                root = following
                break
        else:
            return root, missing


def _newest(files: Mapping[str, bytes], root: Root) -> dict[str, Snapshot | Targets | None]:
    """The highest version of each that holds under the root, whether a timestamp names it or not."""
    found: dict[str, Snapshot | Targets | None] = {"snapshot": None, "targets": None}
    for name, data in files.items():
        if match := _VERSIONED.match(name):
            before = found[match[2]]
            one = _verified(data, Snapshot, root) if match[2] == "snapshot" else _verified(data, Targets, root)
            if one is not None and one.version == int(match[1]) and (before is None or one.version > before.version):
                found[match[2]] = one
    return found


def _known(repository: Repository, name: str, files: Mapping[str, bytes], role: str) -> bool:
    """Whether this version was signed here: another content under its number is another history."""
    version = int(name.partition(".")[0])
    own = repository.metadata.own(name)
    if own is not None:
        return own == files[name] and version <= repository.version("targets" if role == "targets" else "snapshot")
    return version < repository.version("targets" if role == "targets" else "snapshot")  # superseded and tidied away


def _verified(data: bytes, kind: type[_S], root: Root) -> _S | None:
    with suppress(DeserializationError, RepositoryError, ValueError):
        metadata: Metadata[_S] = Metadata[_S].from_bytes(data)
        if isinstance(metadata.signed, kind):
            root.verify_delegate(kind.type, metadata.signed_bytes, metadata.signatures)
            return metadata.signed
    return None


def _states(states: Mapping[str, bytes], desired: DesiredStates, root: Root) -> tuple[list[Issued], list[str]]:
    """Those that are newer than ours, and the topics of those that no key in force signed for them."""
    keys = [root.keys[keyid] for keyid in root.roles[Timestamp.type].keyids]
    own = {one.topic: one for one in desired.all()}
    newer: list[Issued] = []
    foreign: list[str] = []
    for topic, envelope in states.items():
        ours = own.get(topic)
        if ours is not None and ours.envelope == envelope:
            continue
        try:
            state = unseal(envelope, DESIRED_TYPE, DesiredState, keys)
        except TrustError:
            foreign.append(topic)
            continue
        if Scope.parse(state.scope).topic != topic:
            foreign.append(topic)
        elif (ours is None or ours.revoked or state.revision > ours.state.revision) and state.expires > desired.now():
            newer.append(Issued(state, envelope))
    return newer, foreign

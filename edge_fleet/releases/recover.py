"""Makes a folder that devices do not believe any more one that they do: out of the broker, or with a new online key.

What the broker holds and this repository's keys signed is taken over and signed above. A new online key makes devices
forget what the old one signed, whoever used it and whatever its clock said. Every step can be repeated: what was done
before a kill is found done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from edge_contract import topics
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import digest_of
from edge_fleet.link import Arrived, Link
from edge_fleet.releases import retained
from edge_fleet.releases.publish import Publisher
from edge_fleet.releases.retained import Newer


@dataclass(slots=True)
class Recovery:
    """What was found and done, in words where people read it."""

    adopted: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Desired states that only a replaced or foreign key signed; cleared from the broker."""
    unlisted: list[str] = field(default_factory=list)
    """Releases that only the folder listed."""
    lost: list[str] = field(default_factory=list)
    """Listed releases whose files are neither here nor on the broker."""
    published: int = 0


def recover(publisher: Publisher, *, new_online_key: bool, dry_run: bool = False) -> Recovery:
    """Take over what is newer on the broker, sign above it, publish.

    Raises:
        EdgewiseError: a key is not here, or the clock contradicts what was signed last.
    """
    releases, desired, link = publisher.releases, publisher.desired, publisher.link
    repository = releases.repository
    with repository.locked():
        newer = retained.read(link, desired)
        recovery = _found(newer, publisher, new_online_key=new_online_key)
        if dry_run:
            return recovery
        states = desired.all()
        if new_online_key or newer.differences:
            repository.take_over(newer.metadata, new_online_key=new_online_key)
            if not new_online_key:  # after the roots, which name the key that signed them
                for one in newer.states:
                    desired.keep(one.state.scope, one.envelope)
        else:
            repository.online_signer()  # a clock that contradicts the folder is named, and what mends that
        recovery.lost = _fetch(publisher)
        if new_online_key:
            desired.reissue(states)
        else:
            desired.renew()
        if recovery.lost:
            names = ", ".join(recovery.lost)
            raise EdgewiseError(
                f"the folder is newest again, but files of {names} are neither here nor on the broker",
                remedy="release those packages again (or `edgewise release withdraw`), then run `edgewise fleet heal`",
            )
        recovery.published = publisher.heal()
        recovery.published += link.publish(Arrived(topic, b"") for topic in retained.read(link, desired).foreign)
    return recovery


def _found(newer: Newer, publisher: Publisher, *, new_online_key: bool) -> Recovery:
    recovery = Recovery(adopted=list(newer.differences), ignored=list(newer.foreign))
    if new_online_key:  # what the key that is replaced signed is not taken over, whoever asked it to
        recovery.ignored += [one.topic for one in newer.states]
        recovery.adopted = [f"root {version}" for version in newer.metadata.roots]
    if (targets := newer.metadata.targets) is not None:
        if new_online_key:
            recovery.adopted.append(f"release list {targets.version}")
        own = _own_targets(publisher)
        recovery.unlisted = sorted(
            f"{PurePosixPath(path).parent} {PurePosixPath(path).stem}"
            for path in own
            if path not in targets.targets and path.endswith(".tflite")
        )
    return recovery


def _own_targets(publisher: Publisher) -> Mapping[str, object]:
    try:
        return publisher.releases.repository.listed()
    except EdgewiseError:
        return {}  # damaged here: the broker's is all there is


def _fetch(publisher: Publisher) -> list[str]:
    """Fill up listed files from the broker's chunks; the releases of which there is none."""
    lost: set[str] = set()
    for digest, path in publisher.releases.lacking().items():
        where = PurePosixPath(path)
        data = _joined(publisher.link, digest)
        if digest_of(data) == digest:
            publisher.releases.keep_file(data, where.suffix)
        else:
            lost.add(f"{where.parent} {where.stem}")
    return sorted(lost)


def _joined(link: Link, digest: str) -> bytes:
    chunks = link.retained(f"{topics.PREFIX}/blob/{digest}/+")
    numbered = ((int(topic.rpartition("/")[2]), data) for topic, data in chunks.items())
    return b"".join(data for _, data in sorted(numbered))

"""Brings the broker's retained messages in line with the repository: metadata, chunks, desired states.

Level-triggered: what the broker holds is read first, what differs is written, what no release names any more is
cleared. So the same call publishes a release, answers a device that misses chunks, and fills a broker that lost
everything. Files are published before what names them: a device never reads a name without a file. Metadata come right
before a desired state: a device that gets both together has all signatures checked at once, in one child process.

What is read from the folder and published from it happens under the repository's lock, so that of two commands at once
the later one's is what stays. Nothing is published over what is newer: see `retained`.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from edge_contract import topics
from edge_contract.errors import TrustError
from edge_contract.messages import Need, TrustIndex, decode
from edge_contract.trust import Release, pieces
from edge_fleet.link import Arrived, Link
from edge_fleet.releases import cards, retained
from edge_fleet.releases.desired import DesiredStates, Issued
from edge_fleet.releases.needs import Needs
from edge_fleet.releases.releases import Releases

Progress = Callable[[str, int, int], None]
"""(what, bytes done, bytes in all)"""

_VERSIONED: Final = re.compile(r"^([0-9]+)\.(snapshot|targets)\.json$")


def silent(_what: str, _done: int, _total: int) -> None:
    """No progress shown."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """One repository on one broker."""

    releases: Releases
    desired: DesiredStates
    link: Link
    progress: Progress = silent
    needs: Needs = field(default_factory=Needs)

    def heal(self) -> int:
        """Make the broker hold everything again; returns how many messages it lacked."""
        self.check_newest()
        states = self.desired.all()
        if revoked := [one.state.scope for one in states if one.revoked]:
            raise TrustError(
                f"the desired state of {', '.join(revoked)} is signed by an online key that was replaced since",
                remedy="run `edgewise release refresh`",
            )
        wanted = frozenset[str]().union(*(state.digests for state in states))
        listed = {release.manifest.digest: release for release in self.releases.listed()}
        sent = sum(self.release(listed[digest]) for digest in wanted if digest in listed)
        with self.releases.repository.locked():
            sent += self._metadata()
        with self.releases.repository.locked():
            held = self.link.retained(f"{topics.PREFIX}/group/+/desired") | self.link.retained(
                topics.all_devices("desired")
            )
            states = self.desired.all()  # a push may have gone on meanwhile
            return sent + self.states(state for state in states if held.get(state.topic) != state.envelope)

    def push(self, issue: Callable[[], Issued]) -> Issued:
        """Issue a desired state and publish it, before another one may be issued."""
        with self.releases.repository.locked():
            issued = issue()
            self.states([issued])
            return issued

    def check_newest(self) -> None:
        """Refuse to go on where the broker holds what is newer than this folder.

        Raises:
            TrustError: it does; devices, which saw that, would refuse what is here.
        """
        with self.releases.repository.locked():
            newer = retained.read(self.link, self.desired)
        if newer.differences:
            raise TrustError(
                f"the broker holds what this repository's keys signed and {self.releases.repository.directory} does "
                f"not know ({', '.join(newer.differences)}), as after an old copy of the folder came back",
                remedy="run `edgewise fleet recover`",
            )

    def metadata(self) -> int:
        """Publish what differs of the TUF metadata, then clear what is two versions old or withdrawn.

        One superseded version stays: a device may just be reading it.
        """
        with self.releases.repository.locked():
            self.check_newest()
            return self._metadata()

    def _metadata(self) -> int:
        files = self.releases.repository.files()
        held = self.link.retained(f"{topics.PREFIX}/trust/+")
        wanted = {topics.trust(name): data for name, data in files.items()}
        for topic, data in wanted.items():
            self.link.check_size(topic, data)
        sent = self._send("metadata", [Arrived(t, data) for t, data in wanted.items() if held.get(t) != data])
        index = decode(files["index.json"], TrustIndex)
        newest = {"snapshot": index.snapshot, "targets": index.targets}
        for topic in held:
            match = _VERSIONED.match(topic.rpartition("/")[2])
            if match and int(match[1]) not in {newest[match[2]], newest[match[2]] - 1}:
                sent += self.link.publish([Arrived(topic, b"")])
        listed = {file.hashes["sha256"] for file in self.releases.repository.listed().values()}
        held_cards = self.link.retained(cards.FILTER)
        sent += self.link.publish(cards.differing(self.releases.readable(), listed, held_cards, time.time()))
        for digest, chunks in self.releases.orphans().items():
            sent += self.link.publish(Arrived(topics.blob(digest, number), b"") for number in range(chunks))
            self.releases.forget(digest)
        return sent

    def check(self, release: Release) -> None:
        """Refuse what this broker will not take, before anything of it is sent.

        Raises:
            MessageError: a packet would be too large.
            TrustError: a file of the release is missing or damaged.
        """
        for name, data in self.releases.repository.files().items():
            self.link.check_size(topics.trust(name), data)
        for digest, data in self.releases.files(release).items():
            for number, chunk in enumerate(pieces(data)):
                self.link.check_size(topics.blob(digest, number), chunk)

    def release(self, release: Release) -> int:
        """Publish the chunks of a release's two files that the broker lacks or holds damaged."""
        lacking: list[Arrived] = []
        for digest, data in self.releases.files(release).items():
            held = self.link.retained(f"{topics.PREFIX}/blob/{digest}/+")
            chunks = (Arrived(topics.blob(digest, number), chunk) for number, chunk in enumerate(pieces(data)))
            lacking += (chunk for chunk in chunks if held.get(chunk.topic) != chunk.payload)
        return self._send(f"{release.manifest.name} {release.manifest.release}", lacking)

    def states(self, states: Iterable[Issued]) -> int:
        """Publish desired states."""
        return self._send("desired states", [Arrived(state.topic, state.envelope) for state in states])

    def answer(self, need: Need) -> int:
        """Publish again the chunks a device waits for in vain, unless that was done just now; 0 for what is not listed.

        Raises:
            MessageError: the bitmap is malformed.
        """
        data = self.releases.listed_file(need.digest)
        if data is None:
            return 0
        chunks = pieces(data)
        return self._send(
            f"chunks that {need.device} lacks",
            [
                Arrived(topics.blob(need.digest, number), chunks[number])
                for number in self.needs.due(need.digest, (each for each in need.chunks() if each < len(chunks)))
            ],
        )

    def _send(self, what: str, messages: list[Arrived]) -> int:
        total, sent = sum(len(message.payload) for message in messages), 0

        def done(size: int) -> None:
            nonlocal sent
            sent += size
            self.progress(what, sent, total)

        return self.link.publish(messages, done)

"""Brings the broker's retained messages in line with the repository: metadata, chunks, desired states.

Level-triggered: what the broker holds is read first, what differs is written, what no release names any more is
cleared. So the same call publishes a release, answers a device that misses chunks, and fills a broker that lost
everything. Files are published before what names them: a device never reads a name without a file.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from edge_contract import topics
from edge_contract.messages import ModelRef, Need, TrustIndex, decode
from edge_contract.trust import ReleaseTarget
from edge_fleet.desired import DesiredStates, Issued
from edge_fleet.link import Arrived, Link
from edge_fleet.release import Releases, pieces

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

    def heal(self) -> int:
        """Make the broker hold everything again; returns how many messages it lacked."""
        states = self.desired.all()
        wanted = {state.state.model.digest: state.state.model for state in states}
        listed = {target.manifest.digest for target in self.releases.listed()}
        sent = self.metadata()
        sent += sum(self.model(ref) for digest, ref in wanted.items() if digest in listed)
        held = self.link.retained(f"{topics.PREFIX}/group/+/desired") | self.link.retained(
            topics.all_devices("desired")
        )
        return sent + self.states(state for state in states if held.get(state.topic) != state.envelope)

    def metadata(self) -> int:
        """Publish what differs of the TUF metadata, then clear what is two versions old or withdrawn.

        One superseded version stays: a device may just be reading it.
        """
        files = self.releases.repository.files()
        held = self.link.retained(f"{topics.PREFIX}/trust/+")
        wanted = {topics.trust(name): data for name, data in files.items()}
        for topic, data in wanted.items():
            self.link.check_size(topic, data)  # all before the first is sent: nothing half-published
        sent = self._send("metadata", [Arrived(t, data) for t, data in wanted.items() if held.get(t) != data])
        index = decode(files["index.json"], TrustIndex)
        newest = {"snapshot": index.snapshot, "targets": index.targets}
        for topic in held:
            match = _VERSIONED.match(topic.rpartition("/")[2])
            if match and int(match[1]) not in {newest[match[2]], newest[match[2]] - 1}:
                sent += self.link.publish([Arrived(topic, b"")])
        for digest, chunks in self.releases.orphans().items():
            sent += self.link.publish(Arrived(topics.blob(digest, number), b"") for number in range(chunks))
            self.releases.forget(digest)
        return sent

    def model(self, ref: ModelRef) -> int:
        """Publish the chunks of a release that the broker lacks or holds damaged."""
        chunks = pieces(self.releases.model(ref))
        held = self.link.retained(f"{topics.PREFIX}/blob/{ref.digest}/+")
        wanted = [Arrived(topics.blob(ref.digest, number), chunk) for number, chunk in enumerate(chunks)]
        return self._send(f"{ref.name} {ref.release}", [one for one in wanted if held.get(one.topic) != one.payload])

    def states(self, states: Iterable[Issued]) -> int:
        """Publish desired states."""
        return self._send("desired states", [Arrived(state.topic, state.envelope) for state in states])

    def answer(self, need: Need) -> int:
        """Publish again the chunks a device waits for in vain; 0 for what is not ours or not listed.

        Raises:
            MessageError: the bitmap is malformed.
        """
        target = self._listed(need.digest)
        if target is None:
            return 0
        chunks = pieces(self.releases.model(target.manifest.ref))
        return self._send(
            f"chunks that {need.device} lacks",
            [
                Arrived(topics.blob(need.digest, number), chunks[number])
                for number in need.chunks()
                if number < len(chunks)
            ],
        )

    def _listed(self, digest: str) -> ReleaseTarget | None:
        return next((target for target in self.releases.listed() if target.manifest.digest == digest), None)

    def _send(self, what: str, messages: list[Arrived]) -> int:
        total, sent = sum(len(message.payload) for message in messages), 0

        def done(size: int) -> None:
            nonlocal sent
            sent += size
            self.progress(what, sent, total)

        return self.link.publish(messages, done)

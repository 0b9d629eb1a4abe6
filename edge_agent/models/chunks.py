"""Bring a file here in chunks: retained MQTT messages, each verified by itself, kept through a power cut.

`PartFile` is the file under `parts/`: what is in it is not remembered but found out, by hashing every chunk's place
again on opening. `Download` asks for a few chunks at a time. When none comes it asks the broker again, for messages of
QoS 0 get lost, and says on the `need` topic what is missing: the release side publishes just that again. A chunk
without its digest is dropped and counts as missing. Nothing here decides whether the file may be run.
"""

import contextlib
import logging
import os
import shutil
import stat
from pathlib import Path
from typing import Final, Protocol

from edge_contract import topics
from edge_contract.manifest import digest_of
from edge_contract.messages import Need, encode
from edge_contract.trust import Blob

AHEAD: Final = 16
"""Chunks asked for at once: a megabyte in flight at most, for the broker's queue and this board's memory."""
SILENCE_S: Final = 5.0
"""How long the missing chunks may fail to come before they are named."""
LONGEST_SILENCE_S: Final = 300.0
"""The wait doubles up to this: a release side may be switched off for days."""

_log = logging.getLogger(__name__)


class Broker(Protocol):
    """What a download needs of the device's connection."""

    def subscribe(self, topic_filter: str) -> None:
        """Have the chunks that match delivered; the thread that drives the download calls `arrived` with each."""

    def unsubscribe(self, topic_filter: str) -> None:
        """Undo `subscribe`."""

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish a retained message; False while the broker is away."""


class PartFile:
    """A file on its way, and which of its chunks are there."""

    def __init__(self, directory: Path, blob: Blob) -> None:
        """Open what an earlier attempt left, or begin.

        Raises:
            OSError: the disk is full or broken.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.digest = blob.digest
        self.path = directory / f"{blob.digest}.part"
        self._cut, self._size = blob.chunks, blob.size
        _clear(self.path)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        held = os.fstat(self._descriptor).st_size  # what lies past it was never written
        os.ftruncate(self._descriptor, self._size)
        self.missing: list[int] = [
            number
            for number, digest in enumerate(self._cut.digests)
            if number * self._cut.size >= held
            or digest_of(os.pread(self._descriptor, self._length(number), number * self._cut.size)) != digest
        ]
        """Chunks still to come, ascending."""

    @property
    def count(self) -> int:
        """Chunks in all."""
        return len(self._cut.digests)

    @property
    def progress(self) -> float:
        """Share of the chunks that are there."""
        return 1 - len(self.missing) / self.count

    def put(self, number: int, chunk: bytes) -> bool:
        """Write a chunk in its place; False when it is not what the release says."""
        if len(chunk) != self._length(number) or digest_of(chunk) != self._cut.digests[number]:
            return False
        if number in self.missing:
            os.pwrite(self._descriptor, chunk, number * self._cut.size)
            self.missing.remove(number)
        return True

    def close(self, *, synced: bool = False) -> None:
        """End it; `synced` waits until all of it is on the disk.

        Raises:
            OSError: it cannot get there; the file is closed all the same.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            if synced:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _length(self, number: int) -> int:
        return min(self._cut.size, self._size - number * self._cut.size)


def _clear(path: Path) -> None:
    """Remove what no download left here: a folder, a pipe, a link."""
    with contextlib.suppress(FileNotFoundError):
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind):
            shutil.rmtree(path)
        elif not stat.S_ISREG(kind):
            path.unlink()


class Download:
    """One file's chunks; driven by a single thread."""

    def __init__(self, part: PartFile, *, device: str, broker: Broker, now: float) -> None:
        """`device`: whose `need` topic names the missing chunks. `now`: monotonic seconds."""
        self.part, self.digest, self._device, self._broker = part, part.digest, device, broker
        self._asked: set[int] = set()
        self._need_published = self._all_at_once = False
        self._wait, self._deadline = SILENCE_S, now + SILENCE_S
        self.refused: dict[int, int] = {}
        """How often each chunk came damaged."""
        self._ask()

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return not self.part.missing

    def arrived(self, number: int, chunk: bytes, now: float) -> bool:
        """Take a chunk; False when it was damaged or does not belong to this file.

        Raises:
            OSError: the disk is full or broken.
        """
        if number not in self._asked:
            return False
        if not self.part.put(number, chunk):
            self.refused[number] = self.refused.get(number, 0) + 1
            _log.warning("chunk %d of %s does not have its digest: refused", number, self.digest[:12])
            return False
        self._asked.discard(number)
        if not self._all_at_once:
            self._broker.unsubscribe(topics.blob(self.digest, number))
        elif not self._asked:
            self._stop_asking()
        self._wait, self._deadline = SILENCE_S, now + SILENCE_S
        self._ask()
        return True

    def tick(self, now: float) -> None:
        """When none has come for long enough: subscribe anew, and name the missing chunks."""
        if self.complete or now < self._deadline:
            return
        self._stop_asking()
        self._ask()
        self._publish_need(encode(Need.of(self._device, self.digest, self.part.missing)))
        self._need_published = True
        self._deadline = now + self._wait
        self._wait = min(self._wait * 2, LONGEST_SILENCE_S)

    def close(self) -> None:
        """Stop asking; what is there stays."""
        self._stop_asking()
        if self._need_published:
            self._publish_need(b"")
        self.part.close(synced=self.complete)

    def _publish_need(self, payload: bytes) -> None:
        self._broker.publish(topics.device(self._device, "need"), payload)

    def _stop_asking(self) -> None:
        if self._all_at_once:
            self._broker.unsubscribe(topics.all_chunks(self.digest))
            self._all_at_once = False
        else:
            for number in self._asked:
                self._broker.unsubscribe(topics.blob(self.digest, number))
        self._asked.clear()

    def _ask(self) -> None:
        if self._all_at_once:
            return
        if not self._asked and len(self.part.missing) == self.part.count <= AHEAD:
            # The usual case, a file of a megabyte of which nothing is here: one question instead of one a chunk.
            self._all_at_once = True
            self._asked.update(self.part.missing)
            self._broker.subscribe(topics.all_chunks(self.digest))
            return
        for number in self.part.missing:
            if len(self._asked) >= AHEAD:
                break
            if number not in self._asked:
                self._asked.add(number)
                self._broker.subscribe(topics.blob(self.digest, number))

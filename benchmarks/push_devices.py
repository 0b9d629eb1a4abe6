"""Devices of the peers of `make bench-push`, many in a process: `python -m benchmarks.push_devices WAY COUNT FIRST`.

Each prints "ready" once all connections stand, and "done" once every device has a synced file whose digest holds.
Stop and wait: a device asks for the next piece when it has the one before, as ThingsBoard's published load test of
over-the-air updates does it. Whole: one retained message.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from edge_agent.mqtt import link as agent_link
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract import topics
from edge_contract.manifest import digest_of
from edge_simulator.loop import Loop, LoopWorker
from edge_simulator.network import LoopNetwork
from edge_simulator.open_files import allow_open_files

BASE: Final = f"{topics.PREFIX}/benchmark"
WHOLE: Final = f"{BASE}/whole"
_FIRST_PIECE: Final = b"0"


class StopAndWait:
    """One device that asks piece by piece."""

    def __init__(self, link: Link, name: str, path: Path, digest: str, size: int, done: threading.Semaphore) -> None:
        self._link, self._name, self._path, self._done = link, name, path, done
        self._digest, self._size, self._data = digest, size, bytearray()
        link.subscribe(f"{BASE}/piece/{name}", self._received)

    def begin(self) -> None:
        """Ask for the first piece."""
        self._link.publish(f"{BASE}/ask/{self._name}", _FIRST_PIECE)

    def _received(self, _topic: str, payload: bytes) -> None:
        self._data += payload
        if len(self._data) < self._size:
            self._link.publish(f"{BASE}/ask/{self._name}", str(len(self._data)).encode())
        else:
            keep(self._path, bytes(self._data), self._digest)
            self._done.release()


class Whole:
    """One device that takes one message."""

    def __init__(self, link: Link, path: Path, digest: str, done: threading.Semaphore) -> None:
        self._link, self._path, self._digest, self._done = link, path, digest, done

    def begin(self) -> None:
        """Subscribe."""
        self._link.subscribe(WHOLE, self._received, qos=0)

    def _received(self, _topic: str, payload: bytes) -> None:
        keep(self._path, payload, self._digest)
        self._link.unsubscribe(WHOLE)
        self._done.release()


def keep(path: Path, data: bytes, digest: str) -> None:
    """Check the digest, write and sync."""
    if digest_of(data) != digest:
        raise ValueError("a damaged file")
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    """Run one way."""
    way, count, first, port, digest, size, folder = sys.argv[1:]
    allow_open_files(int(count))
    loop = Loop()
    loop.start()
    agent_link.LARGEST_INCOMING = 64 * 1024 * 1024  # type: ignore[misc]  # else the whole message is not handed out
    done = threading.Semaphore(0)
    links = [
        Link(
            BrokerSettings(port=int(port)), f"peer-{int(first) + n}", clean_start=True,
            network=LoopNetwork(loop), worker=lambda _name, _longest: LoopWorker(loop),
        )
        for n in range(int(count))
    ]  # fmt: skip
    devices: list[StopAndWait | Whole] = []
    for number, link in enumerate(links):
        name, path = f"peer-{int(first) + number}", Path(folder) / f"{way}-{int(first) + number}"
        devices.append(
            StopAndWait(link, name, path, digest, int(size), done) if way == "stop" else Whole(link, path, digest, done)
        )
        link.start()
    while not all(link.connected for link in links):
        time.sleep(0.05)
    print("ready", flush=True)
    sys.stdin.readline()
    for device in devices:
        device.begin()
    for _ in devices:
        done.acquire()
    print("done", flush=True)
    sys.stdin.readline()
    os._exit(0)  # as a crash ends: nothing is tidied up


if __name__ == "__main__":
    main()

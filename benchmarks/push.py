"""`make bench-push`: how fast one model reaches many devices, ours beside the plain way, in the same run.

Ours: 64 KiB retained chunks, a few asked for at a time, each verified and written to its place on disk, as the agent
does it. Plain: the whole file as one retained message, hashed once and written, which brokers with packet limits
refuse and a power cut starts over. Both with the same links, the same broker, the same number of subscribers in one
process; a round is from "connected" to "the last device has a synced file whose digest holds". Rounds alternate.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from demo.broker import Broker
from edge_agent.models.chunks import Download, PartFile
from edge_agent.mqtt import link as agent_link
from edge_agent.mqtt.link import Link as DeviceLink
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.trust.subscription import Subscription
from edge_contract import topics
from edge_contract.manifest import digest_of
from edge_contract.trust import Blob, Chunks, pieces
from edge_fleet.link import Arrived, Link
from edge_mqtt.address import BrokerAddress

PLAIN_TOPIC = f"{topics.PREFIX}/benchmark/plain"
GIVE_UP_S = 120.0


class Subscribers:
    """Many devices' links, connected before the clock starts."""

    def __init__(self, port: int, count: int) -> None:
        self.links = [
            DeviceLink(BrokerSettings(port=port), f"device-{number}", clean_start=True) for number in range(count)
        ]
        for link in self.links:
            link.start()
        while not all(link.connected for link in self.links):
            time.sleep(0.01)

    def stop(self) -> None:
        """Disconnect all at once."""
        threads = [threading.Thread(target=link.stop) for link in self.links]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def timed(devices: int, begin: Callable[[Callable[[], None]], None]) -> float:
    """Seconds from `begin` until it has called what it was given once for each device."""
    left = threading.Semaphore(0)
    began = time.monotonic()
    begin(left.release)
    for _ in range(devices):
        if not left.acquire(timeout=GIVE_UP_S):
            raise TimeoutError(f"a device did not get its file within {GIVE_UP_S:g} s")
    return time.monotonic() - began


def chunked(subscribers: Subscribers, blob: Blob, folder: Path) -> float:
    """The agent's way."""
    downloads: dict[int, Download] = {}
    known = threading.Lock()  # a first chunk can come before its download is in the dictionary

    def begin(done: Callable[[], None]) -> None:
        for number, link in enumerate(subscribers.links):

            def receive(topic: str, payload: bytes, number: int = number) -> None:
                parsed = topics.parse(topic)
                if not isinstance(parsed, topics.BlobTopic):
                    return
                with known:
                    download = downloads[number]
                download.arrived(parsed.chunk, payload, time.monotonic())
                if download.complete:
                    download.close()
                    done()

            part, subscription = PartFile(folder / str(number), blob), Subscription(link, receive)
            with known:
                downloads[number] = Download(part, device="d", broker=subscription, now=time.monotonic())

    return timed(len(subscribers.links), begin)


def plain(subscribers: Subscribers, digest: str, folder: Path) -> float:
    """One message, one hash, one file."""

    def begin(done: Callable[[], None]) -> None:
        for number, link in enumerate(subscribers.links):
            path = folder / f"plain-{number}"

            def received(_topic: str, payload: bytes, link: DeviceLink = link, path: Path = path) -> None:
                if digest_of(payload) != digest:
                    raise ValueError("a damaged file")
                with path.open("wb") as file:
                    file.write(payload)
                    file.flush()
                    os.fsync(file.fileno())
                link.unsubscribe(PLAIN_TOPIC)
                done()

            link.subscribe(PLAIN_TOPIC, received)

    return timed(len(subscribers.links), begin)


def main() -> None:
    """Print a line a round, then one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    model = random.Random(1).randbytes(options.bytes)  # noqa: S311  # any bytes
    digest = digest_of(model)
    blob = Blob(digest=digest, size=len(model), chunks=Chunks.of(model))
    agent_link.LARGEST_INCOMING = 2 * options.bytes  # type: ignore[misc]  # else the plain way's one message would not be handed out
    seconds: dict[str, list[float]] = {"chunked": [], "plain": []}
    with tempfile.TemporaryDirectory() as name, Broker(Path(name) / "broker") as broker:
        with Link(BrokerAddress(port=broker.port)) as link:
            link.publish(Arrived(topics.blob(digest, number), chunk) for number, chunk in enumerate(pieces(model)))
            link.publish([Arrived(PLAIN_TOPIC, model)])
        subscribers = Subscribers(broker.port, options.devices)
        for number in range(options.rounds):
            folder = Path(name) / str(number)
            folder.mkdir()
            seconds["plain"].append(plain(subscribers, digest, folder))
            seconds["chunked"].append(chunked(subscribers, blob, folder))
            print(f"round {number + 1}: " + ", ".join(f"{way} {times[-1]:.2f} s" for way, times in seconds.items()))
        subscribers.stop()
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    print(
        json.dumps({
            "devices": options.devices,
            "bytes": options.bytes,
            "rounds": options.rounds,
            "chunked_s": round(medians["chunked"], 3),
            "plain_s": round(medians["plain"], 3),
            "chunked_over_plain": round(medians["chunked"] / medians["plain"], 2),
            "chunked_range_s": [round(min(seconds["chunked"]), 3), round(max(seconds["chunked"]), 3)],
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""`make bench-push`: a model to a thousand devices, from the push until the last of them runs it.

Ours: simulated devices (`edge_simulator`) with the agent's own update machine, every signature and every chunk checked,
state and model on disk; a tenth of them behind a slow line or away at first. Beside it in the same run, with the
agent's own connections and half the work (no signatures, no update machine, no device slow or away): stop and wait, one
piece of 64 KiB asked for at a time, and the whole file as one retained message, which brokers with packet limits
refuse.
Everything shares this machine: devices in a few processes, broker, release side. So the processor time of all of it is
printed beside the seconds, and the load of the machine by everything that runs on it.
"""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from benchmarks.push_devices import BASE, WHOLE
from benchmarks.push_link import CountingLink
from benchmarks.push_waves import wave_messages
from edge_contract import limits, package, topics
from edge_contract.manifest import digest_of
from edge_fleet.devices.view import Fleet
from edge_fleet.devices.watch import answer_need
from edge_fleet.link import Arrived, Link
from edge_fleet.releases.desired import DesiredStates
from edge_fleet.releases.keys import KeyStore
from edge_fleet.releases.publish import Publisher
from edge_fleet.releases.releases import Releases
from edge_fleet.releases.repository import Repository
from edge_mqtt.address import BrokerAddress
from edge_simulator.broker import Broker

MODEL: Final = Path("models/emotion-5.ewm")
BEFORE: Final = Path("models/emotion-1.ewm")
GROUP: Final = "bench"
WAVES: Final = (1000, 10_000)
"""Sizes of fleets whose messages a wave are compared."""
GIVE_UP_S: Final = 300.0
LOOK_S: Final = 0.1
RESULT: Final = Path("benchmarks/results/push.json")
AWAY_S: Final = 3.0
"""After which the devices that are away at first come back."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """How our push went."""

    seconds: float
    converged: int
    bytes: int
    broker_mb: float
    cpu_s: float
    """Processor time of devices, broker and release side."""
    waited: float
    """Share of the time they could have run in which other programs had the processors, or they one another's."""


def ours(folder: Path, devices: int, processes: int) -> Pushed:
    """Push one release to simulated devices."""
    repository = Repository(folder / "fleet", KeyStore((folder / "fleet" / "keys",)), lambda: datetime.now(UTC))
    repository.create(root_keys=3, threshold=2)
    (folder / "fleet" / "root.json").write_bytes((folder / "fleet" / "metadata" / "1.root.json").read_bytes())
    releases, desired = Releases(repository), DesiredStates(repository)
    releases.add(package.read_file(MODEL))
    (release,) = releases.listed()
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / "broker"))
        children = [
            subprocess.Popen([
                sys.executable, "-m", "edge_simulator", "devices", str(count), "--first", str(first), "--group", GROUP,
                "--offline", "0.05", "--slow", "0.05", "--interval", "3600", "--state", str(folder / "devices"),
                "--repository", str(folder / "fleet"),
                "--broker", f"mqtt://127.0.0.1:{broker.port}", "--json",
            ], stdout=subprocess.DEVNULL)
            for first, count in shares(devices, processes)
        ]  # fmt: skip
        for child in children:
            stack.callback(child.wait)
            stack.callback(child.kill)
        link = stack.enter_context(CountingLink(BrokerAddress(port=broker.port)))
        publisher, fleet, inbox = Publisher(releases, desired, link), Fleet(), queue.Queue[Arrived]()
        for leaf in ("availability", "reported", "need"):
            link.subscribe(topics.all_devices(leaf), inbox.put)

        def follow(until: Callable[[], bool]) -> None:
            deadline = time.monotonic() + GIVE_UP_S
            while not until() and time.monotonic() < deadline:
                if any(child.poll() is not None for child in children):
                    raise RuntimeError("a process of simulated devices ended")
                looked = time.monotonic()
                while time.monotonic() - looked < LOOK_S:  # a look at all devices takes longer than a message
                    with suppress(queue.Empty):
                        arrived = inbox.get(timeout=LOOK_S)
                        answer_need(publisher, arrived)
                        fleet.apply(*arrived)

        follow(lambda: sum(device.online for device in fleet.devices.values()) >= devices * 0.93 and inbox.empty())
        pids = [os.getpid(), broker.pid, *(child.pid for child in children)]
        began, before, used = time.monotonic(), link.bytes, processor_seconds(pids)
        publisher.release(release)
        publisher.metadata()
        publisher.push(lambda: desired.issue(f"group/{GROUP}", release.manifest.ref))
        for child in children:
            threading.Timer(AWAY_S, child.send_signal, (signal.SIGUSR1,)).start()
        reference = release.manifest.ref

        def converged() -> int:
            return sum(device.outcome(reference, 1) == "done" for device in fleet.devices.values())

        follow(lambda: inbox.empty() and converged() >= devices)
        seconds = time.monotonic() - began
        ran, waited = (now - then for now, then in zip(processor_seconds(pids), used, strict=True))
        return Pushed(seconds, converged(), link.bytes - before, resident_mb(broker), ran, waited / (ran + waited))


def peer(folder: Path, way: str, devices: int, processes: int, model: bytes) -> tuple[float, float]:
    """Seconds and the broker's megabytes of one other way."""
    digest = digest_of(model)
    (folder / way).mkdir()
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder / f"broker-{way}"))
        link = stack.enter_context(Link(BrokerAddress(port=broker.port)))
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.push_devices", way, str(count), str(first), str(broker.port), digest,
                 str(len(model)), str(folder / way)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for first, count in shares(devices, processes)
        ]  # fmt: skip
        for child in children:
            stack.callback(child.wait)
            stack.callback(child.kill)
        if way == "stop":
            asked = queue.Queue[Arrived]()
            link.subscribe(f"{BASE}/ask/+", asked.put)
            threading.Thread(target=serve, args=(link, asked, model), daemon=True).start()
        else:
            link.publish([Arrived(WHOLE, model)])
        expect(children, "ready")
        began = time.monotonic()
        tell(children)
        expect(children, "done")
        seconds = time.monotonic() - began
        return seconds, resident_mb(broker)


def serve(link: Link, asked: "queue.Queue[Arrived]", model: bytes) -> None:
    """Answer each question for a piece; the questions that came meanwhile together."""
    while True:
        waiting = [asked.get()]
        with suppress(queue.Empty):
            while len(waiting) < 64:
                waiting.append(asked.get_nowait())
        link.publish(
            (
                Arrived(
                    f"{BASE}/piece/{question.topic.rpartition('/')[2]}",
                    model[int(question.payload) : int(question.payload) + limits.CHUNK_BYTES],
                )
                for question in waiting
            ),
            retain=False,
        )


def expect(children: list["subprocess.Popen[str]"], word: str) -> None:
    """Wait until all said it."""
    for child in children:
        said = child.stdout.readline() if child.stdout else ""
        if said.strip() != word:
            raise RuntimeError(f"a process of devices ended without {word!r}")


def tell(children: list["subprocess.Popen[str]"]) -> None:
    """Let them go on."""
    for child in children:
        if child.stdin:
            child.stdin.write("\n")
            child.stdin.flush()


def shares(devices: int, processes: int) -> list[tuple[int, int]]:
    """(first, count) of each process."""
    edges = [devices * number // processes for number in range(processes + 1)]
    return [(low, high - low) for low, high in pairwise(edges)]


def processor_seconds(pids: Iterable[int]) -> tuple[float, float]:
    """For how long threads of these processes have run, and have waited for a processor that others had."""
    ran = waited = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread that ended just now
                fields = (task / "schedstat").read_text().split()
                ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return ran / 1e9, waited / 1e9


def resident_mb(broker: Broker) -> float:
    """The most memory that the broker held."""
    for line in Path(f"/proc/{broker.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return 0.0


def main() -> None:
    """Print a line a way, then one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    model = package.read_file(MODEL).model
    shared = Path("/dev/shm")  # noqa: S108  # a thousand devices have a thousand disks, not one
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        folder = Path(name)
        pushed = ours(folder, options.devices, options.processes)
        load = round(os.getloadavg()[0], 1)
        print(f"ours: {pushed}, load {load}", flush=True)
        stop_s, stop_mb = peer(folder, "stop", options.devices, options.processes, model)
        print(f"stop and wait: {stop_s:.1f} s, broker {stop_mb:.0f} MB", flush=True)
        whole_s, whole_mb = peer(folder, "whole", options.devices, options.processes, model)
        print(f"one retained message: {whole_s:.1f} s, broker {whole_mb:.0f} MB", flush=True)
        before, after = (package.read_file(each) for each in (BEFORE, MODEL))
        waves = {count: wave_messages(folder / f"waves-{count}", count, before, after) for count in WAVES}
        print(f"messages for a wave, by devices: {waves}", flush=True)
    result = {
        "devices": options.devices,
        "converged": pushed.converged,
        "model_bytes": len(model),
        "bytes_ratio": round(pushed.bytes / len(model), 3),
        "seconds": round(pushed.seconds, 1),
        "cpu_seconds": round(pushed.cpu_s, 1),
        "processors": os.cpu_count(),
        "load_average": load,
        "waited_for_processor": round(pushed.waited, 2),
        "broker_rss_mb": round(pushed.broker_mb, 1),
        "stop_and_wait_seconds": round(stop_s, 1),
        "stop_and_wait_bytes_ratio": options.devices,
        "stop_and_wait_broker_rss_mb": round(stop_mb, 1),
        "stop_and_wait_over_ours": round(stop_s / pushed.seconds, 2),
        "whole_seconds": round(whole_s, 1),
        "whole_broker_rss_mb": round(whole_mb, 1),
        "whole_over_ours": round(whole_s / pushed.seconds, 2),
        "messages_a_wave": {str(count): messages for count, messages in waves.items()},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""`make bench-bridge`: what a message costs the bridge in CPU, beside the usual ways of doing it, in the same run.

The same load goes through the same mosquitto to each consumer, QoS 1, at the same pace, each in a process of its own
whose CPU time (user and system, all threads) is counted from the first message to the last:

- `idle`: paho with its own loop and an empty handler: what any Python consumer on paho pays.
- `labels`: paho, json and prometheus_client's labels(), as small bridges are usually written. It stores nothing.
- `mqtt2prometheus`: Debian's exporter, for windows only (`bridge_peer`). It stores nothing either.
- `bridge`: ours, as it runs: decoded and checked, applied, committed to SQLite with fsync, acknowledged.

Rounds alternate; of each consumer the quietest round counts. Then 100,000 series are written as text by the bridge and
by prometheus_client, a whole fleet speaks to one bridge (`bridge_fleet`), and everything around a bridge fails
(`bridge_faults`). `load_average` says how busy the machine was with other things.
"""

import argparse
import gc
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from rich.console import Console
from rich.table import Table

from benchmarks import bridge_faults, bridge_fleet, bridge_peer
from benchmarks.bridge_fleet import DrawnDevice
from edge_bridge.bridge import Bridge
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.metrics import exposition
from edge_bridge.mqtt.settings import BrokerSettings
from edge_bridge.settings import BridgeSettings
from edge_contract import messages, topics
from edge_contract.messages import CONFIDENCE_BOUNDS, STAGE_BOUNDS, STAGES, Availability
from edge_simulator.broker import Broker
from tests.bridge.publisher import LABELS, info, prediction, reported, telemetry

RESULTS: Final = Path(__file__).resolve().parent / "results" / "bridge.json"
DEVICES: Final = 100
SERIES: Final = 100_000
PEER: Final = "mqtt2prometheus"
BURST_S: Final = 0.01
"""The publisher sends what is due every so often."""

Load = list[tuple[str, bytes]]


def predictions(count: int) -> Load:
    """Predictions of `DEVICES` devices in turn."""
    load = []
    for number in range(count):
        name, sequence = f"cam-{number % DEVICES}", number // DEVICES + 1
        message = prediction(name, (1000, sequence), oldest=(1000, 1), label=LABELS[number % 7], time=1.7e9 + number)
        load.append((topics.device(name, "prediction"), messages.encode(message)))
    return load


def windows(count: int) -> Load:
    """Telemetry of the same devices, as agents send it."""
    drawn = [DrawnDevice(number, 1000, earlier=60) for number in range(DEVICES)]
    turns = (drawn[number % DEVICES] for number in range(count))
    return [(topics.device(each.name, "telemetry"), each.window(10.0)) for each in turns]


def _connected(port: int, client_id: str, leaf: topics.DeviceLeaf, handler: Callable[[bytes], None]) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
    client.on_message = lambda _client, _data, message: handler(bytes(message.payload))
    ready = multiprocessing.Event()
    client.on_subscribe = lambda *_: ready.set()
    client.on_connect = lambda made, *_: made.subscribe(topics.all_devices(leaf), 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.wait(30)
    return client


def _measure(ready: Event, result: Connection, done: Callable[[], bool]) -> None:
    """Send the CPU seconds this process used from now until `done`."""
    gc.collect()
    began = time.process_time()
    ready.set()
    while not done():
        time.sleep(0.05)  # 20 wake-ups a second: 0.1 % of a core
    result.send(time.process_time() - began)


def idle(port: int, leaf: topics.DeviceLeaf, count: int, ready: Event, result: Connection) -> None:
    """paho alone."""
    seen = [0]

    def count_it(_payload: bytes) -> None:
        seen[0] += 1

    client = _connected(port, "idle", leaf, count_it)
    _measure(ready, result, lambda: seen[0] >= count)
    client.disconnect()


def labels(port: int, leaf: topics.DeviceLeaf, count: int, ready: Event, result: Connection) -> None:
    """paho, json, and a labels() call for every sample."""
    registry, seen = CollectorRegistry(), [0]
    device = ["site", "device"]
    emotions = Counter("emotions", "x", [*device, "model", "emotion"], registry=registry)
    latency = Histogram("latency_seconds", "x", ["site", "model"], buckets=STAGE_BOUNDS, registry=registry)
    values = Gauge("value", "x", [*device, "name"], registry=registry)
    faces = Gauge("faces", "x", [*device, "model", "emotion"], registry=registry)
    buckets = Gauge("stage_bucket", "x", [*device, "model", "stage", "le"], registry=registry)

    tracks = Gauge("track_bucket", "x", [*device, "model", "label", "le"], registry=registry)

    def take_prediction(payload: bytes) -> None:
        message = json.loads(payload)
        where = (message["site"], message["device"])
        model = f"{message['model']['name']}-{message['model']['release']}"
        emotions.labels(*where, model, message["label"]).inc()
        latency.labels(message["site"], model).observe(message["latency"])
        seen[0] += 1

    def take_window(payload: bytes) -> None:
        message = json.loads(payload)
        where = (message["site"], message["device"])
        model = f"{message['model']['name']}-{message['model']['release']}"
        for name, value in {**message["counters"], **message["gauges"]}.items():
            values.labels(*where, name).set(value)
        for label, value in message["emotions"].items():
            faces.labels(*where, model, label).set(value)
        for stage, histogram in message["stages"].items():
            for bound, value in zip((*STAGE_BOUNDS, "+Inf"), histogram["counts"], strict=True):
                buckets.labels(*where, model, stage, bound).set(value)
        for label, histogram in message["tracks"]["answers"].items():
            for bound, value in zip((*CONFIDENCE_BOUNDS, "+Inf"), histogram["counts"], strict=True):
                tracks.labels(*where, model, label, bound).set(value)
        seen[0] += 1

    client = _connected(port, "labels", leaf, take_prediction if leaf == "prediction" else take_window)
    _measure(ready, result, lambda: seen[0] >= count)
    client.disconnect()


def bridge(port: int, leaf: topics.DeviceLeaf, count: int, ready: Event, result: Connection) -> None:
    """Ours, until everything is committed and acknowledged; only the web server is left out."""
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/predictions.db"
        # No session is kept: the broker must not queue for the bridge what it sends to the others.
        broker = BrokerSettings(port=port, client_id="bridge", session_expiry_s=0)
        made = Bridge(BridgeSettings(database=database, broker=broker))
        made.start()
        del leaf  # the bridge subscribes to all of them
        while not made.link.connected:
            time.sleep(0.01)
        time.sleep(0.5)  # the subscriptions are answered
        last = count // DEVICES
        every = [f"cam-{number}" for number in range(DEVICES)]
        progress = made.commits.progress

        def done() -> bool:
            return all(name in progress and progress[name].mark >= (1000, last) for name in every)

        _measure(ready, result, done)
        made.stop()


CONSUMERS: Final = {"idle": idle, "labels": labels, "bridge": bridge}


def cost(port: int, consumer: str, load: Load, leaf: topics.DeviceLeaf, rate: float) -> float:
    """CPU microseconds a message."""
    context = multiprocessing.get_context("spawn")
    ready, (receiving, sending) = context.Event(), context.Pipe(duplex=False)
    process = context.Process(target=CONSUMERS[consumer], args=(port, leaf, len(load), ready, sending))
    process.start()
    ready.wait(60)
    _publish(port, load, rate)
    if not receiving.poll(120):
        process.kill()
        raise SystemExit(f"{consumer} did not take all {len(load)} messages in")
    seconds: float = receiving.recv()
    process.join(30)
    return seconds / len(load) * 1e6


def peer_cost(port: int, load: Load, rate: float) -> float:
    """The same of mqtt2prometheus."""
    with bridge_peer.running(port, load[-1][1]) as exporter:
        before = exporter.cpu()
        _publish(port, load, rate)
        return (exporter.finish(len(load)) - before) / len(load) * 1e6


def _publish(port: int, load: Load, rate: float) -> None:
    """Send it at this pace, and wait until the broker has all of it."""
    publisher = mqtt.Client(CallbackAPIVersion.VERSION2, "publisher", protocol=mqtt.MQTTv5)
    publisher.max_inflight_messages_set(0)
    publisher.connect("127.0.0.1", port)
    publisher.loop_start()
    began, sent = time.monotonic(), 0
    while sent < len(load):
        due = min(len(load), int((time.monotonic() - began) * rate) + 1)
        for topic, payload in load[sent:due]:
            said = publisher.publish(topic, payload, qos=1)
        sent = due
        time.sleep(BURST_S)
    said.wait_for_publish(120)
    publisher.disconnect()
    publisher.loop_stop()


def large_fleet() -> FleetState:
    """Devices with histograms of their own: at least `SERIES` series."""
    fleet = FleetState(LimitSettings(), MetricSettings(per_device=("all",)))
    emotions = {label: 10 * (index + 1) for index, label in enumerate(LABELS)}
    number = 0
    while number % 50 or exposition.write(list(fleet.devices.values()), fleet.sums, 1.0, 60.0).count("\n") < SERIES:
        name = f"cam-{number}"
        fleet.apply(name, Availability(state="online", session=5), 1.0)
        fleet.apply(name, info(name, 5), 1.0)
        fleet.apply(name, reported(name, 5), 1.0)
        fleet.apply(name, telemetry(name, (5, 1), 75, emotions=emotions), 1.0)
        number += 1
    return fleet


def client_library(devices: list[Device]) -> CollectorRegistry:
    """The same devices' values, counters, emotions and histograms in prometheus_client's own metrics."""
    registry, device = CollectorRegistry(), ["site", "device"]
    values: dict[str, Gauge] = {}
    faces = Counter("edgewise_classified_faces", "x", [*device, "model", "emotion"], registry=registry)
    stage = Histogram("stage_seconds", "x", [*device, "model", "stage"], buckets=STAGE_BOUNDS, registry=registry)
    for each in devices:
        numbers = {"up": 1, "seen": each.last_seen, "info": 1, "model": 1, "update": 1, "progress": 1}
        for name, value in {**numbers, **each.counters, **each.gauges}.items():
            if name not in values:
                values[name] = Gauge(f"value_{name}", "x", device, registry=registry)
            values[name].labels(each.site, each.id).set(value)
        for model, counts in each.emotions.items():
            for label, count in counts.items():
                faces.labels(each.site, each.id, model, label).inc(count)
            for name in STAGES:
                stage.labels(each.site, each.id, model, name).observe(0.004)
    return registry


def _quickest(function: Callable[[], object], rounds: int) -> float:
    """CPU milliseconds of the quietest round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        function()
        best = min(best, time.process_time() - began)
    return best * 1000


def write_times(rounds: int) -> dict[str, float]:
    """CPU milliseconds to write the large fleet, ours and the client library's, and how many series that is."""
    fleet = large_fleet()
    devices = list(fleet.devices.values())
    registry = client_library(devices)
    text = exposition.write(devices, fleet.sums, 1.0, 60.0)
    theirs = generate_latest(registry).decode()
    return {
        "series": sum(not line.startswith("#") for line in text.splitlines()),
        "series_client_library": sum(
            not line.startswith("#") and "_created" not in line for line in theirs.splitlines()
        ),
        "bridge_ms": _quickest(lambda: exposition.write(devices, fleet.sums, 1.0, 60.0), rounds),
        "client_library_ms": _quickest(lambda: generate_latest(registry), rounds),
    }


def main() -> int:
    """Run all of it; the last line printed is the result as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.bridge", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000, help="of each load and consumer (20000)")
    parser.add_argument("--rate", type=float, default=4000.0, help="messages a second (4000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--devices", type=int, default=10_000, help="of the fleet, 0 for none (10000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the fleet, with windows of 10 s (60)")
    parser.add_argument("--kills", type=int, default=10, help="of the broker and of the bridge, 0 for none (10)")
    parser.add_argument("--locked", type=float, default=30.0, help="seconds that the database is locked (30)")
    given = parser.parse_args()
    console = Console(stderr=True)
    count = given.messages // DEVICES * DEVICES
    loads: dict[topics.DeviceLeaf, Load] = {"prediction": predictions(count), "telemetry": windows(count // 4)}
    result: dict[str, Any] = {"messages": count, "rate": given.rate, "rounds": given.rounds}
    result["load_average"] = round(os.getloadavg()[0], 1)
    if without := bridge_peer.missing():
        console.print(f"without mqtt2prometheus: {without}", style="bold")
    table = Table("load", "bytes", "consumer", "CPU µs a message", "against labels()")
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder) / "broker") as broker:
        for leaf, load in loads.items():
            costs: dict[str, list[float]] = {name: [] for name in CONSUMERS}
            if leaf == "telemetry" and not without:
                costs[PEER] = []
            rate = given.rate if leaf == "prediction" else given.rate / 4
            for number in range(given.rounds):
                for name, taken in costs.items():
                    console.print(f"{leaf}: round {number + 1} of {given.rounds}, {name}", style="dim")
                    took = (
                        peer_cost(broker.port, load, rate)
                        if name == PEER
                        else cost(broker.port, name, load, leaf, rate)
                    )
                    taken.append(took)
            best = {name: min(taken) for name, taken in costs.items()}
            size = len(load[0][1])
            result[leaf] = {
                "bytes": size,
                "cpu_us": {name: round(value, 1) for name, value in best.items()},
                "ratio_to_labels": round(best["bridge"] / best["labels"], 2),
                "ratio_to_idle": round(best["bridge"] / best["idle"], 2),
            }
            for name, value in best.items():
                table.add_row(leaf, str(size), name, f"{value:.1f}", f"{value / best['labels']:.2f}")
    console.print(table)
    samples = len(bridge_peer.paths(loads["telemetry"][-1][1]))
    windows_us = result["telemetry"]["cpu_us"]
    result["samples_per_window"] = samples
    result["us_per_sample"] = round(windows_us["bridge"] / samples, 3)
    result["cpu_ratio_vs_mqtt2prometheus"] = (
        round(windows_us[PEER] / windows_us["bridge"], 2) if PEER in windows_us else None
    )
    written = write_times(given.rounds)
    written["ratio"] = round(written["bridge_ms"] / written["client_library_ms"], 3)
    result["scrape_100k_ms"] = round(written["bridge_ms"] * SERIES / written["series"], 1)
    result["exposition"] = {name: round(value, 3) for name, value in written.items()}
    console.print(
        f"{written['series']:,.0f} series as text: {written['bridge_ms']:.0f} ms, "
        f"prometheus_client {written['client_library_ms']:.0f} ms"
    )
    if given.devices:
        console.print(f"{given.devices} devices for {given.seconds:g} s", style="dim")
        result |= bridge_fleet.measure(given.devices, 10.0, given.seconds)
    if given.kills:
        console.print(f"{given.kills} kills of broker and bridge, and a lock of {given.locked:g} s", style="dim")
        result |= bridge_faults.measure(10, given.kills, given.locked)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

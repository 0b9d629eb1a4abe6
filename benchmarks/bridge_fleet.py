"""A whole fleet at one bridge: so many devices, a window each every so often, the bridge as it is started.

The devices are drawn: one publisher speaks for all of them, at an even pace, with the windows that an agent sends. The
bridge runs as its own process, web server and all, on SQLite with fsync. Its CPU is counted over the run; at the end
every device is up, all its frames are counted and its last window is acknowledged, or the run counts as failed.
"""

import contextlib
import random
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from edge_contract import messages, topics
from edge_contract.messages import (
    CONFIDENCE_BOUNDS,
    STAGE_BOUNDS,
    STAGES,
    Ack,
    Availability,
    Histogram,
    Key,
    Message,
    TrackCounts,
)
from edge_simulator.broker import Broker
from tests.bridge.process import BridgeProcess
from tests.bridge.publisher import LABELS, MODEL, info, reported, telemetry

SITES: Final = 50
FPS: Final = 15
SETTLE_S: Final = 120.0
"""At most, for what is under way at the end."""
TURN_S: Final = 0.02
SCRAPES: Final = 3
SCRAPES_S: Final = 5.0
"""For which the acknowledgements are watched without a scrape, to compare."""


class DrawnDevice:
    """One camera: what it counted so far."""

    def __init__(self, number: int, session: int, earlier: int = 0) -> None:
        """`earlier`: windows that it counted before its first is sent, so that people with every answer were there."""
        self.name, self.site, self.session = f"cam-{number}", f"site-{number % SITES}", session
        self.sequence = self.frames = 0
        self._draw = random.Random(number)  # noqa: S311  # a load, not a secret
        self._stages = {stage: [0] * (len(STAGE_BOUNDS) + 1) for stage in STAGES}
        self._confidence = [0] * (len(CONFIDENCE_BOUNDS) + 1)
        self._emotions = dict.fromkeys(LABELS, 0)
        self._tracks = {label: [0] * (len(CONFIDENCE_BOUNDS) + 1) for label in LABELS}
        for _ in range(earlier):
            self.window(10.0)
        self.sequence = 0

    def window(self, seconds: float) -> bytes:
        """The next one: frames of a few milliseconds, a face in most, and a person or two who came by."""
        frames = int(FPS * seconds)
        self.sequence, self.frames = self.sequence + 1, self.frames + frames
        for counts in self._stages.values():
            for bucket, share in ((5, 0.2), (6, 0.6), (7, 0.2)):
                counts[bucket] += int(frames * share)
        self._confidence[9] += frames
        for label in self._draw.sample(LABELS, 2):
            self._emotions[label] += frames // 2
        self._tracks[self._draw.choice(LABELS)][9] += 1
        now = time.time()
        said = telemetry(
            self.name,
            (self.session, self.sequence),
            self.frames,
            site=self.site,
            start=now - seconds,
            end=now,
            emotions=self._emotions,
            stages={stage: _histogram(counts, 0.004) for stage, counts in self._stages.items()},
            confidence=_histogram(self._confidence, 0.93),
            gauges={
                "fps": FPS - 0.1, "rss_bytes": 6.1e7, "memory_available_bytes": 9.4e8, "cpu_share": 0.31,
                "temperature_celsius": 51.0 + self._draw.random(), "throttled": 0.0, "spool_bytes": 4096.0,
                "spool_rows": 1.0, "ack_lag_seconds": 0.0, "brightness": 0.4 + 0.1 * self._draw.random(),
                "contrast": 0.2, "sharpness": 0.3, "faceless": 0.1, "frozen_seconds": 0.0,
            },
            tracks=TrackCounts(
                model=MODEL,
                answers={label: _histogram(counts, 0.93) for label, counts in self._tracks.items() if any(counts)},
            ),
        )  # fmt: skip
        return messages.encode(said)


def _histogram(counts: list[int], mean: float) -> Histogram:
    return Histogram(counts=tuple(counts), sum=mean * sum(counts))


class _Speaker:
    """The connection of all of them, and what was acknowledged to each."""

    def __init__(self, port: int) -> None:
        self.acks: dict[str, Key] = {}
        self.longest = 0.0
        """Seconds from a window to its acknowledgement, the longest so far."""
        self._sent: dict[str, tuple[int, float]] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "fleet", protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(0)
        self._client.on_message = self._on_message
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_connect = lambda client, *_: client.subscribe(topics.all_devices("ack"), 0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not ready.wait(30):
            raise SystemExit("the broker does not answer")

    def say(self, device: str, leaf: topics.DeviceLeaf, message: Message | bytes, *, retain: bool = False) -> None:
        payload = message if isinstance(message, bytes) else messages.encode(message)
        if leaf == "telemetry":
            self._sent[device] = (self._sent.get(device, (0, 0.0))[0] + 1, time.monotonic())
        self._client.publish(topics.device(device, leaf), payload, qos=1, retain=retain)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        ack = messages.decode(bytes(message.payload), Ack)
        device = message.topic.split("/")[3]
        self.acks[device] = (ack.session, ack.sequence)
        sequence, sent = self._sent.get(device, (0, 0.0))
        if ack.sequence == sequence:
            self.longest = max(self.longest, time.monotonic() - sent)


def measure(count: int, window_s: float, seconds: float) -> dict[str, Any]:
    """Run it: `count` devices, a window each `window_s`, for so many seconds.

    `core_share`: processor time of the bridge over `seconds`, 1 is one core. `rss_mb`: of the bridge at the end, before
    anybody read its metrics; `rss_scraped_mb`: after that.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        broker = stack.enter_context(Broker(folder / "broker"))
        (folder / "bridge").mkdir()
        limits = f"[limits]\ndevices = {count}\n"
        bridge = stack.enter_context(BridgeProcess(folder / "bridge", broker.port, config=limits))
        speaker = _Speaker(broker.port)
        stack.callback(speaker.close)
        session = int(time.time())
        devices = [DrawnDevice(number, session) for number in range(count)]
        for each in devices:
            speaker.say(each.name, "availability", Availability(state="online", session=session), retain=True)
            speaker.say(each.name, "info", info(each.name, session, each.site), retain=True)
            speaker.say(each.name, "reported", reported(each.name, session), retain=True)
            time.sleep(0.001)
        _round(devices, speaker, window_s, window_s)  # the first window of each makes its record
        _settle(devices, speaker)
        process = psutil.Process(bridge.pid)
        began, cpu, before = time.monotonic(), _cpu(process), sum(each.sequence for each in devices)
        _round(devices, speaker, window_s, seconds)
        _settle(devices, speaker)
        spent, took = _cpu(process) - cpu, time.monotonic() - began
        sent = sum(each.sequence for each in devices) - before
        rss = process.memory_info().rss
        idle_stall = _stall(devices, speaker, window_s, lambda: time.sleep(SCRAPES_S))
        texts: list[str] = []
        stall = _stall(devices, speaker, window_s, lambda: texts.extend(_read(bridge) for _ in range(SCRAPES)))
        _settle(devices, speaker)
        scraped = time.monotonic()
        text = _read(bridge)
        scrape = time.monotonic() - scraped
        _check(text, devices)
        return {
            "devices": count,
            "window_s": window_s,
            "windows": sent,
            "seconds": round(took, 1),
            "us_per_window": round(spent / sent * 1e6, 1),
            # Of the pace that was wanted: a publisher that fell behind it must not make the bridge look idle.
            "core_share": round(spent / seconds, 3),
            "rss_mb": round(rss / 1e6, 1),
            "rss_scraped_mb": round(process.memory_info().rss / 1e6, 1),
            "series": sum(not line.startswith("#") for line in text.splitlines()),
            "scrape_ms": round(scrape * 1000),
            "ack_longest_ms": round(idle_stall * 1000),
            "ack_longest_while_scraped_ms": round(stall * 1000),
        }


def _read(bridge: BridgeProcess) -> str:
    """All metrics, however long they take on a busy machine."""
    with urllib.request.urlopen(bridge.url("/metrics"), timeout=SETTLE_S) as response:  # noqa: S310  # 127.0.0.1
        text: str = response.read().decode()
    return text


def _stall(devices: list[DrawnDevice], speaker: _Speaker, window_s: float, meanwhile: Callable[[], object]) -> float:
    """The longest that a window waited for its acknowledgement, in seconds, with windows coming in all the while.

    It includes the time for which the bridge gathers a transaction.
    """
    thread = threading.Thread(target=meanwhile)
    thread.start()
    speaker.longest = 0.0
    first = 0
    while thread.is_alive():
        turn = [devices[number % len(devices)] for number in range(first, first + int(len(devices) / window_s / 10))]
        began = time.monotonic()
        for each in turn:
            speaker.say(each.name, "telemetry", each.window(window_s))
        first += len(turn)
        time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))
    thread.join()
    return speaker.longest


def _round(devices: list[DrawnDevice], speaker: _Speaker, window_s: float, seconds: float) -> None:
    """All devices in turn, evenly over `window_s`, for `seconds`."""
    began, sent, rate = time.monotonic(), 0, len(devices) / window_s
    last = int(rate * seconds)
    while sent < last:
        due = min(last, int((time.monotonic() - began) * rate) + 1)
        for number in range(sent, due):
            each = devices[number % len(devices)]
            speaker.say(each.name, "telemetry", each.window(window_s))
        sent = due
        time.sleep(TURN_S)


def _settle(devices: list[DrawnDevice], speaker: _Speaker) -> None:
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        waiting = [each for each in devices if speaker.acks.get(each.name, (0, 0)) < (each.session, each.sequence)]
        if not waiting:
            return
        time.sleep(0.1)
    raise SystemExit(f"{len(waiting)} devices were not acknowledged within {SETTLE_S:g} s")


def _check(text: str, devices: list[DrawnDevice]) -> None:
    lines = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(("edgewise_up{", "edgewise_frames_total{"))
    )
    for each in devices:
        labels = f'{{site="{each.site}",device="{each.name}"}}'
        found = (lines.get(f"edgewise_up{labels}"), lines.get(f"edgewise_frames_total{labels}"))
        if found != ("1", str(each.frames)):
            raise SystemExit(f"{each.name} sent {each.frames} frames, and the bridge shows {found}")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)

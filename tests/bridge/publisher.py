"""A device as the bridge sees one: real contract messages over a real broker, without a camera or a model."""

import ssl
import threading
import time
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_contract import messages, topics
from edge_contract.messages import (
    CONFIDENCE_BOUNDS,
    STAGE_BOUNDS,
    STAGES,
    Ack,
    Availability,
    Histogram,
    Info,
    Key,
    Message,
    ModelRef,
    Prediction,
    Reported,
    Telemetry,
)
from edge_contract.update_state import UpdateState

MODEL = ModelRef(name="emotion", release=2, digest="ab" * 32)
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def histogram(bounds: int, bucket: int, count: int, value: float = 0.004) -> Histogram:
    """All observations in one bucket."""
    counts = [0] * (bounds + 1)
    counts[bucket] = count
    return Histogram(counts=tuple(counts), sum=count * value)


def telemetry(device: str, key: Key, frames: int, **changed: Any) -> Telemetry:
    """A window after `frames` frames, each with one happy face, 4 ms from frame to answer."""
    fields: dict[str, Any] = {
        "device": device,
        "site": "home",
        "session": key[0],
        "sequence": key[1],
        "oldest": key,
        "start": 1000.0,
        "end": 1010.0,
        "model": MODEL,
        "counters": {"frames": frames, "drops": frames // 10, "faces": frames, "predictions": frames // 5},
        "emotions": {"happy": frames},
        "stages": {stage: histogram(len(STAGE_BOUNDS), 6, frames) for stage in STAGES},
        "confidence": histogram(len(CONFIDENCE_BOUNDS), 9, frames, 0.93),
        "gauges": {"fps": 14.9, "rss_bytes": 6.1e7, "temperature_celsius": 51.0},
    }
    return Telemetry(**{**fields, **changed})


def prediction(device: str, key: Key, **changed: Any) -> Prediction:
    """A happy face."""
    fields: dict[str, Any] = {
        "device": device,
        "site": "home",
        "session": key[0],
        "sequence": key[1],
        "oldest": key,
        "time": time.time(),
        "track": 1,
        "label": "happy",
        "confidence": 0.93,
        "probabilities": (0.01, 0.0, 0.01, 0.93, 0.01, 0.02, 0.02),
        "box": (0.4, 0.2, 0.2, 0.3),
        "model": MODEL,
        "latency": 0.0041,
    }
    return Prediction(**{**fields, **changed})


def info(device: str, session: int, site: str = "home") -> Info:
    """An inventory."""
    return Info(
        device=device,
        site=site,
        groups=("all",),
        session=session,
        agent="0.1.0",
        board="Raspberry Pi 5 Model B",
        os="Debian 12",
        python="3.11.2",
        runtime="litert 2.3.0",
        camera="/dev/video0",
        started=float(session),
    )


def reported(device: str, session: int, **changed: Any) -> Reported:
    """A device that runs the model above."""
    fields: dict[str, Any] = {
        "device": device,
        "session": session,
        "active": MODEL,
        "state": UpdateState.COMMITTED,
        "target": MODEL,
        "revision": 3,
        "progress": 1.0,
        "time": time.time(),
    }
    fields |= changed
    return Reported(**{**fields, "state": UpdateState(fields["state"])})


class Publisher:
    """One device's connection: publishes, and remembers what was acknowledged."""

    def __init__(
        self,
        port: int,
        device: str,
        session: int,
        *,
        tls: ssl.SSLContext | None = None,
        client_id: str | None = None,
    ) -> None:
        self.device, self.session = device, session
        self.acks: list[Key] = []
        self._acked = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id or device, protocol=mqtt.MQTTv5)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.will_set(*self._availability("offline"), qos=1, retain=True)
        self._client.on_message = self._on_message
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 2)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_connect = lambda client, *_: client.subscribe(topics.device(device, "ack"), 1)
        self._client.connect("127.0.0.1", port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert ready.wait(30)

    def say_hello(self) -> None:
        """What a device says on every connect."""
        self._client.publish(*self._availability("online"), qos=1, retain=True)
        self.send(info(self.device, self.session), "info", retain=True)
        self.send(reported(self.device, self.session), "reported", retain=True)

    def send(self, message: Message, leaf: topics.DeviceLeaf, *, retain: bool = False) -> None:
        """Publish with QoS 1."""
        self.send_bytes(messages.encode(message), leaf, retain=retain)

    def send_bytes(self, payload: bytes, leaf: topics.DeviceLeaf, *, retain: bool = False) -> None:
        """Publish anything at all."""
        self._client.publish(topics.device(self.device, leaf), payload, qos=1, retain=retain)

    def wait_for_ack(self, key: Key, timeout: float = 60) -> None:
        """Until everything up to `key` is acknowledged."""
        with self._acked:
            assert self._acked.wait_for(lambda: bool(self.acks) and max(self.acks) >= key, timeout), self.acks[-3:]

    def drop(self) -> None:
        """Break the connection so that the broker publishes the last will."""
        sock = self._client.socket()
        self._client.loop_stop()
        if sock is not None:
            sock.close()

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self._client.is_connected()

    def close(self) -> None:
        """Disconnect politely: the last will stays unsaid."""
        self._client.disconnect()
        self._client.loop_stop()

    def _availability(self, state: Any) -> tuple[str, bytes]:
        message = Availability(state=state, session=self.session)
        return topics.device(self.device, "availability"), messages.encode(message)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        ack = messages.decode(message.payload, Ack)
        with self._acked:
            self.acks.append((ack.session, ack.sequence))
            self._acked.notify_all()

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Devices that speak the wire and do as they are told: connections with wills, retained reports, telemetry.

What a device decides (who takes part) is the contract's own code; what it would do with a model is scripted. The update
machine's own tests have real models.
"""

import json
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from typing import Literal

import msgspec
import paho.mqtt.client as mqtt
from msgspec.structs import replace
from paho.mqtt.enums import CallbackAPIVersion

from edge_contract import topics
from edge_contract.messages import (
    CONFIDENCE_BOUNDS,
    STAGE_BOUNDS,
    Availability,
    Histogram,
    Info,
    Message,
    ModelRef,
    Reported,
    ShadowCounts,
    Telemetry,
    encode,
)
from edge_contract.trust import DesiredState
from edge_contract.update_state import UpdateState

Behaviour = Literal["takes it", "rejects it", "rolls back", "sleeps", "dies with it"]
PATIENCE_S = 60.0


def eventually(condition: Callable[[], object], what: str, turn: Callable[[], object] = lambda: None) -> None:
    """Wait for something that must happen; `turn` is called meanwhile. No test asserts how long it took."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen: {what}")
        turn()
        time.sleep(0.02)


class ScriptedDevice:
    """One device of a group."""

    def __init__(
        self,
        port: int,
        id_: str,
        runs: ModelRef,
        *,
        group: str = "lab",
        board: str = "pi-4",
        behaviour: Behaviour = "takes it",
        camera_kind: str = "drawn",
    ) -> None:
        self.id, self.behaviour, self.told = id_, behaviour, list[DesiredState]()
        self._runs, self._session, self._sequence = runs, int(time.time()), 0
        self._challenger: ModelRef | None = None
        self._looks, self._lock = 0, threading.Lock()
        self._window: Telemetry | None = None
        self._reported = Reported(
            device=id_, session=self._session, active=runs, state=UpdateState.COMMITTED, target=runs, time=time.time()
        )
        self.info = Info(
            device=id_, site="hall", groups=(group,), session=self._session, agent="0.2", board=board, os="linux",
            python="3.11", runtime="litert", camera="drawn", camera_kind=camera_kind, started=0.0,
        )  # fmt: skip
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=id_, protocol=mqtt.MQTTv5)
        self._client.will_set(topics.device(id_, "availability"), self._availability("offline"), qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_message = self._desired
        self._group = group
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> "ScriptedDevice":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.publish(topics.device(self.id, "availability"), self._availability("stopped"), qos=1, retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def active(self) -> ModelRef:
        return self._runs

    def drop(self) -> None:
        """End the connection as a power cut would: the broker publishes the will."""
        sock = self._client.socket()
        self._client.loop_stop()
        if sock is not None:
            sock.close()

    def look(self, looks: int, agreed: int | None = None) -> None:
        """Send a window of telemetry; in shadow with so many looks more."""
        with self._lock:
            self._looks += looks
            self._sequence += 1
            shadow = None if self._challenger is None else self._shadow(looks if agreed is None else agreed)
            nothing = Histogram(counts=(0,) * (len(CONFIDENCE_BOUNDS) + 1), sum=0.0)
            window = Telemetry(
                device=self.id, site="hall", start=time.time() - 600, end=time.time(), model=self._runs, counters={},
                emotions={}, stages={}, confidence=nothing, gauges={}, shadow=shadow, session=self._session,
                sequence=self._sequence, oldest=(self._session, 1),
            )  # fmt: skip
        self._window = window
        self.repeat()

    def repeat(self) -> None:
        """Send the last window again."""
        assert self._window is not None
        self._publish("telemetry", self._window, retain=False)

    def _shadow(self, agreed: int) -> ShadowCounts:
        assert self._challenger is not None
        seen = Histogram(counts=(0,) * 9 + (self._looks,), sum=self._looks * 0.9)
        slow = Histogram(counts=(0,) * 5 + (self._looks,) + (0,) * (len(STAGE_BOUNDS) - 5), sum=self._looks * 0.003)
        return ShadowCounts(
            champion=self._runs, challenger=self._challenger, looks=self._looks, failures=0, skipped=0,
            agreed=self._looks if agreed else 0, confusion={"happy": {"happy" if agreed else "sad": self._looks}},
            less_sure=0, more_sure=0, slower=0, champion_confidence=seen, challenger_confidence=seen,
            champion_latency=slow, challenger_latency=slow,
            sure={"happy": self._looks}, contradicted={} if agreed else {"happy": self._looks},
        )  # fmt: skip

    def _availability(self, state: Literal["online", "offline", "stopped"]) -> bytes:
        return encode(Availability(state=state, session=self._session))

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.publish(topics.device(self.id, "availability"), self._availability("online"), qos=1, retain=True)
        self._publish("info", self.info)
        self._publish("reported", self._reported)
        client.subscribe(topics.group_desired(self._group), qos=1)

    def _desired(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        envelope = json.loads(message.payload)
        state = msgspec.json.decode(b64decode(envelope["payload"]), type=DesiredState)
        self.told.append(state)
        if self.behaviour == "sleeps":
            return
        includes = state.wave is not None and self.info.camera_kind and state.wave.includes(self.id)
        wave = state.wave if includes else None
        target = state.model if wave is None else wave.model
        self._challenger, self._looks = None, 0
        bad = self.behaviour in {"rejects it", "rolls back"} and wave is not None
        if bad:
            refused = UpdateState.REJECTED if self.behaviour == "rejects it" else UpdateState.ROLLED_BACK
            self._report(refused, target, state.revision, "its self-test failed.")
        elif wave is not None and wave.mode == "shadow":
            self._challenger = target
            self._report(UpdateState.SHADOWING, target, state.revision)
        else:
            self._runs = target
            self._report(UpdateState.COMMITTED, target, state.revision)
            if self.behaviour == "dies with it" and wave is not None:
                threading.Thread(target=self.drop, daemon=True).start()

    def _report(self, state: UpdateState, target: ModelRef, revision: int, reason: str = "") -> None:
        self._reported = replace(
            self._reported, active=self._runs, state=state, target=target, revision=revision, reason=reason,
            time=time.time(), since=time.time(),
        )  # fmt: skip
        self._publish("reported", self._reported)

    def _publish(self, leaf: topics.DeviceLeaf, message: Message, *, retain: bool = True) -> None:
        self._client.publish(topics.device(self.id, leaf), encode(message), qos=1, retain=retain)

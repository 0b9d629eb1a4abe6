"""A device that sends crops, as far as a broker and a bridge see one."""

import threading
from types import TracebackType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_contract import topics
from edge_contract.crop import CropAck
from edge_contract.messages import decode


class CropDevice:
    """One connection; remembers what it was answered."""

    def __init__(self, port: int, device: str = "cam-1") -> None:
        self.device, self.answers = device, list[CropAck]()
        self._answered = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(device)
        self._client.on_message = self._on_message
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_connect = lambda client, *_: client.subscribe(topics.device(device, "crop-ack"), 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(30)

    def send(self, payload: bytes) -> None:
        """Publish it as a crop, QoS 1."""
        self._client.publish(topics.device(self.device, "crop"), payload, qos=1).wait_for_publish(30)

    def wait_for(self, count: int) -> list[tuple[int, str]]:
        """Sequence and reason of each answer, once there are so many."""
        with self._answered:
            assert self._answered.wait_for(lambda: len(self.answers) >= count, 60), self.answers
            return [(each.sequence, each.reason) for each in self.answers]

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._answered:
            self.answers.append(decode(message.payload, CropAck))
            self._answered.notify_all()

    def __enter__(self) -> "CropDevice":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

"""A device's sampling without its camera, and where labels are collected, over a real broker: what the tests share."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec.structs import replace

from edge_agent.inference.events import ModelAnswer, Shown
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.sampling.box import Box
from edge_agent.sampling.consent import Permission, mark
from edge_agent.sampling.sampler import Pick
from edge_agent.sampling.sealing import Origin
from edge_agent.sampling.sender import CropSender
from edge_contract import crop, topics
from edge_contract.crop import Consent, Crop, CropAck, CropName, Stratum, key_id
from edge_contract.errors import MessageError
from edge_contract.messages import encode
from edge_contract.metrics import DeviceCounter
from edge_contract.package import read_file
from tests.agent.agent_process import DEVICE, FIXTURES
from tests.eventually import eventually

MANIFEST = read_file(FIXTURES / "tiny-1.ewm").manifest
KEY = X25519PrivateKey.generate()
CONSENT = Consent(by="Ada", given=1.0, until=4_000_000_000.0, purpose="to count smiles")


def write_public_key(folder: Path) -> Path:
    """The labelling key's public half, as a device has it."""
    file = folder / "labels.pub"
    file.write_bytes(
        KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return file


def pick(number: int, stratum: Stratum = "random", taken: float | None = None) -> Pick:
    """A face whose pixels are its number's, so that no two are alike and none is found by accident."""
    pixels = np.random.default_rng(number).integers(0, 256, (1, 48, 48, 1), np.uint8)
    probabilities = np.full(7, 0.1, np.float32)
    shown = Shown(number, pixels, ModelAnswer(MANIFEST, probabilities))
    return Pick(stratum, 0.25, shown, time.time() if taken is None else taken)


class SamplingDevice:
    """Box, link and sender of one device in this process."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        session: int = 1,
        largest: int = 1 << 20,
        key: X25519PrivateKey = KEY,
        **consent: Any,
    ) -> None:
        self.folder = folder / "state"
        self.folder.mkdir(exist_ok=True)
        self.now = time.time
        self.permission = Permission(replace(CONSENT, **consent), lambda: self.now())  # noqa: PLW0108  # it changes
        public = key.public_key()
        box = Box(self.folder, largest, consent=mark(self.permission.consent), key=key_id(public))
        self.link = Link(
            BrokerSettings(port=port), DEVICE, clean_start=False, jitter=lambda: 0.0,
            on_connect=lambda: self.sender.connected(),  # noqa: PLW0108  # it does not exist yet
        )  # fmt: skip
        origin = Origin(DEVICE, "shop", session)
        self.sender = CropSender(box, self.folder, self.link, public, origin, self.permission, time.monotonic)
        self.sender.start()

    @property
    def rows(self) -> int:
        return self.sender._box.rows

    def counted(self, counter: DeviceCounter) -> int:
        return self.sender.counters()[counter]

    def stop(self) -> None:
        self.sender.stop(5)
        self.link.stop()


class Labels:
    """Where labels are collected: opens what comes, keeps it once, and answers by name."""

    def __init__(self, port: int, *, answers: bool = True, reason: str = "", key: X25519PrivateKey = KEY) -> None:
        self.crops: dict[CropName, Crop] = {}
        self.payloads: list[bytes] = []
        self.answers, self.reason, self._key = answers, reason, key
        self.damaged = 0
        self.link = Link(BrokerSettings(port=port), "labels", clean_start=True, jitter=lambda: 0.0)
        self.link.subscribe(topics.all_devices("crop"), self._received)
        self.link.start()
        eventually(lambda: self.link.connected)

    def _received(self, topic: str, payload: bytes) -> None:
        self.payloads.append(payload)
        name = crop.name_of(payload)
        if name is None:
            self.damaged += 1
            return
        reason = self.reason
        try:
            self.crops[name] = crop.unseal(payload, topic.split("/")[3], self._key)
        except MessageError as error:
            reason = error.problem
        if self.answers:
            ack = CropAck(session=name.session, sequence=name.sequence, reason=reason)
            self.link.publish(topics.device(DEVICE, "crop-ack"), encode(ack))


def nowhere_in(needles: list[bytes], folder: Path) -> Callable[[], str]:
    """Looks for each needle in every file of a folder; says where one is, or nothing."""

    def look() -> str:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                if any(needle in data for needle in needles):
                    return str(path)
        return ""

    return look

"""Crops as a device makes them, sealed to a key of the test's own."""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edge_bridge.labels import crops, door, key
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.settings import LabelSettings
from edge_contract.crop import Consent, Crop, CropHeader, Guess, seal
from edge_contract.messages import ModelRef

NOW = 1_790_000_000.0
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CONSENT = Consent(by="Works council", given=NOW - 1e6, until=NOW + 1e6, purpose="better answers in the shop")
KEY = X25519PrivateKey.generate()
PIXELS = bytes((7 * index + index // 48) % 251 for index in range(48 * 48))


def guess(answer: str, release: int = 4, share: float = 0.7) -> Guess:
    """A model's answer, its labels in the model's order."""
    rest = (1 - share) / (len(LABELS) - 1)
    return Guess(
        model=ModelRef(name="emotion", release=release, digest=f"{release:02x}" * 32),
        probabilities={label: share if label == answer else rest for label in LABELS},
    )


def crop(device: str = "cam-1", sequence: int = 1, *, pixels: bytes = PIXELS, **changed: Any) -> Crop:
    """A grey face of the random stratum that emotion-4 calls happy."""
    fields: dict[str, Any] = {
        "device": device,
        "site": "home",
        "session": 5,
        "sequence": sequence,
        "taken": NOW - 1000 + sequence,
        "track": sequence,
        "stratum": "random",
        "inclusion": 0.01,
        "champion": guess("happy"),
        "consent": CONSENT,
        "width": 48,
        "height": 48,
        "channels": 1,
    }
    return Crop(header=CropHeader(**{**fields, **changed}), pixels=pixels)


def sealed(device: str = "cam-1", sequence: int = 1, **changed: Any) -> bytes:
    """The payload of it."""
    return seal(crop(device, sequence, **changed), KEY.public_key())


def opened(folder: Path) -> LabelDatabase:
    """An empty database."""
    database = LabelDatabase(folder / "labels.db")
    database.create()
    return database


def store(
    database: LabelDatabase, payloads: list[tuple[str, bytes]], settings: LabelSettings | None = None
) -> list[crops.Stored]:
    """Put crops (device, payload) into it, by way of the door."""
    checked = [door.check(f"edgewise/v1/device/{device}/crop", payload, KEY, NOW) for device, payload in payloads]
    good = [each for each in checked if isinstance(each, door.Checked)]
    assert len(good) == len(checked), checked
    with database.transaction() as connection:
        return crops.add(connection, good, settings or LabelSettings(), NOW)


def key_file(folder: Path) -> Path:
    """The private half of `KEY` on disk."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    file = folder / "labelling.pem"
    file.write_bytes(
        KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    file.chmod(0o600)
    assert key.read(file).private_bytes_raw() == KEY.private_bytes_raw()
    return file

"""What a device may send as a crop: anything, and the bridge takes what is whole, consented and within its ranges."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edge_bridge.labels import door
from edge_bridge.labels.door import Checked, Refused
from edge_contract import limits
from edge_contract.crop import Guess, seal
from edge_contract.messages import ModelRef
from tests.bridge.labels.faces import CONSENT, KEY, NOW, crop, guess, sealed

TOPIC = "edgewise/v1/device/cam-1/crop"


def test_a_crop_is_taken_as_it_came_with_its_facts_beside_it() -> None:
    payload = sealed(stratum="disagreement", challenger=guess("sad", 5))
    found = door.check(TOPIC, payload, KEY, NOW)
    assert isinstance(found, Checked)
    assert (found.sealed, found.device, found.session, found.sequence) == (payload, "cam-1", 5, 1)
    assert found.challenger is not None
    assert (door.answer_of(found.champion), door.answer_of(found.challenger)) == ("happy", "sad")
    assert 0 <= found.shuffle < 1_000_000


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("consent", {"taken": CONSENT.until}),
        ("consent", {"taken": CONSENT.given - 1}),
        ("time", {"taken": NOW + 2 * 86400}),
        ("inclusion", {"inclusion": 1e-9}),
        ("label", {"champion": Guess(model=ModelRef(name="m", release=1, digest="ab" * 32),
                                     probabilities={"\x1b[31m": 1.0})}),
        ("label", {"challenger": Guess(model=ModelRef(name="m", release=1, digest="ab" * 32),
                                       probabilities={" ": 1.0})}),
    ],
)  # fmt: skip
def test_a_crop_that_says_what_cannot_be_is_refused_by_name(reason: str, changed: dict[str, Any]) -> None:
    found = door.check(TOPIC, sealed(sequence=7, **changed), KEY, NOW)
    assert isinstance(found, Refused)
    assert (found.reason, found.name) == (reason, (5, 7))
    assert found.reason in door.SENTENCES


@pytest.mark.parametrize(
    ("reason", "topic", "payload"),
    [
        ("topic", "edgewise/v1/device/cam-1/telemetry", b"x"),
        ("topic", "other/thing", b"x"),
        ("size", TOPIC, b"x" * (limits.CROP_BYTES + 1)),
        ("crop", TOPIC, b""),
        ("crop", TOPIC, b'{"device":"cam-1"}'),
        ("key", TOPIC, seal(crop(), X25519PrivateKey.generate().public_key())),
        ("damaged", TOPIC, sealed()[:-1]),
        ("damaged", TOPIC, sealed()[:-1] + b"\0"),
        ("damaged", TOPIC, sealed("cam-2")),  # another device's, sent again as one's own
    ],
)
def test_what_is_no_crop_of_this_device_is_refused(reason: str, topic: str, payload: bytes) -> None:
    found = door.check(topic, payload, KEY, NOW)
    assert isinstance(found, Refused)
    assert found.reason == reason


@given(st.binary(max_size=300), st.integers(0, 3000), st.integers(0, 255))
def test_no_bytes_raise_and_none_are_taken(noise: bytes, at: int, byte: int) -> None:
    assert isinstance(door.check(TOPIC, noise, KEY, NOW), Refused)
    payload = bytearray(sealed())
    at %= len(payload)
    changed = payload[at] != byte
    payload[at] = byte
    assert isinstance(door.check(TOPIC, bytes(payload), KEY, NOW), Refused if changed else Checked)

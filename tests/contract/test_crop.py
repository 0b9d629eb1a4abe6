"""Crops for labelling: only the labelling key opens them, and nothing that was changed on the way is taken for one."""

import contextlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hpke, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_contract import crop, limits, topics
from edge_contract.crop import Consent, Crop, CropAck, CropHeader, CropName, Guess
from edge_contract.errors import MessageError, UsageError
from edge_contract.messages import LARGEST, ModelRef, decode, encode
from edge_contract.topics import DeviceTopic

KEY, OTHER = X25519PrivateKey.generate(), X25519PrivateKey.generate()
PUBLIC = KEY.public_key()
MODEL = ModelRef(name="emotion", release=5, digest="a" * 64)
HEADER = CropHeader(
    device="cam-1", site="shop", session=1_800_000_000, sequence=7, taken=1_800_000_100.0, track=3, stratum="random",
    inclusion=0.01, champion=Guess(model=MODEL, probabilities={"happy": 0.75, "sad": 0.25}),
    consent=Consent(by="Ada", given=1_800_000_000.0, until=1_900_000_000.0, purpose="to count smiles"),
    width=6, height=4, channels=1,
)  # fmt: skip
CROP = Crop(header=HEADER, pixels=bytes(range(24)))
PAYLOAD = crop.seal(CROP, PUBLIC)
CLEAR = 28  # bytes before the sealed box

texts = st.text(min_size=1, max_size=20)
guesses = st.builds(
    Guess,
    model=st.just(MODEL),
    probabilities=st.dictionaries(texts, st.floats(0, 1), min_size=1, max_size=8),
)


@st.composite
def crops(draw: st.DrawFn) -> Crop:
    """Any crop that a device may make."""
    width, height = draw(st.integers(1, 16)), draw(st.integers(1, 16))
    channels = draw(st.sampled_from([1, 3]))
    given_at = draw(st.floats(0, 2**36))
    header = replace(
        HEADER, session=draw(st.integers(0, LARGEST)), sequence=draw(st.integers(1, 2**62)),
        track=draw(st.integers(0, 9)),
        stratum=draw(st.sampled_from(["random", "uncertain", "disagreement"])),
        inclusion=draw(st.floats(0, 1, exclude_min=True)), champion=draw(guesses),
        challenger=draw(st.none() | guesses), width=width, height=height, channels=channels, taken=given_at,
        consent=Consent(by=draw(texts), given=given_at, until=given_at + 3600.0, purpose=draw(texts)),
    )  # fmt: skip
    size = width * height * channels
    return Crop(header=header, pixels=draw(st.binary(min_size=size, max_size=size)))


@settings(max_examples=40)
@given(crops())
def test_what_was_sealed_is_opened_with_every_field_and_pixel(sent: Crop) -> None:
    payload = crop.seal(sent, PUBLIC)
    assert crop.unseal(payload, "cam-1", KEY) == sent
    assert crop.name_of(payload) == (sent.header.session, sent.header.sequence)
    assert crop.sealed_to(payload) == crop.key_id(PUBLIC)


def test_no_two_seals_of_one_crop_are_alike_and_neither_shows_a_pixel_or_a_word_of_the_header() -> None:
    again = crop.seal(CROP, PUBLIC)
    assert again[CLEAR:] != PAYLOAD[CLEAR:]
    for shown in (CROP.pixels[:8], b"cam-1", b"happy", b"Ada", b"shop"):
        assert shown not in PAYLOAD


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: PAYLOAD[:CLEAR] + tail))
def test_any_bytes_are_a_message_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(MessageError):
        crop.unseal(data, "cam-1", KEY)
    crop.name_of(data)


@given(st.binary(max_size=400))
def test_whatever_a_holder_of_the_public_key_seals_is_a_crop_or_a_message_error(plain: bytes) -> None:
    with contextlib.suppress(MessageError):
        crop.unseal(_sealed(plain), "cam-1", KEY)


def test_a_flipped_bit_anywhere_is_refused() -> None:
    for place in range(len(PAYLOAD)):
        damaged = bytearray(PAYLOAD)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(MessageError):
            crop.unseal(bytes(damaged), "cam-1", KEY)


@given(st.integers(0, len(PAYLOAD) - 1))
def test_a_crop_cut_short_is_refused(length: int) -> None:
    with pytest.raises(MessageError):
        crop.unseal(PAYLOAD[:length], "cam-1", KEY)


def test_another_devices_topic_and_another_key_are_refused() -> None:
    with pytest.raises(MessageError, match="seal does not hold"):
        crop.unseal(PAYLOAD, "cam-2", KEY)
    with pytest.raises(MessageError, match="this labelling key"):
        crop.unseal(PAYLOAD, "cam-1", OTHER)
    with pytest.raises(MessageError, match="another device than its topic"):
        crop.unseal(_sealed(_plain(replace(HEADER, device="cam-2"))), "cam-1", KEY)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 7}, "24 bytes of pixels"),
        ({"channels": 3}, "24 bytes of pixels"),
        ({"sequence": 8}, "named otherwise"),
        ({"session": 1}, "named otherwise"),
        ({"taken": 1_900_000_000.0}, "consent was not in force"),
        ({"taken": 1_799_999_999.0}, "consent was not in force"),
        ({"width": 129}, "CropHeader"),
        ({"inclusion": 0.0}, "inclusion"),
        ({"inclusion": 1.5}, "inclusion"),
        ({"stratum": "all"}, "stratum"),
        ({"track": -1}, "track"),
    ],
)
def test_a_header_that_lies_is_refused_by_name(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        crop.unseal(_sealed(_plain(replace(HEADER, **changes))), "cam-1", KEY)


@pytest.mark.parametrize("length", [0, 2**31, 2**32 - 1])
def test_a_header_of_a_length_that_cannot_be_is_refused(length: int) -> None:
    with pytest.raises(MessageError, match="no length that can be"):
        crop.unseal(_sealed(length.to_bytes(4, "big") + _plain(HEADER)[4:]), "cam-1", KEY)


def test_what_passes_the_limit_is_neither_sealed_nor_opened() -> None:
    with pytest.raises(MessageError, match="bytes of pixels"):
        crop.seal(replace(CROP, pixels=bytes(25)), PUBLIC)
    wordy = Guess(model=MODEL, probabilities={f"{number:02}" + "ü" * 62: 0.5 for number in range(64)})
    with pytest.raises(MessageError, match="header has"):
        crop.seal(replace(CROP, header=replace(HEADER, champion=wordy, challenger=wordy)), PUBLIC)
    assert crop.sealed_to(PAYLOAD + bytes(limits.CROP_BYTES)) is None
    with pytest.raises(MessageError):
        crop.unseal(PAYLOAD + bytes(limits.CROP_BYTES), "cam-1", KEY)


def test_the_largest_crop_fits_its_limit() -> None:
    side = crop.SIDE
    largest = replace(HEADER, width=side, height=side, channels=3, champion=_wide(), challenger=_wide())
    payload = crop.seal(Crop(header=largest, pixels=bytes(side * side * 3)), PUBLIC)
    assert len(payload) + len(topics.device("x" * 64, "crop")) < limits.CROP_BYTES
    assert crop.unseal(payload, "cam-1", KEY).header == largest


def test_who_holds_another_key_can_refuse_a_crop_by_its_name() -> None:
    assert crop.name_of(PAYLOAD) == CropName(HEADER.session, HEADER.sequence)
    refusal = CropAck(session=HEADER.session, sequence=HEADER.sequence, reason="sealed to another key")
    assert decode(encode(refusal), CropAck) == refusal
    assert crop.name_of(b"EWC1" + bytes(8) + b"\xff" * 17) is None  # no number that a database holds


def test_a_consent_is_in_force_from_its_first_moment_to_before_its_last() -> None:
    consent = HEADER.consent
    assert [consent.in_force(at) for at in (consent.given - 1, consent.given, consent.until - 1, consent.until)] == [
        False, True, True, False
    ]  # fmt: skip


def test_a_public_key_is_read_and_any_other_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "labels.pub"
    file.write_bytes(_pem(PUBLIC))
    assert crop.key_id(crop.read_public_key(file)) == crop.key_id(PUBLIC)
    file.write_bytes(_pem(Ed25519PrivateKey.generate().public_key()))
    with pytest.raises(UsageError, match="no X25519 key"):
        crop.read_public_key(file)
    for junk in (b"", b"-----BEGIN PUBLIC KEY-----\n", b"\xff" * 100, b"x" * (limits.SECRET_BYTES + 1)):
        file.write_bytes(junk)
        with pytest.raises(UsageError, match=r"labels\.pub"):
            crop.read_public_key(file)
    with pytest.raises(UsageError, match="cannot be read"):
        crop.read_public_key(tmp_path / "none.pub")


def test_the_topics_of_crops_are_a_devices_own() -> None:
    assert topics.parse(topics.device("cam-1", "crop")) == DeviceTopic("cam-1", "crop")
    assert topics.parse(topics.device("cam-1", "crop-ack")) == DeviceTopic("cam-1", "crop-ack")


def _pem(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _wide() -> Guess:
    return Guess(model=MODEL, probabilities={f"label-{number}" + "x" * 40: 1 / 64 for number in range(64)})


def _plain(header: CropHeader) -> bytes:
    data = encode(header)
    return len(data).to_bytes(4, "big") + data + CROP.pixels


def _sealed(plain: bytes) -> bytes:
    """What a device that lies may send: sealed as the contract has it, under the name of `CROP`."""
    clear = PAYLOAD[:CLEAR]
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    return clear + suite.encrypt(plain, PUBLIC, info=b"edgewise/v1 crop cam-1/" + clear)

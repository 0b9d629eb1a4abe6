"""A crop of a face for people to label: what a device says of it, and the sealed box that it travels in.

The one message of the fleet that holds a picture. It exists only where a consent record stands in a device's settings,
and only the holder of the labelling key reads it: it is sealed on the device (HPKE, RFC 9180: X25519, HKDF-SHA256,
ChaCha20-Poly1305) before it is stored or sent, and its device and its name are bound into the seal.

`EWC1 | key id (8 bytes) | session (8) | sequence (8) | sealed box`, and in the box `length of the header (4) | header
(JSON) | pixels (uint8, rows of pixels of channels)`; numbers are big endian. Session and sequence stand in the clear,
so that who holds another key can refuse a crop by its name: without an answer a device would send it for ever.

Each crop is acknowledged by its own name. An answer that stood for those before it would delete what a broker lost on
the way, for no reader can tell a crop that was lost from one that its device dropped.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from msgspec import Meta, Struct

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import MessageError, UsageError
from edge_contract.messages import (
    LARGEST,
    Count,
    Id,
    Label,
    Message,
    ModelRef,
    Seconds,
    Share,
    Text,
    decode,
    encode,
)

Stratum = Literal["random", "uncertain", "disagreement"]
"""Why a face was kept: by chance alone, because the model was unsure, or because two models answered otherwise."""

SIDE: Final = 128
"""The longest side of a crop, pixels."""
LABELS: Final = 64
"""Of a guess, at most."""
_MAGIC: Final = b"EWC1"
_KEY_ID_BYTES: Final = 8
_NUMBER_BYTES: Final = 8
_CLEAR_BYTES: Final = len(_MAGIC) + _KEY_ID_BYTES + 2 * _NUMBER_BYTES
_LENGTH_BYTES: Final = 4
_HEADER_BYTES: Final = 16 * 1024
_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)

Probability = Annotated[float, Meta(gt=0, le=1)]
Side = Annotated[int, Meta(ge=1, le=SIDE)]


class Consent(Struct, frozen=True, kw_only=True):
    """On whose word crops are kept, and until when. Without one that is in force, none is."""

    by: Annotated[str, Meta(min_length=1, max_length=256)]
    """Who answers for it: a person or an office that can be asked."""
    given: Seconds
    until: Seconds
    purpose: Annotated[str, Meta(min_length=1, max_length=1024)]

    def in_force(self, now: float) -> bool:
        """Whether a crop may be taken at this time, seconds since 1970: `until` itself is too late."""
        return self.given <= now < self.until


class Guess(Struct, frozen=True, kw_only=True):
    """What one model says of the crop."""

    model: ModelRef
    probabilities: Annotated[dict[Label, Share], Meta(min_length=1, max_length=LABELS)]
    """By label; of a model with more labels, those it holds most probable."""


class CropHeader(Message, frozen=True, kw_only=True):
    """All that is known of a crop but its pixels."""

    device: Id
    site: Id
    session: Count
    sequence: Annotated[int, Meta(ge=1, le=2**62)]
    """Of the device's crops, growing within a session; `(device, session, sequence)` names a crop for good."""
    taken: Seconds
    track: Count
    """Of the face, within the session: at most one crop a stratum and model is taken of each. A model of whole pictures
    has one track without an end, which counts as a new one each minute."""
    stratum: Stratum
    inclusion: Probability
    """How probable it was, when it was decided on, that this face is kept in this stratum, the device's caps included.
    Of the stratum "disagreement": given that both models were shown it and answered otherwise."""
    champion: Guess
    challenger: Guess | None = None
    """Where a model runs in shadow."""
    consent: Consent
    width: Side
    height: Side
    channels: Literal[1, 3]
    """1: grey; 3: red, green, blue."""


class Crop(Struct, frozen=True, kw_only=True):
    """A crop, opened."""

    header: CropHeader
    pixels: bytes


class CropName(NamedTuple):
    """Which of a device's crops."""

    session: int
    sequence: int


class CropAck(Message, frozen=True, kw_only=True):
    """This one crop is stored where labels are collected, or refused there; see the module."""

    session: Count
    sequence: Count
    reason: Text = ""
    """Why it is refused, or empty; a device that is told so drops it and says why."""


def read_public_key(file: Path) -> X25519PublicKey:
    """The labelling key's public half, a PEM file.

    Raises:
        UsageError: the file cannot be read or is no such key.
    """
    try:
        key = serialization.load_pem_public_key(read_file(file, limits.SECRET_BYTES))
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read ({error.strerror})", remedy="name the labelling key's .pub file"
        ) from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{file} is no public key", remedy="name the .pub file of `edgewise-bridge labels key`"
        ) from error
    if not isinstance(key, X25519PublicKey):
        raise UsageError(f"{file} is no X25519 key", remedy="name the .pub file of `edgewise-bridge labels key`")
    return key


def key_id(key: X25519PublicKey) -> bytes:
    """Which key a crop was sealed to: 8 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).digest()[:_KEY_ID_BYTES]


def seal(crop: Crop, key: X25519PublicKey) -> bytes:
    """The payload of `device/<id>/crop`.

    Raises:
        MessageError: the pixels are not those the header says, or the header is too large.
    """
    header = encode(crop.header)
    _check_size(crop.header, len(crop.pixels), len(header))
    plain = len(header).to_bytes(_LENGTH_BYTES, "big") + header + crop.pixels
    name = (crop.header.session, crop.header.sequence)
    clear = _MAGIC + key_id(key) + b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in name)
    return clear + _SUITE.encrypt(plain, key, info=_info(crop.header.device, clear))


def sealed_to(payload: bytes) -> bytes | None:
    """The id of the key that a payload is sealed to; None for what is no sealed crop."""
    if not payload.startswith(_MAGIC) or not _CLEAR_BYTES < len(payload) <= limits.CROP_BYTES:
        return None
    return payload[len(_MAGIC) : len(_MAGIC) + _KEY_ID_BYTES]


def name_of(payload: bytes) -> CropName | None:
    """Which crop a payload says it is, to acknowledge or refuse it by; None for what is no sealed crop.

    Nothing proves it but `unseal`. Who cannot unseal may still refuse it: the answer reaches its sender alone.
    """
    if sealed_to(payload) is None:
        return None
    start = len(_MAGIC) + _KEY_ID_BYTES
    session = int.from_bytes(payload[start : start + _NUMBER_BYTES], "big")
    sequence = int.from_bytes(payload[start + _NUMBER_BYTES : _CLEAR_BYTES], "big")
    return CropName(session, sequence) if max(session, sequence) <= LARGEST else None


def unseal(payload: bytes, device: str, key: X25519PrivateKey) -> Crop:
    """Open what `device` sent.

    Raises:
        MessageError: it is no crop, sealed to another key or by another device, damaged, or says what it does not hold;
            or it was taken while its consent was not in force.
    """
    if sealed_to(payload) != key_id(key.public_key()):
        raise MessageError("it is no crop that is sealed to this labelling key")
    try:
        plain = _SUITE.decrypt(payload[_CLEAR_BYTES:], key, info=_info(device, payload[:_CLEAR_BYTES]))
    except (InvalidTag, ValueError) as error:
        raise MessageError("its seal does not hold") from error
    length = int.from_bytes(plain[:_LENGTH_BYTES], "big")
    if not 0 < length <= min(_HEADER_BYTES, len(plain) - _LENGTH_BYTES):
        raise MessageError("its header has no length that can be")
    header = decode(plain[_LENGTH_BYTES : _LENGTH_BYTES + length], CropHeader)
    pixels = plain[_LENGTH_BYTES + length :]
    if header.device != device:
        raise MessageError("it names another device than its topic")
    if (header.session, header.sequence) != name_of(payload):
        raise MessageError("it is named otherwise without than within")
    if not header.consent.in_force(header.taken):
        raise MessageError("it was taken while its consent was not in force")
    _check_size(header, len(pixels), length)
    return Crop(header=header, pixels=pixels)


def _info(device: str, clear: bytes) -> bytes:
    """What a seal is bound to beside its key."""
    return b"edgewise/v1 crop " + device.encode() + b"/" + clear


def _check_size(header: CropHeader, pixels: int, header_bytes: int) -> None:
    if pixels != header.width * header.height * header.channels:
        raise MessageError(f"it has {pixels} bytes of pixels, not {header.width} x {header.height} x {header.channels}")
    if header_bytes > _HEADER_BYTES:
        raise MessageError(f"its header has {header_bytes} bytes, more than {_HEADER_BYTES}")

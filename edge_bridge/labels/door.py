"""What arrives on `device/<id>/crop`, checked once: its size, its seal, its header, its consent. Pure.

A device of the fleet may be anyone's by now: its numbers weigh in what is estimated and its texts are shown, so each is
held to a range here. What is refused is counted by reason and answered by name where it has one, so that its device
does not send it for ever.

Not here: limits, repeats and what was erased (`crops`), for these depend on what is stored.
"""

import math
from typing import Final, Literal, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct

from edge_bridge.labels.queue import shuffled
from edge_contract import crop, limits, topics
from edge_contract.crop import Consent, CropName, Guess, Stratum
from edge_contract.errors import MessageError
from edge_contract.visible import visible

LEAST_INCLUSION: Final = 1e-5
"""A crop stands for one over this many faces at most: none may outweigh all others."""
AHEAD_S: Final = 86400.0
"""By how much a device's clock may be ahead of the bridge's."""

Refusal = Literal[
    "topic", "size", "crop", "key", "damaged", "consent", "time", "inclusion", "label",
    "erased", "device-limit", "limit",
]  # fmt: skip
"""`topic`: none of a crop; `size`: too large; `crop`: no sealed crop; `key`: sealed to another key; `damaged`: its seal
does not hold, or it says what it does not hold; `consent`: taken while none was in force; `time`: taken in the future;
`inclusion`: kept so seldom that it would outweigh all others; `label`: a label that no line of text can hold;
`erased`: of a device and time that were erased; the others: `[labels]` takes no more."""

SENTENCES: Final[dict[Refusal, str]] = {
    "key": "it is sealed to another key than the one in use where labels are collected",
    "damaged": "it is damaged, or says what it does not hold",
    "consent": "it was taken while its consent was not in force",
    "time": "it was taken in the future: set the device's clock",
    "inclusion": "it was kept so seldom that it would outweigh all others: raise the device's share",
    "label": "its model has a label that no line of text can hold",
    "erased": "crops of this device and time were erased",
    "device-limit": "this device has as many crops as labels.device_crops and labels.device_mb allow",
    "limit": "there are as many crops as labels.crops and labels.mb allow",
}
"""What a device is told, where it is told anything."""


class Checked(Struct, frozen=True, kw_only=True, gc=False):
    """A crop that may be stored: as it came, and the facts beside it."""

    device: str
    session: int
    sequence: int
    key: bytes
    sealed: bytes
    site: str
    taken: float
    track: int
    stratum: Stratum
    inclusion: float
    champion: Guess
    challenger: Guess | None
    consent: Consent
    shuffle: int


class Refused(NamedTuple):
    """What may not be."""

    reason: Refusal
    device: str = ""
    """Empty where the topic names none."""
    name: CropName | None = None
    """Where it is known which crop it is."""


def check(topic: str, payload: bytes, key: X25519PrivateKey, now: float) -> Checked | Refused:
    """What is to become of a message; never raises for what is in it."""
    parsed = topics.parse(topic)
    if not isinstance(parsed, topics.DeviceTopic) or parsed.leaf != "crop":
        return Refused("topic")
    device = parsed.device
    if len(payload) > limits.CROP_BYTES:
        return Refused("size", device)
    sealed_to, name = crop.sealed_to(payload), crop.name_of(payload)
    if sealed_to is None or name is None:
        return Refused("crop", device)
    if sealed_to != crop.key_id(key.public_key()):
        return Refused("key", device, name)
    try:
        header = crop.unseal(payload, device, key).header
    except MessageError as error:
        return Refused("consent" if "consent" in error.problem else "damaged", device, name)
    if header.taken > now + AHEAD_S:
        return Refused("time", device, name)
    if header.inclusion < LEAST_INCLUSION:
        return Refused("inclusion", device, name)
    guesses = [each for each in (header.champion, header.challenger) if each is not None]
    if any(visible(label) != label or not label.strip() for each in guesses for label in each.probabilities):
        return Refused("label", device, name)
    return Checked(
        device=device,
        session=header.session,
        sequence=header.sequence,
        key=sealed_to,
        sealed=payload,
        site=header.site,
        taken=header.taken,
        track=header.track,
        stratum=header.stratum,
        inclusion=header.inclusion,
        champion=header.champion,
        challenger=header.challenger,
        consent=header.consent,
        shuffle=shuffled(device, header.session, header.sequence),
    )


def answer_of(guess: Guess) -> str:
    """The label that a model held most probable."""
    return max(guess.probabilities, key=lambda label: guess.probabilities[label])


def model_of(guess: Guess) -> str:
    """`name-release`, as series and releases are named."""
    return f"{guess.model.name}-{guess.model.release}"


def guess_in(text: str) -> Guess:
    """A guess as it was stored.

    Raises:
        MessageError: it is damaged.
    """
    try:
        found = msgspec.json.decode(text, type=Guess)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise MessageError(f"the stored answer of a model is damaged ({error})") from error
    if not all(math.isfinite(share) for share in found.probabilities.values()):
        raise MessageError("the stored answer of a model is damaged")
    return found

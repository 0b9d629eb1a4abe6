"""Signed envelopes (DSSE): what carries desired states and commands, sealed and verified.

Apart from `trust`, for this alone needs the cryptography libraries: who only handles verified states goes without.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key, Signer

from edge_contract import limits
from edge_contract.errors import TrustError, UsageError
from edge_contract.finite import no_number
from edge_contract.trust import described, read_payload

S = TypeVar("S", bound=Struct)


class Verified(NamedTuple):
    """What an envelope held, unread, and who signed it."""

    payload: bytes
    signers: tuple[str, ...]
    """Ids of the keys that were counted."""


def seal(payload: Struct, payload_type: str, signer: Signer) -> bytes:
    """Sign a desired state or a command: a DSSE envelope as JSON.

    Raises:
        UsageError: it holds an infinity or what is no number, which no device would read.
    """
    data = msgspec.json.encode(payload)
    if place := no_number(data, payload):
        raise UsageError(f"{place} of a signed {described(payload_type)} is no finite number", remedy="give a number")
    envelope = Envelope(data, payload_type, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), sort_keys=True).encode()


def verified(data: bytes, payload_type: str, keys: Sequence[Key], threshold: int = 1) -> Verified:
    """Verify an envelope by `threshold` of the trusted keys.

    Only the envelope's own JSON is parsed before the signature holds; its size is limited first.

    Raises:
        TrustError: too large, no envelope, another payload type, or no trusted signature.
    """
    what = described(payload_type)
    if len(data) > limits.MESSAGE_BYTES:
        raise TrustError(f"a signed {what} of {len(data)} bytes passes the limit and was not read.")
    try:
        envelope = Envelope.from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrustError(f"a {what} arrived that is no signed envelope: refused.") from error
    if envelope.payload_type != payload_type:
        said = repr(envelope.payload_type)[:80]  # whatever JSON holds: the library takes any type
        raise TrustError(f"an envelope of type {said} arrived where a {what} belongs: refused.")
    try:
        signers = tuple(envelope.verify(list(keys), threshold))
    except (VerificationError, ValueError) as error:
        raise TrustError(f"a {what} arrived without the signature of a trusted key: refused.") from error
    return Verified(bytes(envelope.payload), signers)


def unseal(data: bytes, payload_type: str, kind: type[S], keys: Sequence[Key], threshold: int = 1) -> S:
    """Verify an envelope as `verified` does, then read its payload.

    Raises:
        TrustError: as there, or a malformed payload.
    """
    return read_payload(verified(data, payload_type, keys, threshold).payload, payload_type, kind)

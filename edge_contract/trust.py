"""What is signed and how it is read: releases as TUF targets, desired states and commands as DSSE envelopes.

TUF roles: `root` (offline, threshold), `targets` (the release key), `snapshot` and `timestamp` (the online key).
A release is a target whose `custom` is a `ReleaseTarget`. A desired state or a command is a DSSE envelope signed by
the key that the trusted root names for `timestamp`. Here is only the format: verified bytes in, structs out. Fetching
and expiry are `tuf.ngclient`'s, with the agent's transport.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key, Signer

from edge_contract import limits
from edge_contract.errors import TrustError, UsageError
from edge_contract.manifest import ModelManifest, decode, encode
from edge_contract.messages import Command, Id, ModelRef, Seconds, Sha256, Text

DESIRED_TYPE: Final = "application/vnd.edgewise.desired+json"
COMMAND_TYPE: Final = "application/vnd.edgewise.command+json"

ISSUED_FIELD: Final = "x-edgewise-issued"
"""An added field of `timestamp`: when it was signed, whole seconds since 1970; it sets clocks that have no battery."""


class DesiredState(Struct, frozen=True, kw_only=True):
    """Which release a group or a device shall run. `revision` only grows; a device's own overrides its group's."""

    scope: Annotated[str, Meta(pattern=r"^(group|device)/[a-z0-9-]{1,64}\Z")]
    """`group/<id>` or `device/<id>`: signed, so that a state cannot be replayed to somebody else."""
    revision: Annotated[int, Meta(ge=1, le=2**53)]
    model: ModelRef
    issued: Seconds
    expires: Seconds
    """After this the state is not accepted; what runs keeps running."""
    follow_group: bool = False
    """On a device's own state: it no longer counts, and the group's does again; `model` only informs."""


class SignedCommand(Struct, frozen=True, kw_only=True):
    """A command bound to one device, one id and a short life."""

    device: Id
    id: Id
    command: Command
    issued: Seconds
    expires: Seconds


class Chunks(Struct, frozen=True, kw_only=True):
    """How a model file is cut: every chunk can be verified by itself, so a half-done download survives a power cut."""

    size: Annotated[int, Meta(ge=1024, le=limits.CHUNK_BYTES)]
    digests: Annotated[tuple[Sha256, ...], Meta(max_length=limits.MODEL_BYTES // 1024)]


class ReleaseTarget(Struct, frozen=True, kw_only=True):
    """The `custom` of a TUF target: what the release is, and how its file travels."""

    manifest: ModelManifest
    chunks: Chunks
    notes: Text = ""


def target_path(model: ModelRef) -> str:
    """The TUF target path of a release: the model file itself is the target."""
    return f"{model.name}/{model.release}.tflite"


def release_to_custom(release: ReleaseTarget) -> dict[str, Any]:
    """A release as the JSON object that targets metadata carries.

    The manifest stands in it as the text of its JSON file: TUF's canonical JSON knows no fractions.
    """
    return {
        "manifest": encode(release.manifest).decode(),
        "chunks": msgspec.to_builtins(release.chunks),
        "notes": release.notes,
    }


def release_from_custom(custom: Any) -> ReleaseTarget:
    """Read a release from metadata that was verified.

    Raises:
        TrustError: the metadata's signature held but it does not describe a release this version can run.
    """
    try:
        text, chunks, notes = custom["manifest"], custom["chunks"], custom.get("notes", "")
        release = ReleaseTarget(
            manifest=decode(text.encode()),
            chunks=msgspec.convert(chunks, Chunks),
            notes=msgspec.convert(notes, Text),
        )
    except (KeyError, TypeError, AttributeError, UsageError, msgspec.ValidationError) as error:
        raise TrustError(f"a signed release cannot be read ({error}): refused.") from error
    manifest, cut = release.manifest, release.chunks
    if len(cut.digests) != -(-manifest.size // cut.size):
        raise TrustError(f"the signed release of {manifest.name} {manifest.release} counts its chunks wrong: refused.")
    return release


S = TypeVar("S", bound=Struct)


def seal(payload: Struct, payload_type: str, signer: Signer) -> bytes:
    """Sign a desired state or a command: a DSSE envelope as JSON."""
    envelope = Envelope(msgspec.json.encode(payload), payload_type, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), sort_keys=True).encode()


def unseal(data: bytes, payload_type: str, kind: type[S], keys: Sequence[Key], threshold: int = 1) -> S:
    """Verify an envelope by `threshold` of the trusted keys, then read its payload.

    Only the envelope's own JSON is parsed before the signature holds; its size is limited first.

    Raises:
        TrustError: too large, no envelope, another payload type, no trusted signature, or a malformed payload.
    """
    what = payload_type.removeprefix("application/vnd.edgewise.").removesuffix("+json")
    if len(data) > limits.MESSAGE_BYTES:
        raise TrustError(f"a signed {what} of {len(data)} bytes passes the limit and was not read.")
    try:
        envelope = Envelope.from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrustError(f"a {what} arrived that is no signed envelope: refused.") from error
    if envelope.payload_type != payload_type:
        raise TrustError(f"an envelope of type {envelope.payload_type[:80]!r} arrived where a {what} belongs: refused.")
    try:
        envelope.verify(list(keys), threshold)
    except (VerificationError, ValueError) as error:
        raise TrustError(f"a {what} arrived without the signature of a trusted key: refused.") from error
    try:
        return msgspec.json.decode(envelope.payload, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise TrustError(f"a signed {what} is malformed: {error}.") from error

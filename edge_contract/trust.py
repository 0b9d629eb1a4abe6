"""What is signed, as structs: releases as TUF targets, desired states and commands as the payload of an envelope.

TUF roles: `root` (offline, threshold), `targets` (the release key), `snapshot` and `timestamp` (the online key).
A release is two targets: the model file, and beside it the release file, a `Release` as JSON with the manifest in it.
Targets metadata names both by length and digest and nothing more, so that hundreds of releases fit one packet. Here is
only the format: verified bytes in, structs out. Signatures are `envelope`'s; fetching and expiry are `tuf.ngclient`'s.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from edge_contract import limits, scope
from edge_contract.errors import TrustError, UsageError
from edge_contract.finite import no_number
from edge_contract.manifest import ModelManifest, decode, digest_of, encode
from edge_contract.messages import Command, Id, ModelRef, Seconds, Sha256, Text
from edge_contract.wave import Wave

DESIRED_TYPE: Final = "application/vnd.edgewise.desired+json"
COMMAND_TYPE: Final = "application/vnd.edgewise.command+json"

ISSUED_FIELD: Final = "x-edgewise-issued"
"""An added field of `timestamp`: when it was signed, whole seconds since 1970; it sets clocks that have no battery."""


class DesiredState(Struct, frozen=True, kw_only=True):
    """Which release a group or a device shall run. `revision` only grows; a device's own overrides its group's."""

    scope: Annotated[str, Meta(pattern=scope.PATTERN)]
    """`group/<id>` or `device/<id>`: signed, so that a state cannot be replayed to another device; see `scope`."""
    revision: Annotated[int, Meta(ge=1, le=2**53)]
    model: ModelRef
    issued: Seconds
    expires: Seconds
    """After this the state is not accepted; what runs keeps running."""
    follow_group: bool = False
    """On a device's own state: it no longer counts, and the group's does again; `model` only informs."""
    retry: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """A device where this model failed under a revision below this one tries it once more; 0 asks none to.

    A revision and not a yes: a state that is issued again with a longer life asks for no further attempt.
    """
    wave: Wave | None = None
    """On a group's state: some of its devices try another release than `model`. An agent that knows no waves runs
    `model`."""


class SignedCommand(Struct, frozen=True, kw_only=True):
    """A command bound to one device, one id and a short life."""

    device: Id
    id: Id
    command: Command
    issued: Seconds
    expires: Seconds


class Chunks(Struct, frozen=True, kw_only=True):
    """How a file is cut: every chunk can be verified by itself, so a half-done download survives a power cut."""

    size: Annotated[int, Meta(ge=1024, le=limits.CHUNK_BYTES)]
    digests: Annotated[tuple[Sha256, ...], Meta(max_length=limits.MODEL_BYTES // 1024)]

    @classmethod
    def of(cls, data: bytes) -> "Chunks":
        """Cut a file's bytes."""
        return cls(size=limits.CHUNK_BYTES, digests=tuple(digest_of(piece) for piece in pieces(data)))


def pieces(data: bytes) -> list[bytes]:
    """A file in the chunks it travels in; only the last may be shorter."""
    return [data[start : start + limits.CHUNK_BYTES] for start in range(0, len(data), limits.CHUNK_BYTES)]


class Blob(Struct, frozen=True, kw_only=True):
    """A file that travels in chunks on `blob/<digest>/<i>`."""

    digest: Sha256
    size: Annotated[int, Meta(ge=1, le=limits.MODEL_BYTES)]
    chunks: Chunks

    def __post_init__(self) -> None:
        """Raises ValueError (in decoding: ValidationError) where the chunks do not make up the file."""
        if len(self.chunks.digests) != -(-self.size // self.chunks.size):
            raise ValueError("it counts its chunks wrong")


class Release(Struct, frozen=True, kw_only=True):
    """What the release file holds: all that a device must know to fetch a model and to run it."""

    manifest: ModelManifest
    chunks: Chunks
    """Of the model file."""
    notes: Text = ""

    @property
    def blob(self) -> Blob:
        """How the model file travels."""
        return Blob(digest=self.manifest.digest, size=self.manifest.size, chunks=self.chunks)


class ListedRelease(Struct, frozen=True, kw_only=True):
    """What targets metadata says of one release: two files."""

    model: Sha256
    size: Annotated[int, Meta(ge=1, le=limits.MODEL_BYTES)]
    """Of the model, bytes."""
    file: Blob
    """The release file."""


def model_path(model: ModelRef) -> str:
    """The TUF target path of a release's model file."""
    return f"{model.name}/{model.release}.tflite"


def release_path(model: ModelRef) -> str:
    """The TUF target path of the release file beside it."""
    return f"{model.name}/{model.release}.json"


def encode_release(release: Release) -> bytes:
    """The release file: canonical JSON, so equal releases have equal digests.

    Raises:
        UsageError: it holds an infinity or what is no number, which no device would read.
    """
    data = msgspec.json.encode(release, order="sorted")
    if place := no_number(data, release):
        raise UsageError(f"{place} of a release is no finite number", remedy="package the model again")
    return data


def decode_release(data: bytes, model: ModelRef, listed: ListedRelease) -> Release:
    """Read a release file, once its digest is what the verified metadata say, and hold it against them.

    Raises:
        TrustError: the digest is another, this version cannot read it, or it contradicts what was signed.
    """
    name = f"{model.name} {model.release}"
    if len(data) != listed.file.size or digest_of(data) != listed.file.digest:
        raise TrustError(f"the release file of {name} has not the size and digest the signed list names: refused.")
    try:
        release = msgspec.json.decode(data, type=Release)
        decode(encode(release.manifest))  # the rules that span a manifest's fields
        _ = release.blob
    except (UsageError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TrustError(f"the signed release file of {name} cannot be read ({error}): refused.") from error
    manifest = release.manifest
    if (manifest.name, manifest.release) != (model.name, model.release):
        raise TrustError(f"the manifest listed for {name} is that of another release: refused.")
    if (manifest.digest, manifest.size) != (listed.model, listed.size):
        raise TrustError(f"the manifest of {name} names another file than the signed list does: refused.")
    return release


def file_custom(chunks: Chunks) -> dict[str, Any] | None:
    """The `custom` of a release file's target; None for a file of one chunk, whose digest is the file's own."""
    return {"chunks": msgspec.to_builtins(chunks)} if len(chunks.digests) > 1 else None


def blob_of_target(length: int, hashes: Mapping[str, str], custom: Any) -> Blob:
    """How a listed release file travels.

    Raises:
        TrustError: the metadata's signature held but it does not describe a file this version can fetch.
    """
    try:
        if length > limits.RELEASE_BYTES:
            raise ValueError(f"{length} bytes pass the limit of {limits.RELEASE_BYTES}")
        digest = hashes["sha256"]
        cut = {"size": limits.CHUNK_BYTES, "digests": [digest]} if custom is None else custom["chunks"]
        return msgspec.convert({"digest": digest, "size": length, "chunks": cut}, Blob)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TrustError(f"a signed release file cannot be fetched ({error}): refused.") from error


S = TypeVar("S", bound=Struct)


def read_payload(payload: bytes, payload_type: str, kind: type[S]) -> S:
    """Read what a verified envelope held.

    Raises:
        TrustError: it is malformed.
    """
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TrustError(f"a signed {described(payload_type)} is malformed: {error}.") from error


def described(payload_type: str) -> str:
    """What an envelope of this type is called in a sentence."""
    return payload_type.removeprefix("application/vnd.edgewise.").removesuffix("+json")

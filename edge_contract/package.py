"""The ModelPackage: one `.ewm` file, a ZIP of `manifest.json`, `model.tflite` and `MODEL_CARD.md`.

Writing is deterministic: entries stored in this order with fixed times and modes, so the same model gives the same
bytes. Reading holds every limit before it unpacks, and checks that the manifest's size and digest are the model's.
A package is not signed: trust is the release's (see `trust`). The digest check here finds damage, not malice.
"""

import io
import struct
import zipfile
from pathlib import Path
from typing import Final, NamedTuple

from edge_contract import limits
from edge_contract.bounded_read import read_file as read_file_of
from edge_contract.errors import TrustError, UsageError
from edge_contract.manifest import ModelManifest, decode, digest_of, encode

SUFFIX: Final = ".ewm"
_MANIFEST, _MODEL, _CARD = "manifest.json", "model.tflite", "MODEL_CARD.md"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a ZIP can hold
_LARGEST = {_MANIFEST: limits.MANIFEST_BYTES, _MODEL: limits.MODEL_BYTES, _CARD: 1024 * 1024}


class ModelPackage(NamedTuple):
    """What one `.ewm` holds, checked."""

    manifest: ModelManifest
    model: bytes
    """The TFLite flatbuffer; its SHA-256 is `manifest.digest`."""
    card: str
    """The model card, Markdown."""

    @property
    def file_name(self) -> str:
        """`NAME-RELEASE.ewm`."""
        return f"{self.manifest.name}-{self.manifest.release}{SUFFIX}"


def write(package: ModelPackage) -> bytes:
    """The package's file; equal packages give equal bytes.

    Raises:
        TrustError: the manifest's size or digest is not the model's.
        UsageError: an entry is larger than its limit.
    """
    _check_model(package.manifest, package.model, package.file_name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (
            (_MANIFEST, encode(package.manifest)),
            (_MODEL, package.model),
            (_CARD, package.card.encode()),
        ):
            if len(data) > _LARGEST[name]:
                raise UsageError(
                    f"{name} of {len(data)} bytes passes the limit of {_LARGEST[name]}", remedy="make it smaller"
                )
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, so the bytes do not depend on where they were written
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def read(data: bytes, name: str = "the package") -> ModelPackage:
    """Open a package's bytes; `name` names it in errors.

    Raises:
        UsageError: not a package, an entry is missing, unknown, compressed or too large, or the manifest is wrong.
        TrustError: the manifest's size or digest is not the model's.
    """
    if len(data) > limits.PACKAGE_BYTES:
        raise UsageError(f"{name} has {len(data)} bytes, more than the {limits.PACKAGE_BYTES} a package may have.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry: _entry(archive, entry, name) for entry in (_MANIFEST, _MODEL, _CARD)}
            if len(archive.infolist()) != len(entries):
                raise UsageError(f"{name} holds more than manifest, model and card", remedy="package the model again")
    except (
        zipfile.BadZipFile, KeyError, NotImplementedError, EOFError, RuntimeError, OverflowError, ValueError, OSError,
        struct.error,
    ) as error:  # fmt: skip  # whatever zipfile raises for offsets and names that damage has made
        raise UsageError(
            f"{name} is damaged or no {SUFFIX} package ({error})", remedy="copy or build it again"
        ) from error
    manifest = decode(entries[_MANIFEST])
    _check_model(manifest, entries[_MODEL], name)
    try:
        return ModelPackage(manifest, entries[_MODEL], entries[_CARD].decode())
    except UnicodeDecodeError as error:
        raise UsageError(f"the model card in {name} is not UTF-8 text", remedy="package the model again") from error


def read_file(path: Path) -> ModelPackage:
    """Open a package file.

    Raises:
        UsageError, TrustError: as `read`, or the file cannot be read.
    """
    return read(bytes_of(path), str(path))


def bytes_of(path: Path) -> bytes:
    """A package file's bytes for `read`, never more than one past the limit.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return read_file_of(path, limits.PACKAGE_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy=f"name a {SUFFIX} package") from error


def _entry(archive: zipfile.ZipFile, entry: str, package: str) -> bytes:
    """One entry's bytes, never more than its limit."""
    info = archive.getinfo(entry)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > _LARGEST[entry]:
        raise UsageError(f"{entry} in {package} is compressed or larger than {_LARGEST[entry]} bytes: refused.")
    return archive.read(info)


def _check_model(manifest: ModelManifest, model: bytes, name: str) -> None:
    if len(model) != manifest.size:
        raise TrustError(f"the model in {name} has {len(model)} bytes, its manifest says {manifest.size}: refused.")
    if digest_of(model) != manifest.digest:
        raise TrustError(f"the model in {name} does not have the digest its manifest says: refused.")

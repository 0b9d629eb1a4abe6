"""Slots: the models on this disk, each `slots/<name>-<release>-<sha12>/{manifest.json,model.tflite}`.

A slot appears whole by one rename and is never changed. `sha12` is the beginning of the manifest's own digest and the
manifest names the model's, so every load finds damage to either. The links `current` and `previous` show people, and
an agent that lost its database, what runs; the database decides. The last to go back to is the factory model, a
package that came with the installation.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from edge_contract import limits, package
from edge_contract.bounded_read import read_file
from edge_contract.durable import make_directory, point_link, sync_directory, sync_file, write_file
from edge_contract.errors import TrustError, UsageError
from edge_contract.manifest import ModelManifest, decode, digest_of, encode
from edge_contract.messages import ModelRef

_MANIFEST, _MODEL = "manifest.json", "model.tflite"
_NAME: Final = re.compile(r"^[a-z0-9-]{1,64}-[0-9]{1,10}-[0-9a-f]{12}\Z")
_UNFINISHED: Final = ".new-"


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """A model that was verified just now, in memory."""

    manifest: ModelManifest
    model: bytes
    """The TFLite file; its SHA-256 is `manifest.digest`."""
    origin: Literal["release", "factory"]


class Slot(Struct, frozen=True):
    """A model on this disk, ready to run."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,128}\Z")]
    model: ModelRef


class Slots:
    """The slots of one state directory."""

    def __init__(self, directory: Path, factory: Path | None = None) -> None:
        """`factory`: a `.ewm` that runs while nothing else does."""
        self._directory = directory
        self._slots = directory / "slots"
        make_directory(self._slots)  # on the disk, or what is staged in it may be gone after a power cut
        self._factory = factory

    def path(self, slot: Slot) -> Path:
        """A slot's directory, whether or not it is there."""
        return self._slots / slot.name

    def stage(self, file: Path, manifest: ModelManifest) -> Slot:
        """Make a slot of a downloaded file, on the disk when this returns. The file itself stays.

        Raises:
            TrustError: the file is not the model that the manifest names.
            OSError: the disk is full or broken; nothing is half there.
        """
        _check(read_file(file, limits.MODEL_BYTES), manifest)
        encoded = encode(manifest)
        slot = Slot(name=f"{manifest.name}-{manifest.release}-{digest_of(encoded)[:12]}", model=manifest.ref)
        with contextlib.suppress(TrustError):
            self.load(slot)
            return slot  # staged before the power went
        unfinished = self._slots / f"{_UNFINISHED}{slot.name}"
        for leftover in (unfinished, self.path(slot)):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished.mkdir()
        write_file(unfinished / _MANIFEST, encoded)
        os.link(file, unfinished / _MODEL)  # the same bytes under a second name: no copy on a small disk
        sync_file(unfinished / _MODEL)
        sync_directory(unfinished)
        unfinished.rename(self.path(slot))
        sync_directory(self._slots)
        return slot

    def load(self, slot: Slot) -> ActiveModel:
        """Read a slot, verified again.

        Raises:
            TrustError: it is missing or damaged.
        """
        found = read_slot(self.path(slot))
        if found.manifest.digest != slot.model.digest:
            raise TrustError(f"slot {slot.name} holds another model than was put there: not loaded.")
        return found

    def load_factory(self) -> ActiveModel | None:
        """The model that came with the installation, verified against its own manifest; None when there is none.

        Raises:
            UsageError, TrustError: the package is missing or damaged.
        """
        if self._factory is None:
            return None
        found = package.read_file(self._factory)
        return ActiveModel(found.manifest, found.model, "factory")

    def point(self, current: Slot | None, previous: Slot | None) -> None:
        """Set the links that name what runs and what ran before."""
        for name, slot in (("previous", previous), ("current", current)):
            link = self._directory / name
            if slot is None:
                link.unlink(missing_ok=True)
            else:
                point_link(link, f"slots/{slot.name}")

    def current(self) -> Slot | None:
        """What the link `current` names, if it can be loaded: for an agent whose database is new."""
        try:
            name = (self._directory / "current").readlink().name
        except OSError:
            return None
        if not _NAME.fullmatch(name):
            return None
        with contextlib.suppress(TrustError):
            return Slot(name=name, model=read_slot(self._slots / name).manifest.ref)
        return None

    def prune(self, keep: Iterable[Slot | None]) -> None:
        """Delete every slot but these."""
        names = {slot.name for slot in keep if slot is not None}
        for path in self._slots.iterdir():
            if path.name not in names:
                shutil.rmtree(path, ignore_errors=True)


def read_slot(path: Path) -> ActiveModel:
    """Read a slot's directory and verify what it holds by its own name.

    Raises:
        TrustError: it is missing or damaged.
    """
    try:
        manifest = read_file(path / _MANIFEST, limits.MANIFEST_BYTES)
        model = read_file(path / _MODEL, limits.MODEL_BYTES)
    except OSError as error:
        raise TrustError(f"slot {path.name} cannot be read ({error.strerror}): not loaded.") from error
    if not _NAME.fullmatch(path.name) or not path.name.endswith(digest_of(manifest)[:12]):
        raise TrustError(f"the manifest in slot {path.name} is damaged: not loaded.")
    try:
        read = decode(manifest)
    except UsageError as error:
        raise TrustError(
            f"slot {path.name} cannot be read by this agent: {error.problem}", remedy=error.remedy
        ) from error
    _check(model, read)
    return ActiveModel(read, model, "release")


def _check(model: bytes, manifest: ModelManifest) -> None:
    if len(model) != manifest.size or digest_of(model) != manifest.digest:
        raise TrustError(
            f"the file of {manifest.name} {manifest.release} has not the size and digest its manifest names: refused."
        )

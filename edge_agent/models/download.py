"""Fetch a release: first the release file that the signed list names, then the model that this file describes.

Both travel as blobs under `parts/`, so either survives a power cut. The release file is read only once it has the
digest that was signed, and what it says of the model is held against the signed list before the model is asked for.
"""

from pathlib import Path

from edge_agent.models.chunks import Broker, Download, PartFile
from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.messages import ModelRef
from edge_contract.trust import Blob, ListedRelease, Release, decode_release


class Fetch:
    """One release on its way; driven by a single thread."""

    def __init__(
        self,
        parts: Path,
        model: ModelRef,
        listed: ListedRelease,
        *,
        device: str,
        broker: Broker,
        now: float,
    ) -> None:
        """As `Download`; what is there already is not fetched again.

        Raises:
            TrustError: the release file contradicts the signed list.
            OSError: the disk is full or broken.
        """
        self._parts, self._model, self._listed = parts, model, listed
        self._device, self._broker = device, broker
        self._describes = False  # what is on its way is the release file
        self._download = self._begin(listed.file, now)
        self._go_on(now)

    @property
    def complete(self) -> bool:
        """Both files are there."""
        return self._describes and self._download.complete

    @property
    def progress(self) -> float:
        """Share of the model's chunks that are there."""
        return self._download.part.progress if self._describes else 0.0

    def arrived(self, digest: str, number: int, payload: bytes, now: float) -> bool | None:
        """Take a chunk; False when it was damaged, None when it was not asked for.

        Raises:
            TrustError, OSError: as in the beginning.
        """
        if digest != self._download.digest:
            return None
        refused = self._download.refused.get(number, 0)
        if not self._download.arrived(number, payload, now):
            return False if self._download.refused.get(number, 0) > refused else None
        self._go_on(now)
        return True

    def tick(self, now: float) -> None:
        """Time passed."""
        self._download.tick(now)

    def close(self) -> None:
        """Stop asking; what is there stays."""
        self._download.close()

    def _go_on(self, now: float) -> None:
        """When the release file is whole, read it and begin with the model."""
        if self._describes or not self._download.complete:
            return
        self._download.close()
        release = read_release(self._parts, self._model, self._listed)
        if release is None:  # damaged on this disk in this moment: asked for again
            self._download = self._begin(self._listed.file, now)
            return
        self._describes = True
        self._download = self._begin(release.blob, now)

    def _begin(self, blob: Blob, now: float) -> Download:
        return Download(PartFile(self._parts, blob), device=self._device, broker=self._broker, now=now)


def read_release(parts: Path, model: ModelRef, listed: ListedRelease) -> Release | None:
    """The release file on this disk, verified again; None when it is not whole.

    Raises:
        TrustError: it contradicts the signed list.
        OSError: the disk is broken.
    """
    part = PartFile(parts, listed.file)
    missing = part.missing
    part.close()
    return None if missing else decode_release(read_file(part.path, limits.RELEASE_BYTES), model, listed)

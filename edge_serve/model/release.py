"""A signed release of the fleet, from the release side's folder or its copy behind a URL: verified before it is opened.

`tuf.ngclient` verifies the metadata against the root that the operator installed; the two files of a release count only
by the length and digest that the signed list names. Metadata older than what this process saw is refused; what was seen
before it started is not known, so an expired or a replayed list is caught by its expiry alone then.

Not here: what a device does about desired states, clocks without a battery, and metadata kept over power cuts.
"""

import contextlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edge_contract import limits
from edge_contract.bounded_read import read_file
from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.manifest import digest_of
from edge_contract.messages import ModelRef
from edge_contract.package import ModelPackage
from edge_contract.public_url import public_url
from edge_contract.trust import ListedRelease, blob_of_target, decode_release, model_path, release_path

_WAIT_S: Final = 20.0
_METADATA, _FILES = "metadata", "models"


class Place:
    """Where files are: a folder, or a URL of http or https below which they stand as in the folder."""

    def __init__(self, where: str) -> None:
        self.shown = public_url(where)
        self._url = where.rstrip("/") if where.startswith(("http://", "https://")) else None
        self._folder = Path(where)

    def read(self, name: str, at_most: int) -> bytes | None:
        """The file's bytes; None where there is none.

        Raises:
            OSError: it is larger, or cannot be had.
        """
        if self._url is None:
            try:
                return read_file(self._folder / name, at_most)
            except FileNotFoundError:
                return None
        try:
            with urllib.request.urlopen(f"{self._url}/{name}", timeout=_WAIT_S) as response:  # noqa: S310  # http(s)
                data: bytes = response.read(at_most + 1)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in {403, 404}:  # object stores say the former of what is not there
                return None
            raise
        if len(data) > at_most:
            raise OSError(f"{name} is larger than {at_most:,} bytes")
        return data


class _PlaceFetcher(FetcherInterface):
    def __init__(self, place: Place) -> None:
        self._place = place

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2]
        data = self._place.read(f"{_METADATA}/{name}", limits.METADATA_BYTES)
        if data is None:
            # TUF asks for the next root until it is told that there is none.
            raise DownloadHTTPError(f"{name} is not there", 404)
        return iter((data,))


class SignedRelease:
    """A `Source` of one release. It is looked for again, so a release that is withdrawn is said in the log."""

    def __init__(self, release: str, trust_root: Path, where: str) -> None:
        """`release`: NAME/N. `where`: the release side's folder, or a URL that serves it.

        Raises:
            UsageError: there is no such name, or the root metadata cannot be read.
        """
        name, _, number = release.partition("/")
        if not name or not number.isascii() or not number.isdecimal() or len(number) > 10 or not int(number):
            raise UsageError(f"{release!r} names no release", remedy="give NAME/N such as emotion/5")
        self._name, self._number = name, int(number)
        try:
            self._root = read_file(trust_root, limits.METADATA_BYTES)
        except OSError as error:
            raise UsageError(
                f"the root metadata {trust_root} cannot be read ({error.strerror})",
                remedy="copy the release side's fleet/root.json there",
            ) from error
        self._place = Place(where)
        self._kept = tempfile.TemporaryDirectory(prefix="edgewise-trust-")
        self._given = ""

    def newest(self) -> ModelPackage | None:
        """See `Source`.

        Raises:
            TrustError: a signature, version, expiry, length or digest does not hold.
            UsageError: the release is not listed.
            EdgewiseError: something is not there, or cannot be had.
        """
        targets = self._targets()
        ref = ModelRef(name=self._name, release=self._number, digest="0" * 64)
        model, file = targets(model_path(ref)), targets(release_path(ref))
        if model is None or file is None:
            raise UsageError(
                f"{self._name}/{self._number} is not among the signed releases of {self._place.shown}",
                remedy="name one that `edgewise release list` shows",
            )
        digest = model.hashes.get("sha256", "")
        if digest == self._given:
            return None
        listed = ListedRelease(
            model=digest, size=model.length, file=blob_of_target(file.length, file.hashes, file.custom)
        )
        described = self._file(f"{listed.file.digest}.json", limits.RELEASE_BYTES)
        release = decode_release(described, ModelRef(name=ref.name, release=ref.release, digest=digest), listed)
        data = self._file(f"{digest}.tflite", limits.MODEL_BYTES)
        if len(data) != model.length or digest_of(data) != digest:
            raise TrustError(f"the model of {self._name} {self._number} has not the digest that was signed: refused.")
        self._given = digest
        return ModelPackage(release.manifest, data, "")

    def _targets(self) -> "_Find":
        """The verified list."""
        most = limits.METADATA_BYTES
        config = UpdaterConfig(
            root_max_length=most, timestamp_max_length=most, snapshot_max_length=most, targets_max_length=most
        )
        try:
            updater = Updater(
                self._kept.name, "edgewise:/", fetcher=_PlaceFetcher(self._place), config=config, bootstrap=self._root
            )
            updater.refresh()
        except DownloadError as error:
            raise EdgewiseError(
                f"signed metadata of {self._place.shown} cannot be had ({error})", remedy="check the folder or the URL"
            ) from error
        except RepositoryError as error:
            raise TrustError(f"metadata of {self._place.shown} does not verify ({error}): refused.") from error
        except (OSError, ValueError) as error:
            raise EdgewiseError(f"{self._place.shown} cannot be read ({error})", remedy="check it") from error
        return _Find(updater)

    def _file(self, name: str, at_most: int) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            try:
                data = self._place.read(f"{_FILES}/{name}", at_most)
            except OSError as error:
                raise EdgewiseError(
                    f"{name} of {self._place.shown} cannot be read ({error})", remedy="check the folder or the URL"
                ) from error
            if data is not None:
                return data
        raise EdgewiseError(
            f"{name} is listed and not at {self._place.shown}", remedy="copy the release side's folder whole"
        )


class _Find:
    """A target of the verified list by its path."""

    def __init__(self, updater: Updater) -> None:
        self._updater = updater

    def __call__(self, path: str) -> TargetFile | None:
        return self._updater.get_targetinfo(path)

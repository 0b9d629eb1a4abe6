"""A signed release: served only as it was signed, from the release side's own folder or from a copy behind HTTP."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_contract.errors import EdgewiseError, TrustError, UsageError
from edge_contract.package import ModelPackage
from edge_fleet.releases.keys import KeyStore
from edge_fleet.releases.releases import Releases
from edge_fleet.releases.repository import Repository
from edge_serve.model.release import SignedRelease
from tests.serve.process import ServeProcess


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny: ModelPackage) -> Path:
    folder = tmp_path_factory.mktemp("side") / "fleet"
    repository = Repository(folder, KeyStore((folder / "keys",)), lambda: datetime.now(UTC))
    repository.create(root_keys=1, threshold=1)
    Releases(repository).add(tiny)
    (folder / "root.json").write_bytes(repository.first_root())
    return folder


@pytest.fixture
def side(tmp_path: Path, made: Path) -> Path:
    """The release side's folder, with one release in it, and `root.json`."""
    return Path(shutil.copytree(made, tmp_path / "fleet"))


@pytest.fixture
def url(side: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=side)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_release_is_had_from_a_folder_and_from_a_url_once(side: Path, url: str, tiny: ModelPackage) -> None:
    for where in (str(side), url, f"{url}/"):
        source = SignedRelease("tiny/1", side / "root.json", where)
        found = source.newest()
        assert found is not None
        assert (found.manifest, found.model) == (tiny.manifest, tiny.model)
        assert source.newest() is None


def test_what_is_not_as_it_was_signed_is_refused(side: Path, tiny: ModelPackage) -> None:
    root = side / "root.json"
    model = side / "models" / f"{tiny.manifest.digest}.tflite"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(TrustError, match="has not the digest that was signed"):
        SignedRelease("tiny/1", root, str(side)).newest()
    model.unlink()
    with pytest.raises(EdgewiseError, match="is listed and not at"):
        SignedRelease("tiny/1", root, str(side)).newest()
    model.write_bytes(whole)
    (described,) = (side / "models").glob("*.json")
    described.write_bytes(described.read_bytes().replace(b"happy", b"merry"))
    with pytest.raises(TrustError, match="has not the size and digest"):
        SignedRelease("tiny/1", root, str(side)).newest()
    targets = max((side / "metadata").glob("*.targets.json"))
    targets.write_bytes(targets.read_bytes().replace(b'"length"', b'"lenght"', 1))
    with pytest.raises((TrustError, EdgewiseError)):
        SignedRelease("tiny/1", root, str(side)).newest()


def test_a_list_signed_by_another_release_side_is_refused(side: Path, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other", KeyStore((tmp_path / "other" / "keys",)), lambda: datetime.now(UTC))
    other.create(root_keys=1, threshold=1)
    root = tmp_path / "other.json"
    root.write_bytes(other.first_root())
    with pytest.raises(TrustError, match="does not verify"):
        SignedRelease("tiny/1", root, str(side)).newest()


def test_a_release_that_is_not_listed_or_named_so_is_refused_by_name(side: Path) -> None:
    with pytest.raises(UsageError, match="tiny/2 is not among the signed releases"):
        SignedRelease("tiny/2", side / "root.json", str(side)).newest()
    for name in ("tiny", "tiny/", "/1", "tiny/x", "tiny/0", "tiny/-1"):
        with pytest.raises(UsageError, match="names no release"):
            SignedRelease(name, side / "root.json", str(side))
    with pytest.raises(UsageError, match="cannot be read"):
        SignedRelease("tiny/1", side / "absent.json", str(side))
    with pytest.raises(EdgewiseError):
        SignedRelease("tiny/1", side / "root.json", "http://127.0.0.1:9/").newest()


def test_a_signed_release_answers(tmp_path: Path, side: Path) -> None:
    arguments = ["run", "--release", "tiny/1", "--trust-root", str(side / "root.json"), "--from", str(side)]
    with ServeProcess(tmp_path, arguments) as server:
        server.ready()
        assert server.ask("GET", "/v2/models/tiny").json()["versions"] == ["1"]
        assert server.stop() == 0

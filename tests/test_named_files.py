"""Whoever reads a file by its name: what is no such file is one sentence, and fills no memory and waits for nobody."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from convert import artifacts
from convert.tflite.conversion import load_network
from edge_agent.models.chunks import PartFile
from edge_agent.models.download import read_release
from edge_agent.models.slots import Slots, read_slot
from edge_agent.mqtt import complaint_file
from edge_agent.system import liveness
from edge_agent.trust.tuf_client import Trust
from edge_contract import bounded_read, package
from edge_contract.command_end import explained
from edge_contract.errors import EdgewiseError
from edge_contract.manifest import digest_of
from edge_contract.messages import ModelRef
from edge_contract.trust import Blob, Chunks, ListedRelease
from edge_fleet.registry.ledger import Ledger
from edge_mqtt.address import BrokerAddress
from edge_mqtt.tls import tls_context
from tests.train.data.test_csv_file import write_csv
from train.data import dataset
from train.data.read import read_source
from train.data.rows import PictureFormat
from train.loop import checkpoint, run_folder
from train.network.from_deployed import load_shipped
from train.prepare import searches_faces
from train.scoring.predict import probabilities_of

TINY = Path(__file__).parent / "fixtures" / "tiny-1.ewm"
CHUNKS = Chunks.of(b"release")
BLOB = Blob(digest=digest_of(b"release"), size=len(b"release"), chunks=CHUNKS)
KEYS = BrokerAddress(tls=True, host="localhost")


def folder(path: Path) -> None:
    path.mkdir()


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS: dict[str, Callable[[Path], None]] = {"folder": folder, "pipe": os.mkfifo, "huge": huge, "endless": endless}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_read, "PATIENCE", 0.05)


def beside(path: Path, name: str) -> Path:
    """The folder of `path`, in which it is the file of this name."""
    path.rename(path.with_name(name))
    return path.parent


def with_votes(path: Path) -> object:
    return read_source(str(write_csv(path.with_name("fer2013.csv"), [])), str(path), PictureFormat(), 1)


def a_run(path: Path) -> object:
    (path.parent / run_folder.PARAMS).write_text("{}")
    return run_folder.load_run(beside(path, run_folder.MODEL), ("a", "b"))


READERS: dict[str, Callable[[Path], object]] = {
    "CA file": lambda path: tls_context(BrokerAddress(tls=True, ca=path)),
    "certificate": lambda path: tls_context(BrokerAddress(tls=True, certificate=path, key=path)),
    "ledger": lambda path: Ledger(path).entries(),
    "ledger, to append": lambda path: Ledger(path).append("me", "promote", {}, 1.0),
    "dataset": dataset.load,
    "checkpoint": checkpoint.load_averaged,
    "run": a_run,
    "network to go on from": load_shipped,
    "network to convert": load_network,
    "network to score": lambda path: probabilities_of(path.rename(path.with_suffix(".keras")), [], 2),
    "conversion": lambda path: artifacts.read(beside(path, artifacts.RECORD)),
    "source": lambda path: read_source(str(path), "", PictureFormat(), 1),
    "FER+": with_votes,
    "params": searches_faces,
    "slot": lambda path: read_slot(beside(path, "manifest.json")),
    "file to stage": lambda path: Slots(path.parent).stage(path, package.read_file(TINY).manifest),
    "kept metadata": lambda path: Trust(beside(path, "timestamp.json"), b"{}"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_such_file_is_one_sentence_with_a_remedy(reader: str, kind: str, tmp_path: Path) -> None:
    if (reader, kind) == ("source", "folder"):
        pytest.skip("a folder is a source")
    path = tmp_path / "given"
    KINDS[kind](path)
    with pytest.raises((EdgewiseError, OSError)) as caught:
        READERS[reader](path)
    known = explained(caught.value)
    assert known is not None
    assert known.remedy or "not loaded" in known.problem


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_download_left_among_the_parts_gives_way_to_one(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{BLOB.digest}.part"
    KINDS[kind](path)
    listed = ListedRelease(model="0" * 64, size=1, file=BLOB)
    assert read_release(tmp_path, ModelRef(name="tiny", release=1, digest="0" * 64), listed) is None
    part = PartFile(tmp_path, BLOB)
    assert part.put(0, b"release")
    part.close(synced=True)
    assert path.read_bytes() == b"release"


@pytest.mark.parametrize("kind", KINDS)
def test_a_health_check_waits_for_no_pipe(kind: str, tmp_path: Path) -> None:
    for name in ("agent.lock", "broker.txt"):
        KINDS[kind](tmp_path / name)
    assert liveness.trouble(tmp_path, 0.0) == f"no agent is running on {tmp_path}."
    assert complaint_file.read(tmp_path) == ""

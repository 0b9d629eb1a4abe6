"""What updates keep on the disk, partial downloads, slots, the state database, as power cuts and bad cards leave it."""

import os
import random
import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.models.chunks import AHEAD, SILENCE_S, Download, PartFile
from edge_agent.models.slots import Slot, Slots, read_slot
from edge_agent.trust.clock import SignedTime
from edge_agent.update.machine import Phase, State
from edge_agent.update.store import Failure, StateStore
from edge_contract import topics
from edge_contract.durable import point_link
from edge_contract.errors import EdgewiseError, TrustError
from edge_contract.manifest import digest_of
from edge_contract.messages import Need, decode
from edge_contract.trust import Blob, Chunks, DesiredState
from tests.agent.update.update_bench import FIXTURES, tiny

CHUNK = 1024
DATA = random.Random(1).randbytes(25 * CHUNK + 7)  # noqa: S311  # any bytes: 25 chunks and a short one
PIECES = [DATA[start : start + CHUNK] for start in range(0, len(DATA), CHUNK)]
BLOB = Blob(digest=digest_of(DATA), size=len(DATA), chunks=Chunks(size=CHUNK, digests=tuple(map(digest_of, PIECES))))


class Wire:
    """Subscriptions as a broker sees them, and what a device says it needs."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.needs: list[bytes] = []

    def subscribe(self, topic_filter: str) -> None:
        parsed = topics.parse(topic_filter)
        assert isinstance(parsed, topics.BlobTopic)
        self.asked.append(parsed.chunk)

    def unsubscribe(self, topic_filter: str) -> None:
        parsed = topics.parse(topic_filter)
        assert isinstance(parsed, topics.BlobTopic)
        self.asked.remove(parsed.chunk)

    def publish(self, topic: str, payload: bytes) -> bool:
        assert topic == topics.device("cam", "need")
        self.needs.append(payload)
        return True

    def download(self, folder: Path, blob: Blob = BLOB) -> Download:
        return Download(PartFile(folder, blob), device="cam", broker=self, now=0.0)


def test_only_a_few_chunks_are_asked_for_at_a_time_and_each_that_comes_asks_for_the_next(tmp_path: Path) -> None:
    wire = Wire()
    download = wire.download(tmp_path)
    assert wire.asked == list(range(AHEAD))
    assert download.arrived(3, PIECES[3], 0.0)
    assert sorted(wire.asked) == [*range(3), *range(4, AHEAD + 1)]


def test_a_small_file_is_asked_for_at_once_and_only_what_is_missing_of_it_one_by_one(tmp_path: Path) -> None:
    filters: list[str] = []

    class Asked(Wire):
        def subscribe(self, topic_filter: str) -> None:
            filters.append(topic_filter)

        def unsubscribe(self, topic_filter: str) -> None:
            filters.remove(topic_filter)

    small = Blob(
        digest=BLOB.digest, size=3 * CHUNK, chunks=Chunks(size=CHUNK, digests=tuple(map(digest_of, PIECES[:3])))
    )
    download = Asked().download(tmp_path, small)
    assert filters == [topics.all_chunks(BLOB.digest)]
    assert download.arrived(1, PIECES[1], 0.0)
    assert not download.arrived(2, PIECES[1], 0.0)
    assert not download.arrived(7, PIECES[1], 0.0)
    download.tick(SILENCE_S)
    assert filters == [topics.blob(BLOB.digest, 0), topics.blob(BLOB.digest, 2)]
    for number in (0, 2):
        assert download.arrived(number, PIECES[number], 0.0)
    assert (filters, download.complete) == ([], True)


def test_chunks_that_were_not_asked_for_or_are_not_right_change_nothing(tmp_path: Path) -> None:
    download = Wire().download(tmp_path)
    before = list(download.part.missing)
    for number, chunk in [(25, PIECES[25]), (999, b""), (0, PIECES[1]), (0, b""), (0, PIECES[0] + b"x")]:
        assert not download.arrived(number, chunk, 0.0)
    assert download.part.missing == before
    assert download.refused == {0: 3}


def test_silence_asks_the_broker_again_names_what_is_missing_and_waits_longer_each_time(tmp_path: Path) -> None:
    wire = Wire()
    download = wire.download(tmp_path)
    for number in range(2, 26):
        if number not in wire.asked:
            break
        download.arrived(number, PIECES[number], 0.0)
    download.tick(SILENCE_S - 1)
    assert wire.needs == []
    asked = sorted(wire.asked)
    download.tick(SILENCE_S)
    assert sorted(wire.asked) == asked  # subscribed anew
    assert decode(wire.needs[0], Need).chunks() == download.part.missing
    download.tick(SILENCE_S * 2 - 1)
    assert len(wire.needs) == 1
    download.tick(SILENCE_S * 2)
    download.tick(SILENCE_S * 4)
    assert len(wire.needs) == 3
    download.close()
    assert (wire.asked, wire.needs[-1]) == ([], b"")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_whatever_is_lost_repeated_damaged_or_cut_off_the_file_comes_out_right(tmp_path: Path, data: Any) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    wire = Wire()
    download = wire.download(folder)
    while not download.complete:
        number = data.draw(st.sampled_from(wire.asked))
        match data.draw(st.sampled_from(["right", "right", "right", "damaged", "cut", "power"])):
            case "damaged":
                assert not download.arrived(number, bytes([PIECES[number][0] ^ 1]) + PIECES[number][1:], 0.0)
            case "cut":
                assert not download.arrived(number, PIECES[number][:-1], 0.0)
            case "power":
                done = len(PIECES) - len(download.part.missing)
                wire = Wire()
                download = wire.download(folder)
                assert len(PIECES) - len(download.part.missing) == done
            case _:
                assert download.arrived(number, PIECES[number], 0.0)
    download.close()
    assert download.part.path.read_bytes() == DATA


def test_a_part_that_the_disk_spoilt_is_missing_again(tmp_path: Path) -> None:
    part = PartFile(tmp_path, BLOB)
    for number, piece in enumerate(PIECES):
        part.put(number, piece)
    part.close(synced=True)
    spoilt = bytearray(part.path.read_bytes())
    spoilt[5 * CHUNK] ^= 1
    part.path.write_bytes(bytes(spoilt) + b"more than there should be")
    again = PartFile(tmp_path, BLOB)
    assert again.missing == [5]
    again.put(5, PIECES[5])
    again.close()
    assert again.path.read_bytes() == DATA


def staged(folder: Path) -> tuple[Slots, Slot]:
    model = tiny(1)
    (folder / "part").write_bytes(model.model)
    slots = Slots(folder)
    return slots, slots.stage(folder / "part", model.manifest)


def test_a_slot_is_staged_once_and_holds_the_verified_model(tmp_path: Path) -> None:
    slots, slot = staged(tmp_path)
    loaded = slots.load(slot)
    assert (loaded.manifest, loaded.model) == (tiny(1).manifest, tiny(1).model)
    inode = (slots.path(slot) / "model.tflite").stat().st_ino
    assert slots.stage(tmp_path / "part", tiny(1).manifest) == slot
    assert (slots.path(slot) / "model.tflite").stat().st_ino == inode


@pytest.mark.parametrize("file", ["model.tflite", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "gone"])
def test_a_damaged_slot_is_not_loaded_and_is_staged_anew(tmp_path: Path, file: str, damage: str) -> None:
    slots, slot = staged(tmp_path)
    path = slots.path(slot) / file
    content = path.read_bytes()
    path.unlink()  # the part is a second name of the same bytes
    if damage != "gone":
        middle = len(content) // 2
        path.write_bytes({
            "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "cut": content[:-1],
            "longer": content + b" ",
        }[damage])  # fmt: skip
    with pytest.raises(TrustError, match=r"not loaded|refused"):
        slots.load(slot)
    assert slots.stage(tmp_path / "part", tiny(1).manifest) == slot
    slots.load(slot)


def test_a_slot_under_another_name_is_not_loaded(tmp_path: Path) -> None:
    slots, slot = staged(tmp_path)
    slots.path(slot).rename(slots.path(slot).with_name("tiny-1-000000000000"))
    with pytest.raises(TrustError):
        read_slot(tmp_path / "slots" / "tiny-1-000000000000")


def test_a_file_that_is_not_the_manifests_model_makes_no_slot(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(tiny(2).model)
    with pytest.raises(TrustError, match="refused"):
        Slots(tmp_path).stage(tmp_path / "part", tiny(1).manifest)
    assert list((tmp_path / "slots").iterdir()) == []


def test_links_that_point_outside_or_nowhere_name_no_slot(tmp_path: Path) -> None:
    slots, slot = staged(tmp_path)
    slots.point(slot, None)
    assert slots.current() == slot
    for target in ("slots/absent-1-000000000000", "../elsewhere", "/etc"):
        point_link(tmp_path / "current", target)
        assert slots.current() is None
    slots.point(None, None)
    assert slots.current() is None
    slots.prune([])
    assert list((tmp_path / "slots").iterdir()) == []


def test_a_damaged_factory_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "factory.ewm"
    file.write_bytes((FIXTURES / "tiny-1.ewm").read_bytes().replace(b"TFL3", b"TFL4", 1))
    with pytest.raises(EdgewiseError, match="damaged"):
        Slots(tmp_path, file).load_factory()
    assert Slots(tmp_path).load_factory() is None


def test_a_session_grows_even_when_the_clock_goes_back(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state.db")
    sessions = [store.next_session(lambda seconds=seconds: seconds) for seconds in (1000.0, 5.0, 1001.0, 2000.0)]
    assert sessions == [1000, 1001, 1002, 2000]
    store.close()
    assert StateStore(tmp_path / "state.db").next_session(lambda: 0.0) == 2001


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state.db")

    def half_refused() -> None:
        with store.transaction():
            store.save_update(State(phase=Phase.COMMITTED))
            store.remember_failure("0" * 64, "r", Failure(None, 1))  # type: ignore[arg-type]  # the schema refuses it

    with pytest.raises(sqlite3.Error):
        half_refused()
    assert store.update() is None
    assert store.failure("0" * 64, "r") is None


def test_a_commit_that_fails_leaves_no_transaction_open_and_its_own_reason_is_the_one_said(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state.db")
    store._database.executescript(
        "PRAGMA foreign_keys = ON; CREATE TABLE late (id REFERENCES one (key) DEFERRABLE INITIALLY DEFERRED)"
    )

    def refused_at_its_commit() -> None:
        with store.transaction():
            store.save_update(State(phase=Phase.COMMITTED))
            store._database.execute("INSERT INTO late VALUES ('nothing')")

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        refused_at_its_commit()
    with store.transaction():
        store.save_update(State(phase=Phase.STAGED))
    assert store.update() == State(phase=Phase.STAGED)


@contextmanager
def refusing_disk() -> Iterator[None]:
    """No file of this process grows, nor is one made that is not empty: as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_database_that_cannot_be_written_at_the_start_is_read_and_opened_once_it_can_be(tmp_path: Path) -> None:
    store = _kept(tmp_path)
    before = (store.update(), store.time(), store.failure("0" * 64, "r"), store.desired())
    store.close()
    with refusing_disk():
        store = StateStore(tmp_path / "state.db")
        assert (store.update(), store.time(), store.failure("0" * 64, "r"), store.desired()) == before
        assert store.next_session(lambda: 0.0) == 2001
        with pytest.raises(sqlite3.Error), store.transaction():
            store.save_update(State())
        assert store.update() == before[0]
    with store.transaction():
        store.save_update(State(phase=Phase.STAGED))
    store.close()
    assert StateStore(tmp_path / "state.db").update() == State(phase=Phase.STAGED)


def test_the_first_start_on_a_disk_that_refuses_knows_nothing_and_a_path_that_cannot_be_is_named(
    tmp_path: Path,
) -> None:
    with refusing_disk():
        store = StateStore(tmp_path / "state.db")
        assert (store.update(), store.desired(), store.seen()) == (None, {}, {})
        assert store.next_session(lambda: 1000.0) == 1000
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgewiseError, match="check the disk"):
        StateStore(tmp_path / "file" / "state.db")


def test_the_name_of_the_slots_directory_is_on_the_disk_before_anything_is_staged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, sync = list[Path](), os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Slots(tmp_path / "state")
    assert synced == [tmp_path, tmp_path / "state"]


def test_a_failure_is_remembered_for_its_runtime(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state.db")
    with store.transaction():
        store.remember_failure("0" * 64, "litert 2.3.0", Failure("why", 4))
    assert store.failure("0" * 64, "litert 2.3.0") == Failure("why", 4)
    assert store.failure("0" * 64, "litert 2.4.0") is None
    assert store.failure("1" * 64, "litert 2.3.0") is None


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    database = StateStore(tmp_path / "state.db")._database
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_database_of_a_newer_agent_is_left_alone(tmp_path: Path) -> None:
    StateStore(tmp_path / "state.db").close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(EdgewiseError, match="newer agent"):
        StateStore(tmp_path / "state.db")
    assert not (tmp_path / "state.db.damaged").exists()


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_database_is_put_aside_and_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.db").write_bytes(content)
    store = StateStore(tmp_path / "state.db")
    assert store.update() is None
    assert (tmp_path / "state.db.damaged").read_bytes() == content


def test_desired_states_survive_a_restart(tmp_path: Path) -> None:
    state = DesiredState(scope="group/g", revision=7, model=tiny(1).manifest.ref, issued=1, expires=2)
    store = StateStore(tmp_path / "state.db")
    with store.transaction():
        store.save_desired(state, ())
    store.close()
    assert StateStore(tmp_path / "state.db").desired() == {"group/g": state}


MODEL = tiny(1).manifest.ref


def _kept(folder: Path) -> StateStore:
    """A database with a row of every kind."""
    store = StateStore(folder / "state.db")
    store.next_session(lambda: 2000.0)
    with store.transaction():
        store.save_update(State(phase=Phase.COMMITTED, committed=Slot("m-1-aaaaaaaaaaaa", MODEL), reason="fine"))
        store.save_time(SignedTime(3000.0, ("key",)))
        store.remember_failure("0" * 64, "r", Failure("bad", 4))
        store.save_desired(DesiredState(scope="group/g", model=MODEL, revision=4, issued=1.0, expires=9.0), ("key",))
        store.save_seen("group/g", "a" * 64)
        store.save_seen("metadata", "b" * 64)
    return store


_CELLS = (
    *(("one", "value", f"key = '{key}'") for key in ("session", "update", "time")),
    ("failed", "reason", "1"),
    ("failed", "revision", "1"),
    ("desired", "state", "1"),
    ("seen", "digest", "what = 'metadata'"),
)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(_CELLS), st.integers(0, 400), st.integers(0, 7)), min_size=1, max_size=3))
def test_after_flipped_bits_the_state_is_what_can_be_read(flips: list[tuple[tuple[str, str, str], int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = _kept(folder)
        before = (whole.update(), whole.time(), whole.failure("0" * 64, "r"), whole.desired(), whole.seen())
        whole.close()
        with sqlite3.connect(folder / "state.db") as database:
            for (table, column, where), place, bit in flips:
                _flip(database, table, column, where, place, bit)
        database.close()
        looked = StateStore(folder / "state.db", read_only=True)  # `edgewise-agent status`
        looked.update()
        looked.close()
        store = StateStore(folder / "state.db")
        after = (store.update(), store.time(), store.failure("0" * 64, "r"), store.desired(), store.seen())
        touched = {(table, where.split("'")[1] if "'" in where else "") for (table, _, where), _, _ in flips}
        for untouched, index in (
            (("one", "update"), 0),
            (("one", "time"), 1),
            (("failed", ""), 2),
            (("desired", ""), 3),
        ):
            if untouched not in touched:
                assert after[index] == before[index]
        if not after[3]:
            assert "group/g" not in after[4]  # what the broker retains is news again
        assert store.next_session(lambda: 5000.0) >= 5000
        with store.transaction():
            store.save_update(State())
        assert store.update() == State()
        store.close()
        again = StateStore(folder / "state.db")
        assert again.update() == State()
        again.close()


def _flip(database: sqlite3.Connection, table: str, column: str, where: str, place: int, bit: int) -> None:
    """One bit of one value, as a bad card does it."""
    database.text_factory = bytes
    (value,) = database.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()  # noqa: S608
    if isinstance(value, int):
        changed = str(value ^ (1 << (place % 63)))
    else:
        kind = database.execute(f"SELECT typeof({column}) FROM {table} WHERE {where}").fetchone()[0].decode()  # noqa: S608
        data = bytearray(value)
        data[place % len(data)] ^= 1 << bit
        changed = f"x'{data.hex()}'" if kind == "blob" else f"CAST(x'{data.hex()}' AS TEXT)"
    database.execute(f"UPDATE {table} SET {column} = {changed} WHERE {where}")  # noqa: S608


def test_a_damaged_row_is_said_and_kept_to_be_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = _kept(tmp_path)
    store._database.execute("UPDATE one SET value = x'7b' WHERE key = 'update'")
    assert store.update() is None
    assert "'update'" in caplog.text
    assert [row[0] for row in store._database.execute("SELECT what FROM damaged")] == ["one/update"]
    caplog.clear()
    assert store.update() is None
    assert caplog.text == ""


@pytest.mark.parametrize("bit", range(32))
def test_a_flipped_bit_in_the_version_of_the_database_is_damage_or_said_with_its_remedy(
    tmp_path: Path, bit: int
) -> None:
    path = tmp_path / "state.db"
    StateStore(path).close()
    data = bytearray(path.read_bytes())
    data[60 + bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    version = int.from_bytes(data[60:64], "big", signed=True)
    if 2 < version <= 100:
        with pytest.raises(EdgewiseError, match="newer agent") as refused:
            StateStore(path)
        assert "move the file away" in refused.value.remedy
        return
    store = StateStore(path)
    assert store.next_session() > 0
    store.close()
    assert (tmp_path / "state.db.damaged").exists() == (version not in (0, 1, 2))

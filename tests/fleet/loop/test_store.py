"""The loop's database: one transaction a transition, a ledger that only grows, and damage that is put aside."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_contract.errors import EdgewiseError
from edge_fleet.loop import store as loop_store
from edge_fleet.loop.events import Looked, Paused
from edge_fleet.loop.state import State
from edge_fleet.loop.store import FILE, FORGET_S, LoopStore
from tests.fleet.loop.loops import ANSWERS, LESS_RIGHT, TERMS
from tests.fleet.loop.test_diagnose import alert

LOOK = Looked((ANSWERS,), {"emotion-5": LESS_RIGHT}, TERMS, 1e6)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LoopStore]:
    with LoopStore(tmp_path) as opened:
        yield opened


def tamper(folder: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(folder / FILE, isolation_level=None)) as database:
        database.execute(statement, values)


def test_a_transition_is_there_after_a_restart_with_its_ledger(store: LoopStore, tmp_path: Path) -> None:
    after, entries = store.transition("emotion", LOOK, 1e6)
    store.close()
    with LoopStore(tmp_path) as again:
        assert again.state("emotion") == after
        assert [line.action for line in again.ledger("emotion")] == [entry.action for entry in entries]
        assert [line.run for line in again.ledger("emotion", "emotion-run-1")] == ["emotion-run-1"] * 3
        assert again.state("age") == State(model="age")


def test_the_ledger_cannot_be_changed(store: LoopStore, tmp_path: Path) -> None:
    store.transition("emotion", LOOK, 1e6)
    for statement in ("UPDATE ledger SET text = ''", "DELETE FROM ledger"):
        with pytest.raises(sqlite3.IntegrityError, match="only grows"):
            tamper(tmp_path, statement)


def test_alerts_are_kept_once_and_go_when_they_are_resolved_or_never_repeated(store: LoopStore) -> None:
    other = alert(device="cam-2")
    store.take("emotion", [ANSWERS, other], [], 10.0)
    store.take("emotion", [replace(ANSWERS, starts=5.0)], [], 20.0)
    kept = {each.alert.device: (each.alert.starts, each.received) for each in store.firing("emotion", 20.0)}
    assert kept == {"cam-1": (5.0, 10.0), "cam-2": (0.0, 10.0)}
    assert store.firing("age", 20.0) == []
    store.take("emotion", [], [other], 21.0)
    assert [each.alert.device for each in store.firing("emotion", 21.0)] == ["cam-1"]
    assert store.firing("emotion", 21.0 + FORGET_S) == []


def test_more_alerts_than_are_kept_are_counted(store: LoopStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_store, "ALERTS", 3)
    storm = [alert(device=f"cam-{number}") for number in range(5)]
    assert store.take("emotion", storm, [], 1.0) == 2
    assert store.take("emotion", storm[:3], [], 2.0) == 0


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"model": "age"}', b'{"model": "emotion", "sequence": -1}', b"\xff" * 100]
)
def test_a_damaged_row_is_put_aside_and_the_loop_begins_anew(store: LoopStore, tmp_path: Path, damage: bytes) -> None:
    store.transition("emotion", LOOK, 1e6)
    tamper(tmp_path, "UPDATE loop SET state = ?", damage)
    assert store.state("emotion") == State(model="emotion")
    assert list(store.damaged()) == ["loop/emotion"]
    store.transition("emotion", Paused("maria", "", 1e6), 1e6)
    assert store.state("emotion").paused == "by maria"


def test_a_run_that_says_it_ended_is_none_that_is_under_way(store: LoopStore, tmp_path: Path) -> None:
    store.transition("emotion", LOOK, 1e6)
    tamper(tmp_path, """UPDATE loop SET state = CAST(replace(state, '"phase":"training"', '"phase":"told"') AS BLOB)""")
    assert store.state("emotion") == State(model="emotion")


def test_a_damaged_alert_is_put_aside_alone(store: LoopStore, tmp_path: Path) -> None:
    store.take("emotion", [ANSWERS, alert(device="cam-2")], [], 1.0)
    tamper(tmp_path, "UPDATE alert SET alert = X'7b' WHERE fingerprint = ?", ANSWERS.fingerprint)
    assert [each.alert.device for each in store.firing("emotion", 1.0)] == ["cam-2"]


def test_a_database_that_is_none_is_put_aside_whole(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with LoopStore(tmp_path) as store:
        assert store.state("emotion") == State(model="emotion")
    assert (tmp_path / f"{FILE}.damaged").exists()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    LoopStore(tmp_path).close()
    tamper(tmp_path, "PRAGMA user_version = 9")
    with pytest.raises(EdgewiseError, match="written by a newer version"):
        LoopStore(tmp_path)

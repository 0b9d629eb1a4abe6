"""`rollouts.db`: one transaction a transition, a ledger that only grows, damage put aside and said."""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_contract.errors import EdgewiseError, UsageError
from edge_fleet.rollout.devices.sighting import Sighting, decode, encode
from edge_fleet.rollout.events import Entry, Issued, Judged, Paused, Superseded
from edge_fleet.rollout.machine import Phase, State, due
from edge_fleet.rollout.store import FILE, RolloutStore
from tests.fleet.rollout.rollouts import PASSED, rollout

NOW = 1000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RolloutStore]:
    with RolloutStore(tmp_path) as store:
        yield store


def begin(store: RolloutStore, group: str = "lab") -> State:
    return store.begin(group, lambda id_: rollout(id=id_, group=group), NOW)


def damage(store: RolloutStore, statement: str, *values: object) -> None:
    store._run(statement, *values)


def test_a_transition_and_its_lines_are_written_together(store: RolloutStore) -> None:
    state = begin(store)
    after = store.transition(state.id, Judged(-1, None, NOW), NOW)
    assert after is not None
    assert (after.phase, store.get(state.id)) == (Phase.SHADOW, after)
    assert [(line.action, line.who) for line in store.ledger()] == [("start", "maria"), ("begin", "edgewise")]


def test_what_a_kill_interrupts_is_not_there_at_all(tmp_path: Path, store: RolloutStore) -> None:
    state = begin(store)

    def interrupted() -> None:
        with store.transaction():
            store.transition(state.id, Paused("joe", "", NOW), NOW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with RolloutStore(tmp_path) as again:
        assert again.get(state.id) == state
        assert [line.action for line in again.ledger()] == ["start"]


def test_a_group_has_one_rollout_that_runs(store: RolloutStore) -> None:
    first = begin(store)
    begin(store, "attic")
    with pytest.raises(UsageError, match="lab-1 of emotion 6 runs in group lab already"):
        begin(store)
    store.transition(first.id, Superseded("A push.", "joe", NOW), NOW)
    assert begin(store).id == "lab-3"
    assert [state.id for state in store.open()] == ["attic-2", "lab-3"]
    assert len(store.all()) == 3


def test_two_who_step_at_once_step_one_after_the_other(tmp_path: Path, store: RolloutStore) -> None:
    state = begin(store)
    store.transition(state.id, Judged(-1, None, NOW), NOW)
    wanted = due(store.get(state.id))  # type: ignore[arg-type]
    assert wanted is not None
    store.transition(state.id, Issued(wanted, 3), NOW)
    barrier = threading.Barrier(4)

    def judges() -> None:
        with RolloutStore(tmp_path) as own:
            barrier.wait()
            own.transition(state.id, Judged(0, PASSED, NOW), NOW)

    threads = [threading.Thread(target=judges) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [line.action for line in store.ledger()] == ["start", "begin", "pass", "begin"]


def test_the_ledger_only_grows(store: RolloutStore) -> None:
    begin(store)
    for statement in ("DELETE FROM ledger", "UPDATE ledger SET who = 'nobody'"):
        with pytest.raises(sqlite3.IntegrityError, match="only grows"):
            damage(store, statement)
    store.note("lab-1", Entry("trouble", "The disk is full."), NOW)
    assert [line.text for line in store.ledger("lab-1")][-1] == "The disk is full."
    assert store.ledger("attic-9") == []


def test_a_damaged_rollout_is_put_aside_and_frees_its_group(
    store: RolloutStore, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, good = begin(store), begin(store, "attic")
    damage(store, "UPDATE rollout SET state = ? WHERE id = ?", b'{"id": "lab-1"', damaged.id)
    with caplog.at_level(logging.WARNING):
        assert store.open() == [good]
    assert "lab-1 in rollouts.db is damaged" in caplog.text
    assert list(store.damaged()) == ["lab-1"]
    assert store.transition(damaged.id, Paused("joe", "", NOW), NOW) is None
    assert begin(store).id == "lab-3"


def test_a_row_that_holds_another_rollout_is_damaged(store: RolloutStore) -> None:
    first = begin(store)
    damage(store, "UPDATE rollout SET state = CAST(replace(CAST(state AS TEXT), 'lab-1', 'lab-7') AS BLOB)")
    assert (store.get(first.id), list(store.damaged())) == (None, ["lab-1"])


def test_a_damaged_row_of_a_device_is_as_if_it_had_never_been(store: RolloutStore) -> None:
    seen = Sighting(stage=1, took=True)
    store.save_devices("lab-1", "sighting", {"cam-1": encode(seen), "cam-2": b"\xff", "cam-3": b"{}"})
    assert store.devices("lab-1", "sighting", decode) == {"cam-1": seen}
    assert set(store.damaged()) == {"lab-1/cam-2/sighting", "lab-1/cam-3/sighting"}
    assert store.devices("lab-1", "sighting", bytes) == {"cam-1": encode(seen)}


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_damaged_database_is_put_aside_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with RolloutStore(tmp_path) as store:
        assert store.all() == []
        begin(store)
    assert (tmp_path / f"{FILE}.damaged").read_bytes() == content


def test_a_newer_versions_database_is_left_alone(tmp_path: Path) -> None:
    with RolloutStore(tmp_path) as store:
        begin(store)
        damage(store, "PRAGMA user_version = 9")
    with pytest.raises(EdgewiseError, match="newer version"):
        RolloutStore(tmp_path)


def test_others_read_while_one_writes(tmp_path: Path, store: RolloutStore) -> None:
    state = begin(store)
    with store.transaction():
        store.transition(state.id, Paused("joe", "", NOW), NOW)
        with RolloutStore(tmp_path / "elsewhere"), sqlite3.connect(tmp_path / FILE) as reader:
            assert reader.execute("SELECT running FROM rollout").fetchall() == [(1,)]
    assert store.get(state.id) == replace(state, pause=store.get(state.id).pause)  # type: ignore[union-attr]

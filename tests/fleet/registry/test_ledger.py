"""The ledger: what was written stays, in order, and any change to it shows."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_contract.errors import TrustError
from edge_fleet.registry.ledger import Ledger


def filled(path: Path, count: int = 3) -> Ledger:
    ledger = Ledger(path)
    for number in range(count):
        ledger.append("alice", "promote", {"name": "emotion", "release": str(number + 1)}, 1_700_000_000.0 + number)
    return ledger


def test_entries_come_back_in_order_and_name_their_predecessor(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "ledger.jsonl")
    entries = ledger.entries()
    assert [entry.sequence for entry in entries] == [1, 2, 3]
    assert [entry.subject["release"] for entry in entries] == ["1", "2", "3"]
    assert [entry.previous for entry in entries][1:] == ledger.heads()[:-1]


def test_no_file_is_an_empty_ledger(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "absent.jsonl").entries() == []


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        pytest.param(lambda lines: [lines[0].replace(b"alice", b"mallo"), *lines[1:]], 2, id="changed"),
        pytest.param(lambda lines: lines[1:], 1, id="first removed"),
        pytest.param(lambda lines: [lines[0], lines[2]], 2, id="middle removed"),
        pytest.param(lambda lines: [lines[0], lines[0], *lines[1:]], 2, id="repeated"),
        pytest.param(lambda lines: [lines[1], lines[0], lines[2]], 1, id="reordered"),
        pytest.param(lambda lines: [lines[0], b"{}", *lines[1:]], 2, id="no entry"),
        pytest.param(lambda lines: [lines[0], b"x" * 20_000, *lines[1:]], 2, id="too long"),
    ],
)
def test_a_changed_record_is_refused_by_line(tmp_path: Path, damage, line: int) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "ledger.jsonl"
    ledger = filled(path)
    path.write_bytes(b"".join(one + b"\n" for one in damage(path.read_bytes().splitlines())))
    before = path.read_bytes()
    with pytest.raises(TrustError, match=f"line {line} of the ledger"):
        ledger.entries()
    with pytest.raises(TrustError):
        ledger.append("alice", "promote", {}, 0.0)
    assert path.read_bytes() == before


@given(cut=st.integers(1, 400))
def test_a_power_cut_in_the_last_line_loses_that_line_only(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    ledger = filled(path)
    data = path.read_bytes()
    last = len(data.splitlines(keepends=True)[-1])
    path.write_bytes(data[: len(data) - 1 - cut % (last - 1)])
    assert len(ledger.entries()) == 2
    ledger.append("bob", "promote", {"release": "9"}, 1.0)
    assert [entry.actor for entry in ledger.entries()] == ["alice", "alice", "bob"]


def _append_many(path: Path, actor: str) -> None:
    for number in range(20):
        Ledger(path).append(actor, "promote", {"release": str(number)}, 0.0)


def test_processes_that_append_at_once_break_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(path, name)) for name in ("alice", "bob")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    entries = Ledger(path).entries()
    assert len(entries) == 40
    assert {entry.actor for entry in entries} == {"alice", "bob"}

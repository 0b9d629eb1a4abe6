"""What happened is kept over a restart, in order, within bounds; a database that is away loses nothing at once."""

import pytest

from edge_bridge.fleet.timeline import Event
from edge_bridge.storage import event_log
from edge_bridge.storage.engine import StoreError
from edge_bridge.storage.event_log import EVERY_S, EventLog
from edge_bridge.storage.store import Store

NOW = 1_800_000_000.0


def _event(number: int, name: str = "cam", kind: str = "presence") -> Event:
    return Event("device", name, NOW + number, kind, "online", f"event {number}")


@pytest.fixture
def url(database: str) -> str:
    Store(database).open(NOW)
    return database


def test_what_happened_is_read_back_newest_first_by_another_bridge(url: str) -> None:
    log = EventLog(url)
    log.add([_event(1), _event(2, "other"), _event(3)], NOW)
    log.add([_event(4)], NOW + 0.1)  # too soon for another transaction, and shown all the same
    assert [each.text for each in log.of("device", "cam", NOW, 10)] == ["event 4", "event 3", "event 1"]
    log.add([], NOW + EVERY_S)
    log.close()
    again = EventLog(url)
    assert [each.text for each in again.of("device", "cam", NOW, 2)] == ["event 4", "event 3"]
    assert again.of("group", "cam", NOW, 10) == []
    again.close()


def test_with_the_past_comes_what_was_so_before_it(url: str) -> None:
    log = EventLog(url)
    log.add([_event(1), _event(2, kind="update"), _event(3), _event(4, kind="began"), _event(9)], NOW)
    assert [each.text for each in log.of("device", "cam", NOW + 5, 10)] == ["event 9", "event 3", "event 2"]
    log.close()


def test_the_oldest_go_when_there_are_too_many(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "KEPT", 3)
    log = EventLog(url)
    log.add([_event(number) for number in range(5)], NOW)
    assert [each.text for each in log.of("device", "cam", NOW + 2, 10)] == ["event 4", "event 3", "event 2"]
    log.close()


def test_a_database_without_a_table_loses_no_event_and_stops_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "WAITING", 2)
    log = EventLog(database)
    log.add([_event(1), _event(2), _event(3)], NOW)
    with pytest.raises(StoreError):
        log.of("device", "cam", NOW, 10)
    Store(database).open(NOW)
    log.add([], NOW + EVERY_S)
    assert [each.text for each in log.of("device", "cam", NOW, 10)] == ["event 3", "event 2"]
    log.close()

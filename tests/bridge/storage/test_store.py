"""The prediction log on SQLite and PostgreSQL: all or nothing, nothing twice, and what a restart remembers."""

from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.state import DriftState
from edge_bridge.drift.watch import Drift, Place
from edge_bridge.fleet.acknowledgement import Progress
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState, Key, Sum
from edge_bridge.storage.store import Batch, LoggedPrediction, Store, StoreError
from edge_bridge.storage.tables import damaged, devices, marks, predictions, schema, sums
from edge_bridge.storage.tables import drift as drift_table
from edge_contract.errors import UsageError
from edge_contract.messages import Count
from tests.bridge.drift.people import Camera
from tests.bridge.publisher import prediction, telemetry

LARGEST: Count = 2**63 - 1


def _opened(url: str) -> Store:
    store = Store(url)
    store.open(1.0)
    return store


def _predictions(*sequences: int, received: float = 10.0) -> list[LoggedPrediction]:
    return [LoggedPrediction(prediction("cam", (5, each)), received) for each in sequences]


def _batch(*sequences: int, received: float = 10.0) -> Batch:
    return Batch(_predictions(*sequences, received=received), {}, {}, {})


def test_a_prediction_comes_back_as_it_went(database: str) -> None:
    store = _opened(database)
    message = prediction("cam", (5, 1), label="überrascht 😮 'x'", box=(-0.1, 0.0, 1.2, 1.0), track=LARGEST)
    store.write(Batch([LoggedPrediction(message, 10.0)], {}, {}, {}))
    ((found, received),) = store.recent(10)
    assert (replace(found, oldest=message.oldest), received) == (message, 10.0)
    store.close()


def test_a_repeated_prediction_changes_nothing(database: str) -> None:
    store = _opened(database)
    store.write(_batch(1, 2))
    store.write(_batch(2, 3))
    assert sorted(each.message.sequence for each in store.recent(10)) == [1, 2, 3]
    store.close()


def test_the_largest_numbers_a_message_may_hold_fit(database: str) -> None:
    store = _opened(database)
    message = prediction("d" * 64, (LARGEST, LARGEST), site="s" * 64, label="😮" * 64)
    key = Key("s" * 64, f"{'m' * 64}-{LARGEST}")
    store.write(Batch([LoggedPrediction(message, 1.0)], {}, {}, {key: Sum()}))
    assert store.remembered(2.0).sums == {key: Sum()}
    store.close()


def test_records_and_progress_survive_and_are_kept_apart(database: str) -> None:
    store = _opened(database)
    fleet = FleetState(LimitSettings(), MetricSettings(per_device=("all",)))
    fleet.apply("cam", telemetry("cam", (5, 1), 100), 10.0)
    changes = fleet.take_changes()
    store.write(Batch([], {"cam": Progress((5, 1), (5,))}, changes.devices, changes.sums))
    store.write(Batch([], {"cam": Progress((5, 2), (5,), ((5, 4),))}, {}, {}))  # the record stays
    store.write(Batch([], {}, {"other": Device(id="other")}, {}))
    store.close()
    again = _opened(database)
    remembered = again.remembered(2.0)
    assert {each.id: each for each in remembered.devices} == {**changes.devices, "other": Device(id="other")}
    assert remembered.progress == {"cam": Progress((5, 2), (5,), ((5, 4),))}
    assert remembered.sums == changes.sums
    assert remembered.damaged == []
    again.close()


def test_a_forgotten_device_is_deleted_and_its_progress_is_not(database: str) -> None:
    store = _opened(database)
    store.write(Batch([], {"cam": Progress((5, 1), (5,))}, {"cam": Device(id="cam"), "other": Device(id="other")}, {}))
    store.write(Batch([], {}, {"cam": None}, {}))
    remembered = store.remembered(2.0)
    assert [each.id for each in remembered.devices] == ["other"]
    # Its session may speak again, and must not be counted twice.
    assert set(remembered.progress) == {"cam"}
    store.close()


def test_a_batch_that_fails_leaves_nothing_behind(database: str) -> None:
    store = _opened(database)
    bad = {"cam": Progress((5, 2), (5,))}
    too_long = {"x": Device(id="x")}
    with pytest.raises(StoreError):
        store.write(Batch(_predictions(1, 2), bad, too_long, {Key(None, "m"): Sum()}))  # type: ignore[arg-type]
    assert store.recent(10) == []
    assert store.remembered(2.0).devices == []
    store.close()


def test_retention_deletes_by_age_and_by_number(database: str) -> None:
    store = _opened(database)
    for sequence in range(1, 11):
        store.write(_batch(sequence, received=float(sequence)))
    assert store.forget(before=3.0, keep_rows=1000) == 3
    assert store.forget(before=3.0, keep_rows=1000) == 0
    assert store.forget(before=0.0, keep_rows=4) == 3
    assert [each.message.sequence for each in store.recent(10)] == [10, 9, 8, 7]
    store.close()


def test_a_database_of_a_newer_bridge_is_refused(database: str) -> None:
    store = _opened(database)
    with store._engine.begin() as connection:
        connection.execute(sa.insert(schema), [{"version": 99, "written": 1.0}])
    with pytest.raises(StoreError, match="newer bridge"):
        store.open(2.0)
    store.close()


@pytest.mark.parametrize(
    ("table", "record"),
    [
        (devices, b'{"id":'),
        (devices, msgspec.json.encode(Device(id="other"))),
        (devices, b'{"id":"cam","counters":{"frames":99999999999999999999999}}'),
        (devices, b'{"id":"cam","stages":{"emotion-2":{"whole":{"counts":[1,2],"sum":0.1}}}}'),
        (marks, b'{"mark":[5,-1]}'),
        (marks, b"\xff"),
        (sums, b'{"stages":{"whole":{"counts":[1],"sum":1.0}}}'),
        (sums, b'{"confidence":{"counts":[0,0,0,0,0,0,0,0,0,1],"sum":null}}'),
        (sums, b'{"stages":{"no such stage":{"counts":[],"sum":1.0}}}'),
    ],
)
def test_a_damaged_record_is_put_aside_and_the_rest_counts(database: str, table: sa.Table, record: bytes) -> None:
    store = _opened(database)
    total = Sum()
    store.write(Batch([], {"cam": Progress((5, 1))}, {"cam": Device(id="cam")}, {Key("home", "none"): total}))
    store.write(Batch([], {"b": Progress((6, 1))}, {"b": Device(id="b")}, {Key("lab", "none"): total}))
    names = {table.c.site: "home"} if table is sums else {table.c.device: "cam"}
    (column, name), *_ = names.items()
    with store._engine.begin() as connection:
        connection.execute(sa.update(table).where(column == name).values(record=record))
    remembered = store.remembered(2.0)
    (said,) = remembered.damaged
    assert name in said
    kept = len(remembered.devices) + len(remembered.progress) + len(remembered.sums)
    assert kept == 5
    with store._engine.begin() as connection:
        aside = connection.execute(sa.select(damaged)).one()
    assert (aside.kind, aside.record, aside.found) == (table.name, record, 2.0)
    assert store.remembered(3.0).damaged == []
    store.close()


def _drifting(name: str) -> DriftState:
    drift, camera = Drift(DriftSettings(), lambda _digest: None, lambda _device: Place("home")), Camera(name)
    for _ in range(20):
        drift.observe(camera.window({"happy": 1.0, "sad": 1.0}, {9: 1.0}))
    found = drift.take_changes()[name]
    assert found is not None
    return found


def test_what_is_known_of_drift_comes_back_is_forgotten_with_its_device_and_put_aside_where_damaged(
    database: str,
) -> None:
    store = _opened(database)
    states = {name: _drifting(name) for name in ("cam", "gone", "hurt", "torn")}
    store.write(Batch([], {}, {}, {}, states))
    store.write(Batch([], {}, {}, {}, {"gone": None}))
    shortened = msgspec.json.encode(replace(states["torn"], recent=b"x"))
    with store._engine.begin() as connection:
        for name, record in (("hurt", b'{"device":'), ("torn", shortened)):
            connection.execute(sa.update(drift_table).where(drift_table.c.device == name).values(record=record))
    remembered = store.remembered(2.0)
    assert remembered.drift == [states["cam"]]
    assert len(remembered.damaged) == 2
    assert store.remembered(3.0).damaged == []
    store.close()


def test_a_database_of_a_bridge_that_knew_no_drift_is_opened(tmp_path: Path) -> None:
    store = _opened(f"sqlite:///{tmp_path / 'log.db'}")
    store.write(_batch(1))
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE drift")
    store.close()
    again = _opened(f"sqlite:///{tmp_path / 'log.db'}")
    assert again.remembered(2.0).drift == []
    again.write(Batch([], {}, {}, {}, {"cam": _drifting("cam")}))
    again.close()


def test_a_value_of_another_type_is_put_aside_too(tmp_path: Path) -> None:
    """SQLite keeps any type in any column, and a flipped bit of a row's header changes one."""
    store = _opened(f"sqlite:///{tmp_path / 'log.db'}")
    store.write(Batch(_predictions(1, 2), {}, {each: Device(id=each) for each in "abcd"}, {}))
    with store._engine.begin() as connection:
        for name, value in (("a", "10000000000000"), ("b", "'text'"), ("c", "1.5")):
            connection.exec_driver_sql(f"UPDATE devices SET record = {value} WHERE device = '{name}'")  # noqa: S608
        connection.exec_driver_sql("UPDATE devices SET device = CAST(x'64ff' AS TEXT) WHERE device = 'd'")
        connection.exec_driver_sql("UPDATE predictions SET time = 1e18 WHERE sequence = 1")
    remembered = store.remembered(2.0)
    assert (remembered.devices, len(remembered.damaged)) == ([], 4)
    assert [each.message.sequence for each in store.recent(10)] == [2]
    store.close()


@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_a_file_that_is_gone_takes_no_more_writes(tmp_path: Path, what: str) -> None:
    """SQLite would go on writing into a file without a name, and a restart would find nothing of it."""
    store = _opened(f"sqlite:///{tmp_path / 'log.db'}")
    store.write(_batch(1))
    (tmp_path / "log.db").unlink()
    if what == "replaced":
        (tmp_path / "log.db").touch()
    for attempt in (lambda: store.write(_batch(2)), lambda: store.touch(2.0), lambda: store.recent(1)):
        with pytest.raises(StoreError, match="restart the bridge"):
            attempt()
    store.close()
    again = _opened(f"sqlite:///{tmp_path / 'log.db'}")
    again.write(_batch(3))
    assert [each.message.sequence for each in again.recent(9)] == [3]
    again.close()


def test_a_damaged_file_says_what_helps(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"SQLite format 3\0" + b"\x55" * 5000)
    with pytest.raises(StoreError, match="restore it from a backup"):
        _opened(f"sqlite:///{tmp_path / 'log.db'}")


def test_sqlite_commits_are_durable_before_they_are_acknowledged(tmp_path: Path) -> None:
    store = _opened(f"sqlite:///{tmp_path / 'x.db'}")
    with store._engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
    store.close()


def test_what_a_password_is_stays_out_of_errors() -> None:
    for url in ("postgresql://user:secret@127.0.0.1:1/none", "postgresql://127.0.0.1:1/none?user=u&password=secret"):
        store = Store(url)
        with pytest.raises(StoreError, match=r"database postgresql://127\.0\.0\.1:1/none: ") as error:
            store.open(1.0)
        assert "secret" not in str(error.value)


def test_an_unknown_driver_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="psycopg"):
        Store("postgresql+nothing://h/d")


def test_every_column_that_is_not_a_number_is_bounded_on_the_wire() -> None:
    """PostgreSQL refuses what is too long, and a refused row would be repeated for ever."""
    lengths = {each.name: each.type.length for each in predictions.columns if isinstance(each.type, sa.String)}
    bounded = {name: length for name, length in lengths.items() if length is not None}
    assert bounded == {"device": 64, "site": 64, "label": 64, "model": 64, "digest": 64}


@pytest.mark.parametrize("label", ["sad", "x" * 64])
def test_retention_by_size_keeps_what_fits_and_the_room_is_used_again(database: str, label: str) -> None:
    store, rows, kept = _opened(database), 6000, 2000

    def fill(first: int) -> None:
        made = [prediction("cam", (5, first + n), label=label, time=float(first + n)) for n in range(rows)]
        store.write(Batch([LoggedPrediction(each, each.time) for each in made], {}, {"cam": Device(id="cam")}, {}))

    fill(1)
    whole = _taken(store)
    bound = whole * kept // rows
    gone = store.forget(before=0.0, keep_rows=10**9, keep_bytes=bound)
    assert rows - gone == pytest.approx(kept, rel=0.15)  # as measured, beside what the database says it takes
    again = store.forget(before=0.0, keep_rows=10**9, keep_bytes=bound)
    assert again <= 0.05 * rows  # what was deleted is not counted for what is left
    for turn in range(1, 4):
        _settle(store)
        fill(1 + turn * rows)
        store.forget(before=0.0, keep_rows=10**9, keep_bytes=bound)
    assert _taken(store) <= 2 * whole  # a bound of a third and one filling: not four fillings
    store.close()


def _taken(store: Store) -> int:
    """Bytes that the log takes, by the database itself."""
    with store._engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            pages, size = (
                connection.exec_driver_sql(f"PRAGMA {each}").scalar_one() for each in ("page_count", "page_size")
            )
            return int(pages * size)
        return int(connection.exec_driver_sql("SELECT pg_total_relation_size('predictions')").scalar_one())


def _settle(store: Store) -> None:
    """What autovacuum does in time."""
    if store._engine.dialect.name == "postgresql":
        with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM predictions")


def test_a_database_of_an_earlier_bridge_gets_the_index_and_an_earlier_bridge_still_opens_it(database: str) -> None:
    store = _opened(database)
    store.write(_batch(1))
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX predictions_device_time")
    store.open(2.0)
    with store._engine.begin() as connection:
        names = {each["name"] for each in sa.inspect(connection).get_indexes("predictions")}
        assert connection.execute(sa.select(sa.func.max(schema.c.version))).scalar() == 1  # what that one accepts
    assert names == {"predictions_received", "predictions_device_time"}
    store.write(_batch(2))
    assert len(store.recent(10)) == 2
    store.close()

"""Asking the prediction log and exporting it: on SQLite and PostgreSQL, beside a bridge that writes."""

import csv
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from edge_bridge.storage import prediction_export
from edge_bridge.storage.prediction_query import PredictionFilter, PredictionLog, Tally
from edge_bridge.storage.store import Batch, LoggedPrediction, Store, StoreError
from edge_bridge.storage.tables import predictions, schema
from edge_contract.errors import UsageError
from edge_contract.messages import ModelRef
from tests.bridge.publisher import prediction

NEXT = ModelRef(name="emotion", release=3, digest="cd" * 32)


@pytest.fixture
def log(database: str) -> Iterator[PredictionLog]:
    """Of `a`: 1 to 9 by its own clock, received 100 s later, the last three under the next release; of `b`: one."""
    store = Store(database)
    store.open(1.0)
    made = [
        prediction(
            "a", (5, n), time=float(n), track=n % 2, label="sad" if n % 3 == 0 else "happy", confidence=n / 10,
            **({"model": NEXT} if n > 6 else {}),
        )
        for n in range(1, 10)
    ]  # fmt: skip
    made.append(prediction("b", (7, 1), time=4.0, site="lab"))
    store.write(Batch([LoggedPrediction(each, each.time + 100.0) for each in made], {}, {}, {}))
    found = PredictionLog(database)
    yield found
    found.close()
    store.close()


@pytest.mark.parametrize(
    ("wanted", "sequences"),
    [
        ({"device": "a"}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"device": "a", "since": 3.0, "until": 5.0}, [3, 4]),
        ({"device": "a", "since": 103.0, "until": 105.0, "clock": "received"}, [3, 4]),
        ({"device": "a", "since": 103.0}, []),
        ({"device": "a", "model": "emotion"}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"device": "a", "model": "emotion-3"}, [7, 8, 9]),
        ({"device": "a", "model": "emotion-99999999999999999999"}, []),
        ({"device": "a", "label": "sad"}, [3, 6, 9]),
        ({"device": "a", "track": 1, "since": 4.0}, [5, 7, 9]),
        ({"device": "a", "session": 6}, []),
        ({"site": "lab"}, [1]),
        ({"device": "a", "newest_first": True, "limit": 2, "offset": 1}, [8, 7]),
        ({"device": "'; DROP TABLE predictions; --"}, []),
    ],
)
def test_a_filter_finds_what_it_names_in_the_order_of_time(
    log: PredictionLog, wanted: dict[str, object], sequences: list[int]
) -> None:
    asked = PredictionFilter(**wanted)  # type: ignore[arg-type]
    assert [each.message.sequence for each in log.query(asked)] == sequences
    if asked.limit is None:
        assert log.count(asked) == len(sequences)


def test_what_a_camera_answered_between_two_times_under_which_model(log: PredictionLog) -> None:
    found = log.tally(PredictionFilter(device="a", since=4.0, until=9.0), ("model", "label"))
    assert [(each.key, each.predictions, each.first, each.last) for each in found] == [
        (("emotion-2", "happy"), 2, 4.0, 5.0),
        (("emotion-3", "happy"), 2, 7.0, 8.0),
        (("emotion-2", "sad"), 1, 6.0, 6.0),
    ]
    assert found[0].confidence == pytest.approx(0.45)
    assert log.tally(PredictionFilter(device="none"), ()) == []
    assert log.tally(PredictionFilter(site="lab"), ("device", "site")) == [Tally(("b", "lab"), 1, 0.93, 4.0, 4.0)]


def test_reading_neither_waits_for_the_bridge_that_writes_nor_holds_it_up(log: PredictionLog, database: str) -> None:
    store = Store(database)
    store.open(2.0)
    rows = log.rows(PredictionFilter(device="a"))
    assert next(rows).message.sequence == 1
    store.write(Batch([LoggedPrediction(prediction("a", (5, 10), time=10.0), 110.0)], {}, {}, {}))
    assert [each.message.sequence for each in rows] == [2, 3, 4, 5, 6, 7, 8, 9]  # as it was when asked
    assert log.count(PredictionFilter(device="a")) == 10
    store.close()


def test_nothing_can_be_written_through_it(log: PredictionLog) -> None:
    with (
        pytest.raises(StoreError),
        log._database.errors_named(),
        log._database.engine.begin() as connection,
    ):
        connection.execute(sa.delete(predictions))
    assert log.count(PredictionFilter()) == 10


def test_csv_holds_every_prediction_and_no_formula(log: PredictionLog, database: str, tmp_path: Path) -> None:
    store = Store(database)
    store.open(2.0)
    hostile = prediction("-b", (8, 1), time=50.0, label='=HYPERLINK("http://x"),\n')
    store.write(Batch([LoggedPrediction(hostile, 150.5)], {}, {}, {}))
    store.close()
    file = tmp_path / "log.csv"
    assert prediction_export.export_csv_file(log.rows(PredictionFilter()), file) == 11
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert tuple(rows[0]) == prediction_export.COLUMNS
    assert (rows[0]["time"], rows[0]["device"], rows[0]["confidence"]) == ("1970-01-01T00:00:01.000000Z", "a", "0.1")
    assert rows[-1]["label"] == "'" + hostile.label
    assert (rows[-1]["device"], rows[-1]["received"]) == ("'-b", "1970-01-01T00:02:30.500000Z")


def test_parquet_holds_every_prediction_as_it_is(
    log: PredictionLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    monkeypatch.setattr(prediction_export, "GROUP", 4)
    file = tmp_path / "log.parquet"
    assert prediction_export.export_parquet(log.rows(PredictionFilter(device="a")), file) == 9
    read = parquet.ParquetFile(file)
    assert read.num_row_groups == 3
    rows = read.read().to_pylist()
    assert [each["sequence"] for each in rows] == list(range(1, 10))
    assert rows[6] == {
        "time": datetime.fromtimestamp(7.0, UTC), "received": datetime.fromtimestamp(107.0, UTC), "device": "a",
        "site": "home", "model": "emotion", "release": 3, "digest": NEXT.digest, "label": "happy", "confidence": 0.7,
        "probabilities": [0.01, 0.0, 0.01, 0.93, 0.01, 0.02, 0.02], "left": 0.4, "top": 0.2, "width": 0.2,
        "height": 0.3, "track": 1, "session": 5, "sequence": 7, "latency": 0.0041,
    }  # fmt: skip


@pytest.mark.parametrize("export", [prediction_export.export_csv_file, prediction_export.export_parquet])
def test_an_export_that_fails_leaves_the_file_that_was_there(
    export: Callable[[Iterator[LoggedPrediction], Path], int], tmp_path: Path
) -> None:
    def failing() -> Iterator[LoggedPrediction]:
        yield LoggedPrediction(prediction("a", (5, 1), time=1.0), 1.0)
        raise StoreError("gone", remedy="none")

    file = tmp_path / "log"
    file.write_text("before")
    with pytest.raises(StoreError):
        export(failing(), file)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_parquet_without_pyarrow_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pip install pyarrow, or export with --csv"):
        prediction_export.export_parquet(iter(()), tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_database_that_is_none_or_is_newer_is_refused_and_none_is_made(tmp_path: Path) -> None:
    missing = PredictionLog(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(StoreError, match="there is no prediction log at"):
        missing.count(PredictionFilter())
    assert not list(tmp_path.iterdir())
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(StoreError, match="is no database of a bridge"):
        PredictionLog(f"sqlite:///{tmp_path / 'other.db'}").count(PredictionFilter())
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(StoreError, match="restore it from a backup"):
        PredictionLog(f"sqlite:///{tmp_path / 'text.db'}").count(PredictionFilter())
    store = Store(f"sqlite:///{tmp_path / 'new.db'}")
    store.open(1.0)
    with store._engine.begin() as connection:
        connection.execute(sa.insert(schema), [{"version": 99, "written": 1.0}])
    with pytest.raises(StoreError, match="newer bridge"):
        PredictionLog(f"sqlite:///{tmp_path / 'new.db'}").count(PredictionFilter())
    store.close()


def test_a_damaged_row_is_left_out_and_counted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    store = Store(url)
    store.open(1.0)
    store.write(Batch([LoggedPrediction(prediction("a", (5, n), time=float(n)), 9.0) for n in (1, 2, 3)], {}, {}, {}))
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE predictions SET label = '' WHERE sequence = 1")
        connection.exec_driver_sql("UPDATE predictions SET received = 'x' WHERE sequence = 2")
    store.close()
    log = PredictionLog(url)
    assert [each.message.sequence for each in log.query(PredictionFilter())] == [3]
    assert log.damaged == 2
    log.close()

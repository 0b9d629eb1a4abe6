"""A database in trouble: each kind has a state and a sentence that names it, nothing is lost, and it mends itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.ingest.commit import RETRY_S, Clock, Commits
from edge_bridge.ingest.decoding import Place
from edge_bridge.ingest.settings import LogSettings
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.storage.prediction_query import PredictionFilter, PredictionLog
from edge_bridge.storage.store import LoggedPrediction, Store, StoreError
from edge_simulator.broker import Broker
from tests.bridge.process import BridgeProcess
from tests.bridge.publisher import Publisher, prediction, telemetry
from tests.eventually import eventually
from tests.postgresql import PostgreSQL


class _Committing:
    """What the intake commits with, on a clock of the test's own."""

    def __init__(self, store: Store) -> None:
        self.now, self.acks = 1000.0, 0
        fleet, metrics = FleetState(LimitSettings(), MetricSettings()), BridgeMetrics(CollectorRegistry())
        self.commits = Commits(
            fleet,
            store,
            metrics=metrics,
            settings=LogSettings(),
            clock=Clock(lambda: self.now, lambda: self.now),
            acknowledge=self._acknowledged,
            progress={},
        )

    def log(self, sequence: int) -> None:
        self.commits.log(LoggedPrediction(prediction("cam", (5, sequence), label="x" * 64), 1.0))
        self.commits.arrived("cam", Place((5, sequence), (5, 1)))

    def commit(self) -> None:
        self.now += 2 * RETRY_S
        self.commits.commit()

    def _acknowledged(self, said: object) -> None:
        assert said
        self.acks += 1


def test_a_full_disk_has_a_sentence_and_mends_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(f"sqlite:///{tmp_path / 'log.db'}")
    store.open(1.0)
    with store._engine.connect() as connection:  # what SQLite does where the disk takes no further page
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    bridge = _Committing(store)
    for sequence in range(1, 200):
        bridge.log(sequence)
    bridge.commit()
    bridge.commit()
    assert (bridge.commits.writable, bridge.acks) == (False, 0)
    assert "database or disk is full" in bridge.commits.complaint
    assert "make it reachable and writable" in bridge.commits.complaint
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1  # once, however often it is tried
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    bridge.commit()
    assert (bridge.commits.writable, bridge.commits.complaint, bridge.acks) == (True, "", 1)
    assert len(store.recent(1000)) == 199
    store.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL that these tests stop and start."""
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed (psycopg)")
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.close()


def _made(server: PostgreSQL, name: str, *more: str) -> str:
    with sa.create_engine(
        server.url().replace("postgresql", "postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    ).connect() as connection:
        for statement in (f"CREATE DATABASE {name}", *more):
            connection.exec_driver_sql(statement)
    return server.url(name)


@pytest.mark.slow
def test_a_postgresql_that_restarts_loses_nothing_and_is_found_again(server: PostgreSQL) -> None:
    store = Store(_made(server, "restarts"))
    store.open(1.0)
    bridge = _Committing(store)
    bridge.log(1)
    bridge.commit()
    server.stop()
    bridge.log(2)
    bridge.commit()
    assert (bridge.commits.writable, bridge.acks) == (False, 1)
    assert f"127.0.0.1:{server.port}/restarts" in bridge.commits.complaint
    server.start()
    bridge.log(3)
    bridge.commit()
    assert (bridge.commits.writable, bridge.commits.complaint, bridge.acks) == (True, "", 2)
    assert sorted(each.message.sequence for each in store.recent(9)) == [1, 2, 3]
    store.close()


@pytest.mark.slow
def test_a_database_that_is_dropped_is_a_sentence_and_no_crash(server: PostgreSQL) -> None:
    url = _made(server, "lost")
    store = Store(url)
    store.open(1.0)
    bridge = _Committing(store)
    _made(server, "beside", "DROP DATABASE lost WITH (FORCE)")
    bridge.log(1)
    bridge.commit()
    assert (bridge.commits.writable, bridge.acks) == (False, 0)
    assert 'database "lost" does not exist' in bridge.commits.complaint
    log = PredictionLog(url)
    with pytest.raises(StoreError, match="make it reachable and readable"):
        log.count(PredictionFilter())
    store.close()


@pytest.mark.slow
def test_a_wrong_password_is_a_sentence_that_does_not_tell_it(server: PostgreSQL) -> None:
    _made(server, "guarded", "CREATE ROLE bridge LOGIN PASSWORD 'right'", "ALTER DATABASE guarded OWNER TO bridge")
    rules = server.data / "pg_hba.conf"
    rules.write_text("host all bridge 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    server.stop()
    server.start()
    store = Store(server.url("guarded", "bridge:right"))
    store.open(1.0)
    store.close()
    wrong = Store(server.url("guarded", "bridge:hunter2"))
    with pytest.raises(StoreError, match="password authentication failed") as error:
        wrong.open(1.0)
    assert "hunter2" not in str(error.value)
    assert "make it reachable and writable" in str(error.value)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tables_locked_for_half_a_minute_delay_acknowledgements_and_lose_nothing(
    server: PostgreSQL, broker: Broker, tmp_path: Path
) -> None:
    url = _made(server, "locked")
    with BridgeProcess(tmp_path, broker.port, database=url) as bridge, Publisher(broker.port, "cam-1", 1000) as device:
        device.say_hello()
        device.send(prediction("cam-1", (1000, 1)), "prediction")
        device.wait_for_ack((1000, 1))
        engine = sa.create_engine(url.replace("postgresql", "postgresql+psycopg"))
        with engine.begin() as holder:
            holder.exec_driver_sql("LOCK TABLE predictions, devices, marks IN ACCESS EXCLUSIVE MODE")
            device.send(telemetry("cam-1", (1000, 2), 150, oldest=(1000, 1)), "telemetry")
            device.send(prediction("cam-1", (1000, 3), oldest=(1000, 1)), "prediction")
            holder.exec_driver_sql("SELECT pg_sleep(30)")
            assert max(device.acks) == (1000, 1)
            eventually(lambda: "canceling statement due to lock timeout" in bridge.log(), bridge.log)
            assert 'edgewise_frames_per_second{site="home",device="cam-1"} 14.9' in bridge.metrics()
        device.wait_for_ack((1000, 3))
        bridge.wait_for("/metrics", 'edgewise_frames_total{site="home",device="cam-1"} 150')
    log = PredictionLog(url)
    assert log.count(PredictionFilter(device="cam-1")) == 2
    log.close()

"""From a window on the wire to what drift knows: only of the session that is on, and stored with what it came with."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.watch import Drift, Place
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.ingest.commit import RETRY_S, Clock, Commits
from edge_bridge.ingest.intake import Intake
from edge_bridge.ingest.settings import LogSettings
from edge_bridge.link import Arrival
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.storage.store import Store
from edge_contract import topics
from edge_contract.messages import Telemetry, encode
from tests.bridge.drift.people import Camera

MIX, BUCKETS = {"happy": 1.0, "sad": 1.0}, {9: 1.0}


class Pipeline:
    """An intake, its drift, and a real SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.now, url = 1000.0, f"sqlite:///{folder / 'log.db'}"
        self.store = Store(url)
        self.store.open(self.now)
        remembered = self.store.remembered(self.now)
        metrics, clock = BridgeMetrics(CollectorRegistry()), Clock(lambda: self.now, lambda: self.now)
        self.fleet = FleetState(LimitSettings(), MetricSettings(), remembered.devices)
        self.drift = Drift(DriftSettings(), lambda _: None, lambda _: Place("home"), remembered.drift)
        self.commits = Commits(
            self.fleet, self.store, metrics=metrics, settings=LogSettings(), clock=clock, acknowledge=lambda _: None,
            progress=remembered.progress, drift=self.drift,
        )  # fmt: skip
        self.intake = Intake(self.fleet, self.commits, metrics=metrics, clock=clock, drift=self.drift)

    def take_in(self, *windows: Telemetry) -> None:
        topic = topics.device("cam", "telemetry")
        self.intake.take_in([Arrival(topic, encode(each)) for each in windows])

    def tracks(self) -> int:
        (state,) = self.drift.states()
        return state.baseline.tracks + len(state.block.cells)


def test_tracks_are_judged_and_a_bridge_that_is_started_again_goes_on_with_every_one(tmp_path: Path) -> None:
    camera, first = Camera(), Pipeline(tmp_path)
    first.take_in(*(camera.window(MIX, BUCKETS) for _ in range(25)))
    first.commits.commit()
    first.take_in(*(camera.window(MIX, BUCKETS) for _ in range(5)))
    assert first.tracks() == 30
    first.store.close()  # killed: what came since the commit was not acknowledged and comes again
    second = Pipeline(tmp_path)
    second.take_in(camera.window(MIX, BUCKETS))
    assert second.tracks() == 31
    second.store.close()


def test_windows_of_a_run_that_is_over_are_left_out(tmp_path: Path) -> None:
    old, new, pipeline = Camera(), Camera(seed=2), Pipeline(tmp_path)
    new.session = 6
    pipeline.take_in(old.window(MIX, BUCKETS), new.window(MIX, BUCKETS), old.window(MIX, BUCKETS))
    assert pipeline.tracks() == 2
    pipeline.store.close()


def test_states_that_could_not_be_stored_are_stored_later_and_a_device_out_of_service_is_deleted(
    tmp_path: Path,
) -> None:
    camera, pipeline = Camera(), Pipeline(tmp_path)
    pipeline.take_in(*(camera.window(MIX, BUCKETS) for _ in range(25)))
    with pipeline.store._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE drift RENAME TO elsewhere")
    pipeline.commits.commit()
    assert not pipeline.commits.writable
    with pipeline.store._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO drift")
    pipeline.now += 2 * RETRY_S
    pipeline.commits.commit()
    assert [each.device for each in pipeline.store.remembered(1.0).drift] == ["cam"]
    pipeline.intake.take_in([Arrival(topics.device("cam", "availability"), b"")])
    pipeline.now += 2 * RETRY_S
    pipeline.commits.commit()
    assert pipeline.store.remembered(1.0).drift == []
    pipeline.store.close()

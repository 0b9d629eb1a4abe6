"""The pipeline without its thread: what happens while the database refuses, with a clock of the test's own."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.ingest import commit
from edge_bridge.ingest.commit import Clock, Commits
from edge_bridge.ingest.decoding import KINDS
from edge_bridge.ingest.intake import Intake
from edge_bridge.ingest.settings import LogSettings
from edge_bridge.link import Arrival
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.storage.store import Store
from edge_contract import messages, topics
from edge_contract.messages import Ack, Message
from tests.bridge.publisher import info, prediction, telemetry


class _Pipeline:
    """An intake on a real SQLite file; a dropped table stands for a database that refuses."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.acks: list[Ack] = []
        self.store = Store(f"sqlite:///{folder / 'log.db'}")
        self.store.open(self.now)
        self.metrics = BridgeMetrics(CollectorRegistry())
        self.fleet = FleetState(LimitSettings(), MetricSettings())
        clock = Clock(lambda: self.now, lambda: self.now)
        self.commits = Commits(
            self.fleet,
            self.store,
            metrics=self.metrics,
            settings=LogSettings(),
            clock=clock,
            acknowledge=self._acknowledged,
            progress={},
        )
        self.intake = Intake(self.fleet, self.commits, metrics=self.metrics, clock=clock)

    def say(self, *said: tuple[topics.DeviceLeaf, Message]) -> None:
        self.intake.take_in([Arrival(topics.device("cam", leaf), messages.encode(each)) for leaf, each in said])

    def refuse(self, *, refusing: bool) -> None:
        with self.store._engine.begin() as connection:
            before, after = ("predictions", "elsewhere") if refusing else ("elsewhere", "predictions")
            connection.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}")

    def commit(self) -> None:
        self.now += 2 * commit.RETRY_S
        self.commits.commit()

    def _acknowledged(self, said: Sequence[tuple[str, bytes]]) -> None:
        self.acks += [messages.decode(payload, Ack) for _, payload in said]


def test_nothing_is_acknowledged_before_it_is_committed(tmp_path: Path) -> None:
    pipeline = _Pipeline(tmp_path)
    pipeline.say(("prediction", prediction("cam", (5, 1))))
    assert pipeline.acks == []
    pipeline.commit()
    assert pipeline.acks == [Ack(session=5, sequence=1)]


def test_a_device_that_changes_its_labels_too_often_is_named_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = _Pipeline(tmp_path)
    for number in range(3 * LimitSettings().label_changes):
        pipeline.say(("info", replace(info("cam", 5), agent=f"agent-{number}")))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("cam changes its model or inventory too often")
    assert "limits.label_changes" in said
    counted = pipeline.metrics.registry.get_sample_value("edgewise_bridge_limit_passed_total", {"what": "labels"})
    assert counted == 2 * LimitSettings().label_changes


def test_what_the_database_refused_is_committed_and_acknowledged_later(tmp_path: Path) -> None:
    pipeline = _Pipeline(tmp_path)
    pipeline.refuse(refusing=True)
    pipeline.say(("prediction", prediction("cam", (5, 1))), ("telemetry", telemetry("cam", (5, 2), 9, oldest=(5, 1))))
    pipeline.commit()
    assert (pipeline.acks, pipeline.commits.writable) == ([], False)
    assert pipeline.fleet.devices["cam"].counters["frames"] == 9
    pipeline.refuse(refusing=False)
    pipeline.say(("prediction", prediction("cam", (5, 3), oldest=(5, 1))))
    pipeline.commit()
    assert (pipeline.acks, pipeline.commits.writable) == ([Ack(session=5, sequence=3)], True)
    assert [each.message.sequence for each in pipeline.store.recent(9)] == [3, 1]
    (device,) = pipeline.store.remembered(2.0).devices
    assert device.counters["frames"] == 9


def test_what_is_dropped_is_not_acknowledged_and_comes_again(tmp_path: Path) -> None:
    pipeline = _Pipeline(tmp_path)
    pipeline.refuse(refusing=True)
    many = [("prediction", prediction("cam", (5, each), oldest=(5, 1))) for each in range(1, commit.UNSAVED + 2)]
    pipeline.say(*many)  # type: ignore[arg-type]
    pipeline.commit()
    pipeline.refuse(refusing=False)
    pipeline.say(("prediction", prediction("cam", (5, commit.UNSAVED + 2), oldest=(5, 1))))
    pipeline.commit()
    assert pipeline.acks == [Ack(session=5, sequence=0)]  # nothing of it: the device sends all again
    pipeline.say(*many[:10])  # type: ignore[arg-type]
    pipeline.commit()
    assert pipeline.acks[-1] == Ack(session=5, sequence=10)


def test_an_idle_pipeline_commits_nothing(tmp_path: Path) -> None:
    pipeline = _Pipeline(tmp_path)
    pipeline.say(("telemetry", telemetry("cam", (5, 1), 9)))
    pipeline.commit()
    before = pipeline.metrics.commits.collect()
    pipeline.commit()
    assert pipeline.metrics.commits.collect() == before


def _without_a_store() -> Intake:
    fleet, metrics = FleetState(LimitSettings(), MetricSettings()), BridgeMetrics(CollectorRegistry())
    clock = Clock(lambda: 1.0, lambda: 1.0)
    commits = Commits(
        fleet,
        Store("sqlite://"),
        metrics=metrics,
        settings=LogSettings(),
        clock=clock,
        acknowledge=lambda _: None,
        progress={},
    )
    return Intake(fleet, commits, metrics=metrics, clock=clock)


_SHARED = _without_a_store()


@settings(max_examples=300)
@given(
    st.one_of(st.text(max_size=40), st.sampled_from([f"edgewise/v1/device/cam/{leaf}" for leaf in KINDS])),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["session", "sequence", "oldest", "device", "state"]), inner, max_size=5
                )
            ),
            max_leaves=8,
        ).map(lambda value: messages.json.encode(value) if _fits(value) else b""),
    ),
)
def test_no_message_ends_the_pipeline(topic: str, payload: bytes) -> None:
    _SHARED.take_in([Arrival(topic, payload)])


def _fits(value: object) -> bool:
    try:
        messages.json.encode(value)
    except (OverflowError, ValueError):
        return False
    return True

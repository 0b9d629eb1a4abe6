"""A device that says anything at all, and a bridge that starts again after every message: it starts, and it answers.

The ingest is the bridge's own on a real database; each restart reads what the one before it stored, and then everything
is drawn that a browser or Prometheus would ask for.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from edge_bridge.fleet.conditions import Rule, conditions
from edge_bridge.fleet.history import EVERY_S, History
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_bridge.fleet.state import FleetState
from edge_bridge.ingest.commit import RETRY_S, Clock, Commits
from edge_bridge.ingest.decoding import KINDS
from edge_bridge.ingest.intake import RECENT, Intake
from edge_bridge.ingest.settings import LogSettings
from edge_bridge.link import Arrival
from edge_bridge.metrics import exposition
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.storage.store import Store
from edge_bridge.web.dashboard import charts, device_facts, device_table, listing, problems
from edge_bridge.web.dashboard.pages.home import prediction_rows
from edge_contract import messages, topics
from edge_contract.messages import Ack, Message
from tests.bridge.publisher import info, prediction, reported, telemetry

LARGEST = messages.LARGEST
SHOWN_ONE_BY_ONE = MetricSettings(per_device=("all",))


class Restarted:
    """A bridge's ingest that starts anew for every message, on one database."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_790_000_000.0
        self.acks: list[Ack] = []
        self.refused: dict[str, float] = {}
        self._url = f"sqlite:///{folder / 'log.db'}"
        self._history = History(180.0)

    def takes_in(self, leaf: str, payload: bytes) -> FleetState:
        """Start, take this in, commit, draw everything, end."""
        self.now += 2 * max(RETRY_S, EVERY_S)
        store, metrics = Store(self._url), BridgeMetrics(CollectorRegistry())
        store.open(self.now)
        remembered = store.remembered(self.now)
        assert remembered.damaged == []
        fleet = FleetState(LimitSettings(), SHOWN_ONE_BY_ONE, remembered.devices, remembered.sums.items())
        clock = Clock(lambda: self.now, lambda: self.now)
        commits = Commits(
            fleet,
            store,
            metrics=metrics,
            settings=LogSettings(),
            clock=clock,
            acknowledge=self._acknowledged,
            progress=remembered.progress,
        )
        intake = Intake(fleet, commits, metrics=metrics, clock=clock)
        intake.recent.extend(reversed(store.recent(RECENT)))
        intake.take_in([Arrival(f"edgewise/v1/device/cam/{leaf}", payload)])
        commits.commit()
        assert commits.writable or not (commits._unsaved or commits._next)
        self.refused = {
            each.labels["reason"]: each.value
            for family in metrics.refused.collect()
            for each in family.samples
            if each.name.endswith("_total")
        }
        self._draw(fleet, intake)
        store.close()
        return fleet

    def says(self, leaf: topics.DeviceLeaf, message: Message, **changed: Any) -> FleetState:
        """A message of which some fields are others, also such as no honest device can encode."""
        return self.takes_in(leaf, json.dumps(json.loads(messages.encode(message)) | changed).encode())

    def _draw(self, fleet: FleetState, intake: Intake) -> None:
        devices = list(fleet.devices.values())
        text = exposition.write(devices, fleet.sums, self.now, 180.0)
        assert list(text_string_to_metric_families(text))
        self._history.sample(fleet, self.now)
        rule = Rule(180.0, 0.25)
        rows = [
            listing.row_of(each, self.now, 180.0, conditions(each, self.now, rule, fleet.cards)) for each in devices
        ]
        for query in (listing.Query(), *(listing.Query(sort=sort) for sort in listing.SORTS)):
            assert listing.find(rows, query).total == len(devices)
        shown: list[object] = [
            device_table.shown(rows, self.now, ""),
            [list(each) for section in problems.find(rows, fleet.groups) for each in section.problems],
            prediction_rows(intake.recent.copy()),
            *([facts(each) for each in devices] for facts in (device_facts.counters, device_facts.pictures)),
            [device_facts.inventory(each, self.now) for each in devices],
            [device_facts.lineage(each, fleet.cards) for each in devices],
            [device_facts.why(each, fleet.groups) for each in devices],
            [charts.stages(device_facts.stages(each)) for each in devices],
            [charts.mix(device_facts.answers(each)) for each in devices],
            charts.mix(self._history.mix()),
            charts.latency(self._history.latency()),
            charts.frames(self._history.samples),
        ]
        assert b"Infinity" not in orjson.dumps(shown)

    def _acknowledged(self, said: Sequence[tuple[str, bytes]]) -> None:
        self.acks += [messages.decode(payload, Ack) for _, payload in said]


@pytest.fixture
def bridge(tmp_path: Path) -> Restarted:
    return Restarted(tmp_path)


def _honest(bridge: Restarted, sequence: int) -> None:
    """An honest message is counted and acknowledged."""
    fleet = bridge.says("telemetry", telemetry("cam", (5, sequence), 30 * sequence, oldest=(5, sequence)))
    assert fleet.devices["cam"].counters["frames"] >= 30
    assert bridge.refused == {}
    assert bridge.acks[-1] == Ack(session=5, sequence=sequence)


@pytest.mark.parametrize("leaf", ["prediction", "telemetry"])
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"oldest": [5, 0]}, "order"),
        ({"oldest": [5, 3]}, "order"),
        ({"oldest": [LARGEST, LARGEST]}, "order"),
        ({"sequence": 0, "oldest": [5, 0]}, "order"),
        ({"oldest": [5, -1]}, "malformed"),
        ({"session": 2**64}, "malformed"),
        ({"session": 2**63}, "malformed"),
        ({"sequence": 10**30, "oldest": [5, 10**30]}, "malformed"),
        ({"oldest": [2**70, 1]}, "malformed"),
        ({"oldest": [1, 2, 3]}, "malformed"),
    ],
)
def test_a_key_that_cannot_be_is_refused(
    bridge: Restarted, leaf: topics.DeviceLeaf, changed: dict[str, Any], reason: str
) -> None:
    _honest(bridge, 1)
    message = prediction("cam", (5, 2)) if leaf == "prediction" else telemetry("cam", (5, 2), 60)
    bridge.says(leaf, message, **changed)
    assert bridge.refused == {reason: 1.0}
    _honest(bridge, 3)


@pytest.mark.parametrize(
    ("leaf", "message", "changed"),
    [
        ("prediction", prediction("cam", (5, 2)), {"time": 1_790_000_000_000.0}),
        ("prediction", prediction("cam", (5, 2)), {"time": 1e18}),
        ("prediction", prediction("cam", (5, 2)), {"latency": 1e300}),
        ("prediction", prediction("cam", (5, 2)), {"box": [1e300, 0.0, 1.0, 1.0]}),
        ("prediction", prediction("cam", (5, 2)), {"time": float("nan")}),
        ("telemetry", telemetry("cam", (5, 2), 60), {"end": 1e18}),
        ("telemetry", telemetry("cam", (5, 2), 60), {"gauges": {"temperature_celsius": 1e300}}),
        ("telemetry", telemetry("cam", (5, 2), 60), {"gauges": {"fps": -1e300}}),
        ("telemetry", telemetry("cam", (5, 2), 60), {"gauges": {"anything": float("inf")}}),
        ("telemetry", telemetry("cam", (5, 2), 60), {"confidence": {"counts": [0] * 10, "sum": 1e308}}),
        ("telemetry", telemetry("cam", (5, 2), 60), {"confidence": {"counts": [0] * 10, "sum": -1.0}}),
        ("telemetry", telemetry("cam", (5, 2), 60), {"counters": {"frames": 2**63}}),
        ("reported", reported("cam", 5), {"time": 1_790_000_000_000.0}),
        ("info", info("cam", 5), {"started": 1e18}),
        ("info", info("cam", 5), {"session": 2**64}),
    ],
)
def test_a_number_out_of_range_is_refused_at_the_door(
    bridge: Restarted, leaf: topics.DeviceLeaf, message: Message, changed: dict[str, Any]
) -> None:
    _honest(bridge, 1)
    bridge.says(leaf, message, **changed)
    assert bridge.refused == {"malformed": 1.0}
    _honest(bridge, 3)


def test_counts_that_add_up_past_what_can_be_stored_stay_at_the_bound(bridge: Restarted) -> None:
    full = {"counts": [LARGEST] * 10, "sum": 2.0**53}
    stages = {"whole": {"counts": [LARGEST] * 19, "sum": 2.0**53}}
    for session in range(1, 5):
        fleet = bridge.says(
            "telemetry",
            telemetry("cam", (session, session), 1, oldest=(session, session)),
            counters={"frames": LARGEST},
            emotions={"happy": LARGEST},
            confidence=full,
            stages=stages,
        )
    (total,) = fleet.sums.values()
    assert total.confidence == messages.Histogram(counts=(LARGEST,) * 10, sum=2.0**53)
    assert fleet.devices["cam"].counters == {"frames": LARGEST}
    assert fleet.devices["cam"].emotions == {"emotion-2": {"happy": LARGEST}}


_WHOLE = st.sampled_from([0, 1, 2, 5, 2**31, 2**53, LARGEST - 1, LARGEST, 2**63, 2**64, 10**30, -1])
_NUMBER = st.sampled_from([0.0, 0.5, 1.0, 1e9, 1.79e12, 2.0**53, 1e18, 1e300, 1.7e308, -1.0, -1e300])
_TEXT = st.one_of(
    st.sampled_from(
        ["happy", "frames", "fps", "whole", "temperature_celsius", "throttled", "\0", "\x1b[31m", 'a"\\\n']
    ),
    st.text(max_size=8),
)
_HISTOGRAM = st.fixed_dictionaries(
    {"counts": st.one_of(st.lists(_WHOLE, max_size=3), *(st.lists(_WHOLE, min_size=n, max_size=n) for n in (10, 19)))},
).flatmap(lambda found: _NUMBER.map(lambda total: found | {"sum": total}))
_MODEL = st.fixed_dictionaries({"name": st.just("emotion"), "release": _WHOLE, "digest": st.just("ab" * 32)})
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "session": _WHOLE,
    "sequence": _WHOLE,
    "oldest": st.lists(_WHOLE, min_size=2, max_size=2),
    "time": _NUMBER,
    "start": _NUMBER,
    "end": _NUMBER,
    "started": _NUMBER,
    "latency": _NUMBER,
    "progress": _NUMBER,
    "track": _WHOLE,
    "revision": _WHOLE,
    "site": st.sampled_from(["home", "lab", "", "x" * 65]),
    "label": _TEXT,
    "reason": _TEXT,
    "board": _TEXT,
    "state": st.sampled_from(["online", "offline", "stopped", "idle", "committed", "downloading", "rejected"]),
    "model": st.none() | _MODEL,
    "active": st.none() | _MODEL,
    "target": st.none() | _MODEL,
    "counters": st.dictionaries(_TEXT, _WHOLE, max_size=3),
    "emotions": st.dictionaries(_TEXT, _WHOLE, max_size=3),
    "gauges": st.dictionaries(_TEXT, _NUMBER, max_size=3),
    "stages": st.dictionaries(_TEXT, _HISTOGRAM, max_size=2),
    "confidence": st.one_of(_NUMBER, _HISTOGRAM),
    "box": st.lists(_NUMBER, min_size=4, max_size=4),
}
_HONEST: dict[str, Message] = {
    "availability": messages.Availability(state="online", session=5),
    "info": info("cam", 5),
    "reported": reported("cam", 5),
    "telemetry": telemetry("cam", (5, 2), 60),
    "prediction": prediction("cam", (5, 2), time=1_790_000_000.0),
}


@st.composite
def _said(draw: st.DrawFn) -> tuple[str, bytes]:
    leaf = draw(st.sampled_from(sorted(KINDS)))
    fields = json.loads(messages.encode(_HONEST[leaf]))
    for name in draw(st.lists(st.sampled_from(sorted(fields.keys() & _FIELDS.keys())), max_size=3, unique=True)):
        fields[name] = draw(_FIELDS[name])
    return leaf, json.dumps(fields).encode()


@settings(max_examples=25)
@given(st.lists(_said(), min_size=1, max_size=12))
def test_after_any_stream_of_messages_the_bridge_starts_and_answers(stream: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bridge = Restarted(Path(folder))
        for leaf, payload in stream:
            bridge.takes_in(leaf, payload)

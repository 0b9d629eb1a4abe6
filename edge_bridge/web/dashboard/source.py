"""Where the pages take what they show: one look at the fleet, shared by every open page for a second.

`Source.look` copies references to frozen records under the fleet's lock and works everything else out outside of it; a
record that has not changed keeps its row. Pages call it on a worker thread, never on the event loop.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edge_bridge.drift.view import Alarm
from edge_bridge.drift.watch import Drift
from edge_bridge.fleet import record
from edge_bridge.fleet.conditions import Condition, Kind, Rule, conditions
from edge_bridge.fleet.device_history import DeviceHistory
from edge_bridge.fleet.history import History
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.state import FleetState, Key, Sum
from edge_bridge.labels.accuracy import Accuracy
from edge_bridge.labels.desk import Desk
from edge_bridge.storage.engine import StoreError
from edge_bridge.storage.event_log import EventLog
from edge_bridge.storage.prediction_query import PredictionLog
from edge_bridge.storage.store import LoggedPrediction
from edge_bridge.web.alertmanager import Alertmanager
from edge_bridge.web.dashboard import listing, problems
from edge_bridge.web.dashboard.listing import Offer, Row
from edge_bridge.web.dashboard.problems import Section
from edge_bridge.web.settings import WebSettings
from edge_contract.group_status import GroupStatus
from edge_contract.loop_status import LoopStatus
from edge_contract.metrics import DeviceGauge
from edge_contract.release_card import ReleaseCard
from edge_contract.visible import visible

SHARED_S: Final = 0.9
"""A look is as good for another page within this time."""
ROW_S: Final = 10.0
"""A row whose record is the same is worked out anew after this time: some of what is wrong is so by the clock."""


class Numbers(NamedTuple):
    """The fleet at a glance."""

    devices: int
    up: int
    fps: float | None
    p95: float | None
    """Seconds."""
    faces: int
    """Over the last few minutes."""
    troubled: int


class Look(NamedTuple):
    """What every page shows now."""

    time: float
    devices: Mapping[str, Device]
    rows: Sequence[Row]
    offer: Offer
    sections: Sequence[Section]
    numbers: Numbers
    groups: Mapping[str, GroupStatus]
    cards: Mapping[str, ReleaseCard]
    loops: Mapping[str, LoopStatus]
    sums: Mapping[Key, Sum]
    labelled: Mapping[str, Accuracy]
    """How right each release was by labels from the field; empty where nothing is labelled."""
    warning: str
    """What keeps this page from being true or whole; empty where nothing does."""


@dataclass(slots=True, kw_only=True)
class Source:
    """See the module."""

    fleet: FleetState
    history: History
    device_history: DeviceHistory
    recent: deque[LoggedPrediction]
    clock: Callable[[], float]
    """Seconds since 1970."""
    silent_after: float
    connected: Callable[[], bool]
    complaints: Callable[[], Sequence[str]]
    """What is wrong with the bridge itself, a sentence each; may read files."""
    broker: str
    drift: Drift
    events: EventLog
    predictions: PredictionLog
    alertmanager: Alertmanager
    web: WebSettings
    desk: Desk | None = None
    """Where labels are collected."""
    _look: Look | None = field(default=None, init=False)
    _rows: dict[str, tuple[Device, tuple[Condition, ...], float, Row]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def look(self) -> Look:
        """What to show now; takes about 0.1 s for ten thousand devices, of which most have not changed."""
        with self._lock:
            now = self.clock()
            if self._look is None or not 0 <= now - self._look.time < SHARED_S:
                self._look = self._made(now)
            return self._look

    def _made(self, now: float) -> Look:
        with self.fleet.lock:
            devices, groups = dict(self.fleet.devices), dict(self.fleet.groups)
            cards, sums, loops = dict(self.fleet.cards), dict(self.fleet.sums), dict(self.fleet.loops)
        rows = self._rows_of(devices, withdrawn_of(cards), self.drift.alarms(now), now)
        return Look(
            time=now,
            devices=devices,
            rows=rows,
            offer=listing.offered(rows),
            sections=problems.find(rows, groups, self.alertmanager.now, now),
            numbers=self._numbers(devices, rows, now),
            groups=groups,
            cards=cards,
            loops=loops,
            sums=sums,
            labelled=self._labelled(),
            warning=self._warning(),
        )

    def _rows_of(
        self, devices: Mapping[str, Device], withdrawn: frozenset[str], alarms: Sequence[Alarm], now: float
    ) -> list[Row]:
        drifting: dict[str, tuple[Condition, ...]] = {}
        for alarm in alarms:
            told = Condition(Kind.DRIFT, alarm.sentence.rstrip("."))
            drifting[alarm.device] = (*drifting.get(alarm.device, ()), told)
        rule = Rule(self.silent_after, self.web.slow_ms / 1000)
        kept: dict[str, tuple[Device, tuple[Condition, ...], float, Row]] = {}
        for name, device in devices.items():
            more = drifting.get(name, ())
            before = self._rows.get(name)
            if before is None or before[0] is not device or before[1] != more or not 0 <= now - before[2] < ROW_S:
                found = conditions(device, now, rule, withdrawn) + more
                before = (device, more, now, listing.row_of(device, now, self.silent_after, found))
            kept[name] = before
        self._rows = kept
        return [each[3] for each in kept.values()]

    def _numbers(self, devices: Mapping[str, Device], rows: Sequence[Row], now: float) -> Numbers:
        present = [each for each in devices.values() if record.up(each, now, self.silent_after)]
        fps = [each.gauges[DeviceGauge.FPS] for each in present if DeviceGauge.FPS in each.gauges]
        latency = next((each.p95 for each in reversed(self.history.latency()) if each.p95 is not None), None)
        return Numbers(
            devices=len(devices),
            up=len(present),
            fps=sum(fps) if fps else None,
            p95=latency if present else None,
            faces=sum(self.history.mix().values()),
            troubled=problems.worst(rows),
        )

    def _labelled(self) -> Mapping[str, Accuracy]:
        try:
            return self.desk.report().accuracy if self.desk is not None else {}
        except StoreError:  # the collector says so
            return {}

    def _warning(self) -> str:
        away = (
            f"Not connected to the MQTT broker at {self.broker}: start it, or name another with --broker. "
            "What follows is what was last received."
        )
        said = [visible(each[:1].upper() + each[1:]).rstrip(".") + "." for each in self.complaints()]
        return "\n".join(said if self.connected() else [away, *said])


def withdrawn_of(cards: Mapping[str, ReleaseCard]) -> frozenset[str]:
    """Digests of the releases that are not to run any more."""
    return frozenset(digest for digest, card in cards.items() if card.withdrawn)

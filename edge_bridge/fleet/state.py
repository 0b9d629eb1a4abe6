"""The fleet as its messages describe it: every device, and sums of latency and confidence by site and model.

`FleetState.apply` is a pure fold: the same messages and times give the same state; no clock, socket or database here.
One thread applies; others read under `lock`. Records are frozen, so a reader may keep what it took.

The sums stand by themselves and never shrink: a device that goes away, restarts or changes its model leaves what it
counted. That is what keeps a rate over them straight.
"""

import contextlib
import enum
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, assert_never

from msgspec import Struct
from msgspec.structs import replace

from edge_bridge.fleet import announced, record
from edge_bridge.fleet.histograms import merged_all, of_confidence, of_stage
from edge_bridge.fleet.label_budget import OTHER
from edge_bridge.fleet.measured import measured
from edge_bridge.fleet.pool import Pool
from edge_bridge.fleet.record import Device
from edge_bridge.fleet.settings import LimitSettings, MetricSettings
from edge_contract.group_status import GroupStatus
from edge_contract.loop_status import LoopStatus
from edge_contract.messages import (
    STAGES,
    Availability,
    Histogram,
    Info,
    Prediction,
    Reported,
    Telemetry,
)
from edge_contract.release_card import ReleaseCard

EVERY_DEVICE: Final = "all"
"""The name in `metrics.per_device` that stands for every device."""

DeviceMessage = Availability | Info | Reported | Telemetry | Prediction


class Outcome(enum.Enum):
    """What became of a message; the values are label values of a metric."""

    APPLIED = "applied"
    REPEATED = "repeated"
    """Already counted, or of a session that was superseded."""
    REFUSED_DEVICE = "device-limit"
    REFUSED_SHAPE = "shape"
    """A histogram has not one count per bucket."""
    REFUSED_GROUP = "group-limit"
    REFUSED_CARD = "card-limit"
    REFUSED_LOOP = "loop-limit"


class Sum(Struct, frozen=True, gc=False):
    """Latency by stage and confidence, added up over the devices of one site that ran one model."""

    stages: dict[str, Histogram] = {}
    confidence: Histogram | None = None
    tracks: dict[str, Histogram] = {}
    """Confidence of face tracks, by label."""


class Key(NamedTuple):
    """What a sum is over."""

    site: str
    model: str


class Changes(NamedTuple):
    """Records that changed since they were last taken: what has to be stored. None is a device that was forgotten."""

    devices: dict[str, Device | None]
    sums: dict[Key, Sum]


class FleetState:
    """See the module; start it with the records that were stored."""

    def __init__(
        self,
        limits: LimitSettings,
        metrics: MetricSettings,
        devices: Iterable[Device] = (),
        sums: Iterable[tuple[Key, Sum]] = (),
    ) -> None:
        self.lock = threading.Lock()
        self.devices: dict[str, Device] = {each.id: each for each in devices}
        self.sums: dict[Key, Sum] = dict(sums)
        self.counted: dict[str, Device] = dict(self.devices)
        """Each device as it is stored: what a restart goes on from. A counter that is shown from here never falls."""
        self.counted_sums: dict[Key, Sum] = dict(self.sums)
        self.newest: dict[Key, tuple[Prediction, float]] = {}
        """The newest prediction of each site and model that has a sum, and when it came."""
        self.groups: dict[str, GroupStatus] = {}
        """How each group stands, as the release side said last."""
        self.loops: dict[str, LoopStatus] = {}
        """How the retraining loop of each model stands, as it said last."""
        self.cards: dict[str, ReleaseCard] = {}
        """What each release is, by the model's digest."""
        self.passed: Counter[str] = Counter()
        """What passed a limit and was not kept, by what it is; `take_in` moves it into a metric."""
        self.restless: list[str] = []
        """Devices that began to change their labels too often; `take_in` names them in the log."""
        self._pool = Pool()
        self._left: dict[str, Device] = {}
        self._limits, self._metrics = limits, metrics
        self._gains: defaultdict[Key, _Gains] = defaultdict(_Gains)
        self._together = False
        self._changed_devices: set[str] = set()
        self._changed_sums: set[Key] = set()

    def apply(self, device_id: str, message: DeviceMessage, now: float) -> Outcome:
        """Apply one decoded message of the device that its topic names; `now` is seconds since 1970."""
        known = self.devices.get(device_id)
        if known is None:
            if len(self.devices) >= self._limits.devices:
                return Outcome.REFUSED_DEVICE
            known = self._left.pop(device_id, None) or Device(id=device_id)
        changed: Device | None
        match message:
            case Prediction():
                changed = record.received(known, message.session, now)
                if not changed.site:
                    changed = record.at(changed, message.site, self._limits.sites)
                # When it was last seen is stored with the next thing that matters, not for every prediction.
                stored = (changed.session, changed.presence, changed.site) != (
                    known.session,
                    known.presence,
                    known.site,
                )
                self._keep(changed, stored=stored)
                key = Key(message.site, record.short(message.model))
                if key in self.sums or key in self._gains:
                    self.newest[key] = (message, now)
                return Outcome.APPLIED
            case Telemetry():
                return self._measure(known, message, now)
            case Availability():
                changed = record.available(known, message, now)
            case Info():
                message = self._pool.info(message)
                changed = record.informed(known, message, now, self._limits)
                self.passed["sites"] += int(changed is not None and changed.site != message.site)
                self.passed["labels"] += int(changed is not None and changed.waiting_info is message)
            case Reported():
                message = self._pool.reported(message)
                changed = record.reporting(known, message, now, self._limits)
                self.passed["labels"] += int(changed is not None and changed.waiting_reported is message)
            case _:
                assert_never(message)
        if changed is None:
            return Outcome.REPEATED
        self._note_restless(known, changed, now)
        self._keep(changed)
        return Outcome.APPLIED

    def forget(self, device_id: str) -> None:
        """The device was taken out of service: drop its record. What it counted stays in the sums.

        A device may say so of itself, so what it used of its limits is kept for as long as this process runs.
        """
        with self.lock:
            known = self.devices.pop(device_id, None)
        if known is not None:
            self._changed_devices.add(device_id)
            self._left[device_id] = record.left(known)
            if len(self._left) > self._limits.devices:
                del self._left[next(iter(self._left))]

    def take_group(self, name: str, status: GroupStatus | None) -> Outcome:
        """How the group of this name stands; None: it is no more."""
        with self.lock:
            if status is None:
                self.groups.pop(name, None)
            elif name not in self.groups and len(self.groups) >= announced.GROUPS:
                return Outcome.REFUSED_GROUP
            else:
                self.groups[name] = status
        return Outcome.APPLIED

    def take_loop(self, model: str, status: LoopStatus | None) -> Outcome:
        """How the loop of this model stands; None: it is no more."""
        with self.lock:
            if status is None:
                self.loops.pop(model, None)
            elif model not in self.loops and len(self.loops) >= announced.LOOPS:
                return Outcome.REFUSED_LOOP
            else:
                self.loops[model] = status
        return Outcome.APPLIED

    def take_card(self, digest: str, card: ReleaseCard | None) -> Outcome:
        """What the release with this digest is; None: the broker holds nothing of it any more."""
        with self.lock:
            if card is None:
                self.cards.pop(digest, None)
                return Outcome.APPLIED
            if digest not in self.cards and len(self.cards) >= announced.CARDS:
                needed = announced.named(self.devices.values(), self.groups.values())
                oldest = announced.to_make_room(self.cards, needed)
                if oldest is None:
                    return Outcome.REFUSED_CARD
                del self.cards[oldest]
            self.cards[digest] = card
        return Outcome.APPLIED

    def take_changes(self) -> Changes:
        """What changed since the last call; the caller stores all of it together, or returns it by `put_back`."""
        changes = Changes(
            {each: self.devices.get(each) for each in self._changed_devices},
            {key: self.sums[key] for key in self._changed_sums},
        )
        self._changed_devices, self._changed_sums = set(), set()
        return changes

    def stored(self, changes: Changes) -> None:
        """These changes are stored, and count from now on."""
        with self.lock:
            for name, device in changes.devices.items():
                if device is None:
                    self.counted.pop(name, None)
                else:
                    self.counted[name] = device
            self.counted_sums.update(changes.sums)

    def put_back(self, changes: Changes) -> None:
        """These changes could not be stored: they are to be taken again."""
        self._changed_devices |= changes.devices.keys()
        self._changed_sums |= changes.sums.keys()

    def _keep(self, device: Device, *, stored: bool = True) -> None:
        with self.lock:
            self.devices[device.id] = device
        if stored:
            self._changed_devices.add(device.id)

    def _note_restless(self, before: Device, after: Device, now: float) -> None:
        if record.is_restless(after, now) and not record.is_restless(before, now):
            self.restless.append(after.id)

    def _measure(self, known: Device, message: Telemetry, now: float) -> Outcome:
        if not _fits(message):
            return Outcome.REFUSED_SHAPE
        shown = self._metrics.per_device
        window = measured(
            known,
            message,
            now,
            histograms=known.id in shown or EVERY_DEVICE in shown,
            limits=self._limits,
        )
        if window is None:
            return Outcome.REPEATED
        changed, difference = record.caught_up(window.device, now, self._limits), window.gained
        if changed.model is not known.model:
            changed = replace(changed, model=self._pool.model(changed.model))
        self._note_restless(known, changed, now)
        self.passed.update(window.passed)
        changed, gains = self._gains_of(changed, Key(window.site, window.model))
        for stage, gain in difference.stages.items():
            if stage in STAGES:
                gains.stages[stage].append(gain)
        gains.confidence.append(difference.confidence)
        if difference.tracks is not None:
            changed, gains = self._gains_of(changed, Key(window.site, window.tracked))
            for label, gain in difference.tracks.answers.items():
                gains.tracks[label].append(gain)
        with self.lock:
            self.devices[changed.id] = changed
        self._changed_devices.add(changed.id)
        if not self._together:
            self._add_up()
        return Outcome.APPLIED

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Messages of this block are added to the sums at its end: of many together each costs less."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            self._add_up()

    def _gains_of(self, device: Device, key: Key) -> tuple[Device, "_Gains"]:
        """Where what this site and model gain is gathered: (other, other) where there is no room for it."""
        if key not in self.sums and key not in self._gains and key != (OTHER, OTHER):
            many = len(self.sums.keys() | self._gains.keys())
            if many >= self._limits.series_groups or device.groups >= self._limits.groups_per_device:
                self.passed["groups"] += 1
                key = Key(OTHER, OTHER)
            else:
                device = replace(device, groups=device.groups + 1)
        return device, self._gains[key]

    def _add_up(self) -> None:
        totals = {key: gains.added_to(self.sums.get(key, Sum()), self._limits) for key, gains in self._gains.items()}
        self._gains.clear()
        self._changed_sums |= totals.keys()
        with self.lock:
            self.sums.update(totals)


class _Gains:
    """What the devices of one site and model gained and is not in their sum yet."""

    __slots__ = ("confidence", "stages", "tracks")

    def __init__(self) -> None:
        self.stages: defaultdict[str, list[Histogram]] = defaultdict(list)
        self.confidence: list[Histogram] = []
        self.tracks: defaultdict[str, list[Histogram]] = defaultdict(list)

    def added_to(self, total: Sum, limits: LimitSettings) -> Sum:
        """The sum with them; of tracks, labels past `limits.emotions` count as `other`."""
        stages, answers = dict(total.stages), dict(total.tracks)
        for stage, gains in self.stages.items():
            stages[stage] = merged_all(stages.get(stage), gains)
        for label, gains in self.tracks.items():
            name = label if label in answers or len(answers) < limits.emotions else OTHER
            answers[name] = merged_all(answers.get(name), gains)
        confidence = merged_all(total.confidence, self.confidence) if self.confidence else total.confidence
        return Sum(stages, confidence, answers)


def _fits(message: Telemetry) -> bool:
    """Whether every histogram has one count per bound and one more."""
    answers = message.tracks.answers.values() if message.tracks is not None else ()
    confidence = all(map(of_confidence, (message.confidence, *answers)))
    return confidence and all(map(of_stage, message.stages.values()))

"""Drift of the whole fleet: one state a device, what its release and its peers give to compare it with, and alarms.

One thread observes and compares; others read. Cards and groups are given; no clock, socket or database here.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace

from edge_bridge.drift.peers import LEAST_PEERS, MOST_PEERS, compared
from edge_bridge.drift.present import alarms_of, device_drift, rows_of, with_cause
from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.state import DriftState
from edge_bridge.drift.step import Peers, References, relearned, step
from edge_bridge.drift.unsure import Unsure, unsure
from edge_bridge.drift.view import Alarm, DeviceDrift
from edge_bridge.fleet.pool import Pool
from edge_contract.manifest import Reference
from edge_contract.messages import Telemetry

TOGETHER_S: Final = 86400.0
"""Alarms that began within so long of one another began at once."""
FLEET_DEVICES: Final = 3
FLEET_SHARE: Final = 0.3
"""So many devices of one model, and this share of those that are judged, are a change of the fleet."""
COMPARE_S: Final = 600.0
"""Between two comparisons of one group."""


class Place(NamedTuple):
    """Where a device is, as the fleet's record has it."""

    site: str
    group: str = ""
    """The first it is in."""


class Drift:
    """See the module; start it with the states that were stored."""

    def __init__(
        self,
        settings: DriftSettings,
        reference: Callable[[str], Reference | None],
        place: Callable[[str], Place],
        states: Iterable[DriftState] = (),
    ) -> None:
        """`reference`: that of the release with this digest, as its card says; None where none came.

        `place`: where the device of this id is.
        """
        self.lock = threading.Lock()
        self._settings, self.reference, self._place = settings, reference, place
        self._states: dict[str, DriftState] = {each.device: each for each in states}
        self._peers: dict[str, Peers] = {}
        self._due: list[list[str]] = []
        self._compared = 0.0
        self._asked: set[str] = set()
        self._manifests: dict[str, tuple[Reference, Unsure | None]] = {}
        self._changed: set[str] = set()
        self._pool = Pool()

    def observe(self, window: Telemetry) -> None:
        """A window of the session that is on."""
        if window.tracks is None:
            return
        before = self._states.get(window.device)
        references = References(self._manifest(window.tracks.model.digest), self._peers.get(window.device))
        after = step(before, window, references, self._settings)
        if after is None or after is before:
            return
        if before is None or after.model is not before.model:
            after = replace(after, model=self._pool.one(after.model), labels=self._pool.one(after.labels))
        with self.lock:
            self._states[window.device] = after
        if before is None or (after.judged, after.model) != (before.judged, before.model):
            self._changed.add(window.device)

    def take_round(self, now: float) -> None:
        """Do what other threads asked for, and compare the devices of one group where it is time to."""
        with self.lock:
            asked, self._asked = self._asked & self._states.keys(), set()
            for device in asked:
                self._states[device] = relearned(self._states[device])
        self._changed |= asked
        if not self._due and not 0 <= now - self._compared < COMPARE_S:
            self._compared = now
            groups: dict[tuple[str, ...], list[str]] = {}
            for device, state in self._states.items():
                groups.setdefault((state.model.digest, *self._group(device)), []).append(device)
            self._due = list(groups.values())
        if self._due:
            members = [each for each in self._due.pop() if each in self._states]
            some = members[:: 1 + len(members) // MOST_PEERS]
            found = compared({each: rows_of(self._states[each]) for each in some}) if len(some) > LEAST_PEERS else None
            for each in members:
                if found is None:
                    self._peers.pop(each, None)
                else:
                    self._peers[each] = found.others.get(each, found.usual)

    def forget(self, device: str) -> None:
        """The device was taken out of service."""
        with self.lock:
            known = self._states.pop(device, None)
        self._peers.pop(device, None)
        if known is not None:
            self._changed.add(device)

    def take_changes(self) -> dict[str, DriftState | None]:
        """States to be stored since the last call; None is a device that was forgotten. `put_back` returns them."""
        changed, self._changed = self._changed, set()
        return {each: self._states.get(each) for each in changed}

    def put_back(self, changes: Iterable[str]) -> None:
        """The states of these devices could not be stored: they are to be taken again."""
        self._changed |= set(changes)

    def states(self) -> list[DriftState]:
        """Every device's, for what shows all of them."""
        with self.lock:
            return list(self._states.values())

    def site(self, device: str) -> str:
        """Where the device is."""
        return self._place(device).site

    def relearn(self, device: str) -> bool:
        """Learn this device's baseline again, which ends its alarms, from the next round on; any thread may ask.

        False where it has counted no track.
        """
        with self.lock:
            known = device in self._states
            if known:
                self._asked.add(device)
        return known

    def alarms(self, now: float = 0.0) -> list[Alarm]:  # noqa: ARG002 - by the devices' clocks, see `Alarm.since`
        """Every alarm that holds, the oldest first."""
        return self.alarms_among(self.states())

    def alarms_among(self, states: Iterable[DriftState]) -> list[Alarm]:
        """The same of states that were taken before."""
        judged: Counter[str] = Counter()
        found: list[Alarm] = []
        for state in states:
            judged[state.model.digest] += bool(state.baseline.frozen)
            if state.causes:
                found += alarms_of(state, self.site(state.device))
        return sorted(_of_fleet(found, judged), key=lambda each: (each.since, each.device, each.reference))

    def of(self, device: str) -> DeviceDrift | None:
        """How one device stands; None where it has counted no track."""
        with self.lock:
            state = self._states.get(device)
        if state is None:
            return None
        alarms = tuple(each for each in self.alarms() if each.device == device) if state.causes else ()
        digest = state.model.digest
        return device_drift(
            state, self.site(device), self._settings, self.reference(digest), alarms,
            comparable=self._manifest(digest) is not None,
        )  # fmt: skip

    def _group(self, device: str) -> tuple[str, str]:
        """Its group, or the site where it is in none."""
        place = self._place(device)
        return ("group", place.group) if place.group else ("site", place.site)

    def _manifest(self, digest: str) -> Unsure | None:
        reference = self.reference(digest)
        if reference is None:
            return None
        known = self._manifests.get(digest)
        if known is None or known[0] is not reference:
            known = self._manifests[digest] = (reference, unsure(reference.by_label))
        return known[1]


def _of_fleet(alarms: list[Alarm], judged: Counter[str]) -> list[Alarm]:
    """The alarms, those of a change of the whole fleet named so: many devices at once, and no picture says why."""
    without = [each for each in alarms if each.cause in {"answers", "unknown"}]
    together: set[int] = set()
    for one in without:
        near = [
            each
            for each in without
            if each.model.digest == one.model.digest and abs(each.since - one.since) <= TOGETHER_S
        ]
        devices = {each.device for each in near}
        if len(devices) >= max(FLEET_DEVICES, FLEET_SHARE * judged[one.model.digest]):
            together |= set(map(id, near))
    return [with_cause(each, "fleet") if id(each) in together else each for each in alarms]

"""Publishes how each group stands, for the dashboard and for alerts: when it changes, and every minute.

What is published decides nothing. A group whose status gets old is one that no `edgewise fleet serve` conducts.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from edge_contract import topics
from edge_contract.errors import EdgewiseError
from edge_contract.scope import Scope
from edge_contract.trust import DesiredState
from edge_fleet.devices.view import Device
from edge_fleet.link import Arrived
from edge_fleet.releases.publish import Publisher
from edge_fleet.rollout import machine
from edge_fleet.rollout.controller import Controller
from edge_fleet.rollout.machine import State
from edge_fleet.rollout.report import Report, report
from edge_fleet.rollout.status import encoded, group_status
from edge_fleet.rollout.store import RolloutStore

LOOK_EVERY_S: Final = 5.0
REPEAT_S: Final = 60.0
GROUPS: Final = 256
"""The most groups that are shown, the first by name."""


class StatusBoard:
    """The status of every group of one repository on one broker."""

    def __init__(
        self,
        publisher: Publisher,
        store: RolloutStore,
        controller: Controller,
        say: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`say` is called with a sentence for the operator's log; `now`: seconds since 1970."""
        self._publisher, self._store, self._controller = publisher, store, controller
        self._say, self._now, self._said = say, now, ""
        self._ended: dict[str, Report] = {}  # by rollout: nothing of these changes any more
        self._published: dict[str, tuple[bytes, float]] = {}  # by topic: the status at time 0, and when it was sent
        self._looked = 0.0
        self._held: set[str] | None = None

    def turn(self) -> None:
        """Publish what changed since the last look, or is due again; what fails is said once and tried again."""
        now = self._now()
        if not self._publisher.link.connected or 0 <= now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        try:
            self._publish(now)
            self._said = ""
        except EdgewiseError as error:
            if str(error) != self._said:
                self._said = str(error)
                self._say(f"how the groups stand cannot be shown: {error}")

    def _publish(self, now: float) -> None:
        link = self._publisher.link
        if self._held is None:  # by an earlier run
            self._held = set(link.retained(topics.group_status("x").replace("/x/", "/+/")))
        states = {one.state.scope: one.state for one in self._publisher.desired.all()}
        rollouts = {one.group: one for one in sorted(self._store.all(), key=lambda one: one.started)}
        scoped = {scope.name for scope in map(Scope.parse, states) if scope.kind == "group"}
        devices = list(self._controller.fleet.devices.values())
        wanted: set[str] = set()
        messages: list[Arrived] = []
        for group in sorted(scoped | rollouts.keys())[:GROUPS]:
            rollout = rollouts.get(group)
            shown = None if rollout is None else self._report(rollout, devices, states, now)
            status = group_status(group, states, devices, shown, now)
            topic = topics.group_status(group)
            wanted.add(topic)
            timeless = encoded(replace(status, time=0.0))
            before, sent = self._published.get(topic, (b"", 0.0))
            if before != timeless or not 0 <= now - sent < REPEAT_S:
                messages.append(Arrived(topic, encoded(status)))
                self._published[topic] = timeless, now
        gone = (self._held | self._published.keys()) - wanted
        link.publish([*messages, *(Arrived(topic, b"") for topic in sorted(gone))])
        self._held -= gone
        for topic in gone:
            self._published.pop(topic, None)

    def _report(self, rollout: State, devices: list[Device], states: Mapping[str, DesiredState], now: float) -> Report:
        if rollout.id in self._ended:
            return self._ended[rollout.id]
        shown = report(rollout, self._store, devices, states, now, self._controller.heard_of)
        if not machine.is_open(rollout):
            self._ended = {id_: one for id_, one in self._ended.items() if one.state.group != rollout.group}
            self._ended[rollout.id] = shown
        return shown

"""What happened to devices and groups, one sentence each: told by comparing what is known now with a moment before.

`Timeline.observe` looks at the whole fleet about once a second, outside of the messages' way: a record that is the same
object has not changed. What came and went between two looks is not told. No clock and no database here.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from edge_bridge.fleet import record
from edge_bridge.fleet.conditions import GONE, Kind, Rule, conditions, state_of
from edge_bridge.fleet.record import Device
from edge_contract.group_status import GroupStatus, RolloutStatus
from edge_contract.messages import ModelRef, Reported
from edge_contract.visible import visible

EVERY_S: Final = 1.0
"""Between two looks."""
RECHECK_S: Final = 15.0
"""A device that sends nothing is looked at this often: silence is a change without a message."""
HOURLY: Final = 40
"""Events of one device or group that are told within an hour; what flaps more often is told as flapping."""
TEXT: Final = 400
"""Characters of a sentence."""


class Event(NamedTuple):
    """Something that happened."""

    scope: str
    """`device` or `group`."""
    name: str
    time: float
    """By the bridge's clock, seconds since 1970."""
    kind: str
    """`presence`, `update`, `model`, `began`, `ended`, `rollout`, `flaps`."""
    state: str
    """What it is now, in one word: of `presence` and `update`, and the kind of a condition."""
    text: str


_PRESENCE: Final = {
    "online": "connected",
    "offline": "its connection broke off",
    "stopped": "it was stopped",
    "silent": "connected, and silent",
    "unknown": "not seen yet",
}
_TOLD_ELSEWHERE: Final = GONE | {Kind.REFUSED}
"""Conditions that another event tells already."""


class _Known(NamedTuple):
    """What was known of a device at the last look."""

    device: Device
    state: str
    found: dict[Kind, str]
    """Conditions and their sentences; of a device that is not there, those that it had."""


class Timeline:
    """See the module. One thread uses this."""

    def __init__(self, devices: Mapping[str, Device], rule: Rule, now: float) -> None:
        """`devices`: as they were stored; what was so before the start is no event."""
        self._rule = rule
        self._known = {name: self._look(each, None, frozenset(), now) for name, each in devices.items()}
        self._groups: dict[str, GroupStatus] = {}
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        self._looked, self._rechecked = 0.0, now

    def observe(
        self, devices: Mapping[str, Device], groups: Mapping[str, GroupStatus], withdrawn: frozenset[str], now: float
    ) -> list[Event]:
        """What happened since the last look; nothing if it is too early for another."""
        if 0 <= now - self._looked < EVERY_S:
            return []
        self._looked = now
        recheck = not 0 <= now - self._rechecked < RECHECK_S
        if recheck:
            self._rechecked = now
        found: list[Event] = []
        for name, device in devices.items():
            before = self._known.get(name)
            if before is not None and before.device is device and not recheck:
                continue
            after = self._look(device, before, withdrawn, now)
            self._known[name] = after
            if before is not None and _same(before, after):
                continue
            found += self._rationed(_between(before, after, now), now)
        if len(self._known) > len(devices):
            self._known = {name: each for name, each in self._known.items() if name in devices}
        for name, status in groups.items():
            if self._groups.get(name) is not status:
                found += self._rationed(_of_group(self._groups.get(name), status, now), now)
        self._groups = dict(groups)
        return found

    def _look(self, device: Device, before: _Known | None, withdrawn: frozenset[str], now: float) -> _Known:
        state = state_of(device, now, self._rule.silent_after)
        if state != "online" and before is not None:
            return _Known(device, state, before.found)
        found = conditions(device, now, self._rule, withdrawn)
        return _Known(device, state, {each.kind: each.text for each in found if each.kind not in _TOLD_ELSEWHERE})

    def _rationed(self, events: Iterator[Event], now: float) -> Iterator[Event]:
        for event in events:
            key = (event.scope, event.name)
            began, count = self._told.get(key, (now, 0))
            if not 0 <= now - began < 3600.0:
                began, count = now, 0
            self._told[key] = (began, count + 1)
            if count < HOURLY:
                yield event
            elif count == HOURLY:
                text = f"more than {HOURLY} changes within an hour: what follows in this hour is not listed"
                yield event._replace(kind="flaps", state="", text=text)
        if len(self._told) > 2 * len(self._known) + 1024:
            self._told = {key: each for key, each in self._told.items() if now - each[0] < 3600.0}


def _same(before: _Known, after: _Known) -> bool:
    """Whether nothing happened to one device that `_between` tells: so it is after nearly every window."""
    old, device = before.device, after.device
    return (
        before.state == after.state
        and old.session == device.session
        and old.reported is device.reported
        and old.model is device.model
        and before.found.keys() == after.found.keys()
    )


def _between(before: _Known | None, after: _Known, now: float) -> Iterator[Event]:
    """What happened to one device."""
    device = after.device

    def event(kind: str, state: str, text: str) -> Event:
        return Event("device", device.id, now, kind, state, text[:TEXT])

    if before is None:
        yield event("presence", after.state, _PRESENCE[after.state])
        if device.reported is not None:
            yield event("update", device.reported.state, _update(device.reported))
        for kind, text in after.found.items():
            yield event("began", kind, text)
        return
    old = before.device
    if before.state != after.state:
        yield event("presence", after.state, _PRESENCE[after.state])
    elif old.session and device.session > old.session:
        yield event("presence", after.state, "its agent started anew")
    if device.active is not None and _digest(device.active) != _digest(old.active):
        yield event("model", record.short(device.active), f"runs {record.short(device.active)}")
    if device.reported is not None and _step(device.reported) != _step(old.reported):
        yield event("update", device.reported.state, _update(device.reported))
    for kind in after.found.keys() - before.found.keys():
        yield event("began", kind, after.found[kind])
    for kind in before.found.keys() - after.found.keys():
        yield event("ended", kind, f"no longer {kind.text}")


def _of_group(before: GroupStatus | None, after: GroupStatus, now: float) -> Iterator[Event]:
    """What happened to a group's rollout; its first status after a start of the bridge tells where it stands."""
    rollout, was = after.rollout, before.rollout if before is not None else None
    if rollout is None:
        return

    def event(text: str) -> Event:
        return Event("group", after.group, now, "rollout", rollout.phase, visible(text)[:TEXT])

    same = was is not None and was.id == rollout.id
    name = f"{rollout.id}, {record.short(rollout.release)}"
    if not same or was is None or (was.phase, was.position) != (rollout.phase, rollout.position):
        reason = f": {rollout.reason}" if rollout.reason else ""
        yield event(f"{name}: {_place(rollout)}{reason}")
    if same and was is not None and was.paused != rollout.paused:
        yield event(f"{name}: paused: {rollout.paused}" if rollout.paused else f"{name}: goes on")
    if same and was is not None and was.outcome != rollout.outcome and rollout.outcome is not None:
        findings = "; ".join(each.text for each in rollout.findings if each.outcome == rollout.outcome)
        yield event(f"{name}: {rollout.outcome}: {findings}")


def _place(rollout: RolloutStatus) -> str:
    stage = next((each for each in rollout.stages[rollout.position : rollout.position + 1]), None)
    if rollout.phase in {"shadow", "wave", "waiting"} and stage is not None:
        what = "the shadow" if stage.number == 0 else f"wave {stage.number}"
        return f"{'waits for' if rollout.phase == 'waiting' else 'runs'} {what} of {stage.share:.0%}"
    return rollout.phase


def _step(reported: Reported | None) -> tuple[str, str] | None:
    return None if reported is None else (reported.state, _digest(reported.target))


def _update(reported: Reported) -> str:
    target = "" if reported.target is None else f"{record.short(reported.target)} "
    because = f": {visible(reported.reason)}" if reported.reason else ""
    return f"{target}{reported.state.text or 'nothing to update'}{because}"


def _digest(model: ModelRef | None) -> str:
    return "" if model is None else model.digest

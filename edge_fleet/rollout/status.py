"""How a group stands, as a message for those who watch: composed from what the controller knows. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from edge_contract import group_status as wire
from edge_contract.errors import MessageError
from edge_contract.group_status import Behind, FindingStatus, GroupStatus, RolloutStatus, ShadowStatus, StageStatus
from edge_contract.messages import encode
from edge_contract.scope import Scope
from edge_contract.trust import DesiredState
from edge_contract.visible import visible
from edge_fleet.devices.view import Device
from edge_fleet.rollout.devices.members import members
from edge_fleet.rollout.evidence.pooling import Pooled
from edge_fleet.rollout.machine import State
from edge_fleet.rollout.report import Report
from edge_fleet.rollout.why import behind

_SENTENCE: Final = 500
"""Characters of a sentence; a device may have written part of it."""
_FINDINGS: Final = 32
_ORDER: Final = ("failed", "silent", "waits", "under way", "offline")


def group_status(
    group: str, states: Mapping[str, DesiredState], devices: Iterable[Device], shown: Report | None, now: float
) -> GroupStatus:
    """`states`: the desired ones, by scope; `shown`: the rollout that runs in the group, or ran last."""
    known = list(devices)
    desired = states.get(str(Scope("group", group)))
    rollout = None if shown is None else shown.state
    silent = set() if shown is None else {one.device for one in shown.devices if one.failure.startswith("silent")}
    found = [
        Behind(device=device.id, kind=kind, why=_cut(text))
        for device in members(group, known, states)
        for kind, text in behind(device, states, rollout, now, silent=device.id in silent)
    ]
    found.sort(key=lambda one: (_ORDER.index(one.kind), one.device))
    return GroupStatus(
        group=group,
        desired=None if desired is None else desired.model,
        rollout=None if shown is None else _rollout(shown),
        behind=tuple(found[: wire.SHOWN]),
        time=now,
    )


def encoded(status: GroupStatus) -> bytes:
    """The message, with as many of the devices that are behind as fit one.

    Raises:
        MessageError: it fits no message even without them.
    """
    while True:
        try:
            return encode(status)
        except MessageError:
            if not status.behind:
                raise
            status = replace(status, behind=status.behind[: len(status.behind) // 2])


def _rollout(shown: Report) -> RolloutStatus:
    state = shown.state
    progress = [one.progress for one in shown.devices]
    return RolloutStatus(
        id=state.id,
        release=state.release,
        rest=state.rest,
        phase=state.phase.value,
        position=state.position,
        stages=_stages(shown),
        outcome=None if state.verdict is None else state.verdict.outcome.value,
        findings=()
        if state.verdict is None
        else tuple(
            FindingStatus(gate=one.gate, outcome=one.outcome.value, text=_cut(one.text))
            for one in state.verdict.findings[:_FINDINGS]
        ),
        shadow=_shadow(shown.shadow),
        paused=_paused(state),
        reason=_cut(state.reason),
        waits_for=_cut(shown.waits_for),
        running=progress.count("running"),
        failed=progress.count("failed"),
        silent=sum(one.failure.startswith("silent") for one in shown.devices),
        offline=progress.count("offline"),
        started=state.started,
        ended=state.ended,
    )


def _stages(shown: Report) -> tuple[StageStatus, ...]:
    begun = shown.state.begun
    return tuple(
        StageStatus(
            number=stage.number,
            mode=stage.mode,
            share=stage.share,
            devices=count,
            began=begun[place] if place < len(begun) else None,
        )
        for place, (stage, count) in enumerate(zip(shown.state.stages, shown.planned, strict=True))
    )


def _shadow(pooled: Pooled) -> ShadowStatus:
    labels = set(pooled.labels())
    return ShadowStatus(
        looks=pooled.looks,
        agreed=pooled.agreed,
        failures=pooled.failures,
        less_sure=pooled.less_sure,
        more_sure=pooled.more_sure,
        slower=pooled.slower,
        confusion={
            label: {other: count for other, count in row.items() if other in labels}
            for label, row in pooled.confusion.items()
            if label in labels
        },
    )


def _paused(state: State) -> str:
    pause = state.pause
    return "" if pause is None else _cut(f"{pause.by}: {pause.why}" if pause.why else f"by {pause.by}")


def _cut(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= _SENTENCE else shown[: _SENTENCE - 1] + "…"

"""What the release side says, as samples: releases, rollouts, devices behind, and devices on a withdrawn release."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, get_args

from edge_bridge.fleet.record import Device, short
from edge_bridge.metrics.text import Family, Text, escape
from edge_contract.group_status import Behind, GroupStatus, RolloutStatus
from edge_contract.release_card import ReleaseCard

_WITHDRAWN: Final = Family(
    "edgewise_device_on_withdrawn_release", "1 for a device that runs a release which was withdrawn."
)
_RELEASE: Final = Family(
    "edgewise_release_info", "A release and where it comes from: commit, data, and whether it was withdrawn."
)
_ACCURACY: Final = Family(
    "edgewise_release_accuracy_ratio", "Share of right answers of the shipped file on the test split of its manifest."
)
_ROLLOUT: Final = Family("edgewise_rollout_info", "The rollout that runs in a group, or ran last.")
_STAGE: Final = Family("edgewise_rollout_stage", "The stage that a rollout is at: 0 the shadow, waves count from 1.")
_PAUSED: Final = Family("edgewise_rollout_paused", "1 while a rollout is paused.")
_DEVICES: Final = Family(
    "edgewise_rollout_devices", "Devices of a rollout's stage by how they stand; silent ones are among the failed."
)
_STARTED: Final = Family("edgewise_rollout_started_timestamp_seconds", "When a rollout was started.")
_ENDED: Final = Family("edgewise_rollout_ended_timestamp_seconds", "When a rollout ended.")
_BEHIND: Final = Family(
    "edgewise_group_behind_devices", "Devices that do not run what they should, by why; the first 128 of a group."
)
_TIME: Final = Family("edgewise_group_status_timestamp_seconds", "When the release side last said how a group stands.")

_KINDS: Final = get_args(Behind.__annotations__["kind"])
_STATES: Final = ("running", "failed", "silent", "offline")
LINEAGE_CHARACTERS: Final = 64
"""Of a commit's or a data set's name, as a label."""


def write(
    present: Iterable[Device],
    groups: Mapping[str, GroupStatus],
    cards: Mapping[str, ReleaseCard],
    *,
    openmetrics: bool = False,
) -> str:
    """All of it. `present`: the devices that are up; `cards` by digest."""
    out = Text(openmetrics=openmetrics)
    withdrawn = {digest for digest, card in cards.items() if card.withdrawn}
    _devices(out, present, withdrawn)
    _releases(out, cards)
    named = [(f'group="{group}"', status) for group, status in sorted(groups.items())]
    _rollouts(out, [(labels, status.rollout) for labels, status in named if status.rollout is not None])
    counts = ((labels, [each.kind for each in status.behind]) for labels, status in named)
    out.family(
        _BEHIND,
        "gauge",
        ((f'{labels},kind="{kind}"', kinds.count(kind)) for labels, kinds in counts for kind in _KINDS),
    )
    out.family(_TIME, "gauge", ((labels, status.time) for labels, status in named))
    return str(out)


def _devices(out: Text, present: Iterable[Device], withdrawn: set[str]) -> None:
    running = ((each, each.active) for each in present) if withdrawn else ()
    out.family(
        _WITHDRAWN,
        "gauge",
        (
            (f'site="{escape(each.site)}",device="{each.id}",model="{short(model)}"', 1)
            for each, model in running
            if model is not None and model.digest in withdrawn
        ),
    )


def _releases(out: Text, cards: Mapping[str, ReleaseCard]) -> None:
    # Two files may bear one name and number, and a series is there once: then the card that was published last counts.
    latest = {short(card.manifest.ref): card for card in sorted(cards.values(), key=lambda card: card.time)}
    ordered = sorted(latest.items())
    out.family(_RELEASE, "gauge", ((f'model="{model}",{_lineage(card)}', 1) for model, card in ordered))
    scores = ((model, card.manifest.accuracy) for model, card in ordered)
    out.family(_ACCURACY, "gauge", ((f'model="{model}"', it.int8.accuracy) for model, it in scores if it is not None))


def _lineage(card: ReleaseCard) -> str:
    manifest = card.manifest
    commit, data = (each[:LINEAGE_CHARACTERS] for each in (manifest.lineage.git_commit, manifest.lineage.dataset))
    withdrawn = "true" if card.withdrawn else "false"
    origin = f'commit="{escape(commit)}",data="{escape(data)}"'
    return f'digest="{manifest.digest[:12]}",{origin},withdrawn="{withdrawn}"'


def _rollouts(out: Text, rollouts: Sequence[tuple[str, RolloutStatus]]) -> None:
    infos = ((f'{labels},release="{short(each.release)}",phase="{each.phase}"', 1) for labels, each in rollouts)
    out.family(_ROLLOUT, "gauge", infos)
    out.family(_STAGE, "gauge", ((labels, _stage(each)) for labels, each in rollouts))
    out.family(_PAUSED, "gauge", ((labels, int(each.paused != "")) for labels, each in rollouts))
    states = ((f'{labels},state="{state}"', getattr(each, state)) for labels, each in rollouts for state in _STATES)
    out.family(_DEVICES, "gauge", states)
    out.family(_STARTED, "gauge", ((labels, each.started) for labels, each in rollouts))
    out.family(_ENDED, "gauge", ((labels, each.ended) for labels, each in rollouts if each.ended))


def _stage(rollout: RolloutStatus) -> int:
    if not rollout.stages:
        return 0
    return rollout.stages[min(rollout.position, len(rollout.stages) - 1)].number

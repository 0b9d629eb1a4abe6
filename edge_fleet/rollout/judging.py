"""From what the controller knows to a verdict: which gates judge which stage."""

from collections.abc import Mapping

from edge_fleet.rollout.evidence.evidence import Evidence
from edge_fleet.rollout.gates.shadow import judge_shadow
from edge_fleet.rollout.gates.verdict import Outcome, Verdict
from edge_fleet.rollout.gates.wave import installed, judge_wave
from edge_fleet.rollout.machine import State
from edge_fleet.rollout.standings import Standings


def judge(state: State, position: int, found: Standings, evidence: Mapping[str, Evidence], now: float) -> Verdict:
    """What the gates say of the stage at `position`, whose devices stand as was `found`."""
    of_wave = {one.device: evidence[one.device] for one in found.devices if one.device in evidence}
    if state.stages[position].mode == "active":
        of_controls = {device: evidence[device] for device in found.controls if device in evidence}
        return judge_wave(state.plan, found.devices, of_wave, of_controls, now=now)
    compared = judge_shadow(
        state.plan,
        {one.device: one.kind for one in found.devices},
        of_wave,
        online={one.device for one in found.devices if one.progress != "offline"},
        reference=state.agreement,
    )
    # Who refuses the release compares nothing: that would be waited for in vain.
    refused = installed(state.plan, found.devices)
    return Verdict(findings=(refused, *compared.findings)) if refused.outcome is Outcome.FAIL else compared

"""How retraining loops stand, as samples."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, get_args

from edge_bridge.metrics.text import Family, Text
from edge_contract.loop_status import ENDED, LoopStatus, Phase

_PHASE: Final = Family("edgewise_loop_phase", "1 for the phase of the run that is under way, 0 for the others.")
_RUNS: Final = Family("edgewise_loop_runs", "Ended runs by how they ended, of the last sixteen.")
_BUDGET: Final = Family("edgewise_loop_budget_left", "Trainings that may still begin this week.")
_PAUSED: Final = Family("edgewise_loop_paused", "1 while a person lets nothing begin.")
_WAITS: Final = Family("edgewise_loop_waits_until_timestamp_seconds", "The end of the cooldown after a training.")
_TIME: Final = Family("edgewise_loop_status_timestamp_seconds", "When a loop last said how it stands.")

_OPEN: Final[tuple[Phase, ...]] = tuple(phase for phase in get_args(Phase) if phase not in ENDED)
_ENDS: Final[tuple[Phase, ...]] = tuple(phase for phase in get_args(Phase) if phase in ENDED)


def write(loops: Mapping[str, LoopStatus], *, openmetrics: bool = False) -> str:
    """All of it, by model."""
    out = Text(openmetrics=openmetrics)
    named = [(f'model="{model}"', status) for model, status in sorted(loops.items())]
    now = [(labels, "" if each.current is None else each.current.phase) for labels, each in named]
    out.family(
        _PHASE, "gauge", ((f'{labels},phase="{phase}"', int(phase == here)) for labels, here in now for phase in _OPEN)
    )
    ended = [(labels, Counter(run.phase for run in each.recent)) for labels, each in named]
    out.family(
        _RUNS, "gauge", ((f'{labels},phase="{phase}"', counts[phase]) for labels, counts in ended for phase in _ENDS)
    )
    out.family(_BUDGET, "gauge", ((labels, each.budget_left) for labels, each in named))
    out.family(_PAUSED, "gauge", ((labels, int(each.paused != "")) for labels, each in named))
    out.family(_WAITS, "gauge", ((labels, each.waits_until) for labels, each in named if each.waits_until))
    out.family(_TIME, "gauge", ((labels, each.time) for labels, each in named))
    return str(out)

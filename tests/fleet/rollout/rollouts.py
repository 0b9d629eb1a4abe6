"""Rollouts for the tests of this folder."""

from edge_contract.messages import ModelRef
from edge_fleet.rollout.events import Assignment
from edge_fleet.rollout.gates.verdict import Finding, Outcome, Verdict
from edge_fleet.rollout.machine import Stage, State
from edge_fleet.rollout.plans.plan import Plan, WaveSize

OLD = ModelRef(name="emotion", release=5, digest="5" * 64)
NEW = ModelRef(name="emotion", release=6, digest="6" * 64)
OTHER = ModelRef(name="emotion", release=7, digest="7" * 64)
STAGES = (
    Stage(number=0, share=0.1, canaries=("cam-1", "cam-2")),
    Stage(number=1, share=0.0, canaries=("cam-1",)),
    Stage(number=2, share=0.1, canaries=("cam-1", "cam-2")),
    Stage(number=3, share=1.0),
)
WAVES = (WaveSize(devices=1), WaveSize(share=0.1), WaveSize(share=1.0))
PASSED, FAILED, UNSURE = (
    Verdict(findings=(Finding(gate="installed", outcome=outcome, text=f"It is {outcome}."),))
    for outcome in (Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE)
)


def rollout(
    plan: Plan | None = None,
    stages: tuple[Stage, ...] = STAGES,
    *,
    id: str = "lab-1",  # noqa: A002  # the state's own word
    group: str = "lab",
    started: float = 1000.0,
) -> State:
    """One that has not begun anything."""
    before = Assignment(model=OLD)
    return State(
        id=id,
        group=group,
        release=NEW,
        rest=OLD,
        plan=plan or Plan(waves=WAVES),
        stages=stages,
        started=started,
        by="maria",
        issued=before,
        wanted=before,
    )

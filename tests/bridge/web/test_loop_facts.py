"""How a loop stands, as its page says it."""

from edge_bridge.web.dashboard.loop_facts import loops
from edge_contract.loop_status import LoopRun, LoopStatus, LoopStep

NOW = 10_000.0


def test_a_loop_that_said_nothing_for_minutes_is_told() -> None:
    (old,), (new,) = (loops({"emotion": LoopStatus(model="emotion", time=NOW - age)}, NOW) for age in (181, 179))
    assert old.trouble == "The loop said this 3 min ago: see whether `edgewise loop serve` runs."
    assert new.trouble == ""


def test_what_holds_the_next_training_back_is_a_fact() -> None:
    status = LoopStatus(model="emotion", paused="maria: stocktaking", waits_until=NOW + 60, budget_left=2, time=NOW)
    (found,) = loops({"emotion": status}, NOW)
    assert [name for name, _ in found.standing] == ["Trainings left this week", "Paused", "Cooldown until"]
    assert found.standing[1][1] == "maria: stocktaking"


def test_what_a_run_says_is_fit_to_be_shown() -> None:
    run = LoopRun(
        id="r-1", alert="Drift\x1b[2J", devices=tuple(f"cam-{n}" for n in range(7)), phase="refused", began=NOW,
        steps=(LoopStep(phase="refused", text="a\u202eb", time=NOW),), measured={"accuracy": 0.5, "n\x07": 3.0},
    )  # fmt: skip
    (found,) = loops({"emotion": LoopStatus(model="emotion", recent=(run,), time=NOW)}, NOW)
    (shown,) = found.recent
    assert shown.headline == "Drift\\x1b[2J on cam-0, cam-1, cam-2, cam-3, cam-4 and 2 more: cause not known"
    assert (shown.level, shown.steps[0].text, shown.facts[-2:]) == (
        "bad", "a\\u202eb", (("accuracy", "50.0%"), ("n\\x07", "3"))
    )  # fmt: skip

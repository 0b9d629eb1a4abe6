"""What a wave's devices and their answers are judged to be, and in which words."""

import random

import pytest

from edge_fleet.rollout.devices.standing import Failure, Progress, Standing
from edge_fleet.rollout.evidence.evidence import Evidence, begin
from edge_fleet.rollout.gates.verdict import Finding, Outcome, Verdict
from edge_fleet.rollout.gates.wave import judge_before, judge_wave
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.plans.plan import DEFAULT, BehavesGate, Plan
from tests.fleet.rollout.device_windows import NEW, Camera

PI4, PI5 = (Kind(board=board, runtime="litert", camera="v4l2") for board in ("pi-4", "pi-5"))
NOW = 1.8e9
INSTALLED_ONLY = Plan(behaves=None)


def standing(device: str, progress: Progress = "running", failure: Failure = "", **more) -> Standing:
    return Standing(device=device, kind=more.pop("kind", PI4), progress=progress, failure=failure, **more)


def of(verdict: Verdict, gate: str) -> Finding:
    return next(one for one in verdict.findings if one.gate == gate)


def wave(*, running: int = 0, failed: int = 0, offline: int = 0, waiting: int = 0) -> list[Standing]:
    return [
        *(standing(f"run-{n}", since=NOW - 3600) for n in range(running)),
        *(standing(f"bad-{n}", "failed", "rejected", reason="too slow.") for n in range(failed)),
        *(standing(f"off-{n}", "offline") for n in range(offline)),
        *(standing(f"wait-{n}", "under way") for n in range(waiting)),
    ]


@pytest.mark.parametrize(
    ("counts", "outcome", "said"),
    [
        ({"running": 10}, "pass", "0 of 10 failed: under 26 %, 95 %."),
        ({"running": 9, "failed": 1}, "pass", "1 of 10 failed: under 40 %, 95 %."),
        ({"running": 8, "failed": 2}, "fail", "2 of 10 failed"),
        ({"running": 9, "failed": 2, "waiting": 20}, "inconclusive", "11 of 31 devices with a verdict."),
        ({"failed": 3, "waiting": 20}, "fail", "3 of 3 failed."),
        ({"failed": 9, "offline": 91}, "fail", "9 of 9 failed."),
        ({"failed": 2, "waiting": 20}, "inconclusive", "2 of 22 devices"),
        ({"failed": 1}, "fail", "1 of 1 failed."),
        ({"running": 1}, "pass", "0 of 1 failed: under 95 %, 95 %."),
        ({"running": 2, "offline": 8}, "inconclusive", "2 of 3 devices with a verdict."),
        (
            {"running": 3, "offline": 8},
            "pass",
            "Offline, and not counted: off-0, off-1, off-2, off-3, off-4 and 3 more.",
        ),
        ({"offline": 4}, "inconclusive", "No device has a verdict yet."),
        ({"waiting": 4}, "inconclusive", "0 of 4 devices"),
        ({}, "inconclusive", "No device has a verdict yet."),
    ],
)
def test_installed(counts: dict[str, int], outcome: str, said: str) -> None:
    found = of(judge_wave(INSTALLED_ONLY, wave(**counts), {}, {}, now=NOW), "installed")
    assert (found.outcome, said in found.text) == (outcome, True), found.text


def test_each_way_to_fail_is_listed_with_its_devices_and_the_first_reason() -> None:
    standings = [
        standing("a", "failed", "rejected", reason="self-test: 3 of 8 goldens\x1b differ."),
        standing("b", "failed", "rejected"),
        standing("c", "failed", "silent since activation"),
        standing("d", "failed", "timed out"),
        standing("e", "failed", "rolled back"),
    ]
    text = of(judge_wave(INSTALLED_ONLY, standings, {}, {}, now=NOW), "installed").text
    assert "Rejected: a, b (self-test: 3 of 8 goldens\\x1b differ)." in text
    for said in ("Silent since activation: c.", "Timed out: d.", "Rolled back: e."):
        assert said in text


@pytest.mark.parametrize(
    ("ages", "outcome", "said"),
    [
        ((1800, 5000), "pass", "2 of 2 devices soaked."),
        ((1080, 5000), "inconclusive", "1 of 2 devices soaked, 12 min left."),
        ((1760,), "inconclusive", "0 of 1 devices soaked, 40 s left."),
        ((-500,), "inconclusive", "0 of 1 devices soaked, 30 min left."),
        ((), "inconclusive", "None runs it yet."),
    ],
)
def test_healthy_counts_from_each_device_s_own_commit(ages: tuple[int, ...], outcome: str, said: str) -> None:
    standings = [standing(f"cam-{n}", since=NOW - age) for n, age in enumerate(ages)]
    found = of(judge_wave(INSTALLED_ONLY, standings, {}, {}, now=NOW), "healthy")
    assert (found.outcome, found.text) == (outcome, said)


class Room:
    """A camera before people who come and go: their labels wander, and a shock changes everyone's at once."""

    def __init__(self, name: str, seed: int) -> None:
        self.camera = Camera(name, seconds=60.0)
        self.evidence = begin(NEW)
        self._rng = random.Random(seed)  # noqa: S311  # drawn faces
        self._happy = self._rng.uniform(0.3, 0.6)

    def minutes(
        self, count: int, wave: int, *, happy: float = 0.0, sure: float = 0.7, each: float = 0.01, errors: int = 0
    ) -> None:
        for _ in range(count):
            share = min(max(self._happy + happy + self._rng.gauss(0, 0.08), 0), 1)
            faces = round(60 * share)
            self.camera.answers(
                {"happy": faces, "sad": 60 - faces}, sure=sure + self._rng.gauss(0, 0.03),
                each=each * self._rng.uniform(0.95, 1.05), errors=errors,
            )  # fmt: skip
            self.evidence = self.evidence.take(self.camera.window(), wave)


def fleet(
    trial: int, controls: int, *, before: int = 60, after: int = 60, shock: float = 0.0, plan: Plan = DEFAULT, **change
) -> Verdict:
    """Rooms before a wave and in it; `change` is what the release changes, `shock` what the time of day does to all."""
    rooms = [Room(f"cam-{number:02d}", number) for number in range(trial + controls)]
    for number, room in enumerate(rooms):
        room.minutes(before, 0)
        if number < trial:
            room.camera.model = NEW
            room.minutes(
                after, 1, happy=shock + change.get("happy", 0.0), **{k: v for k, v in change.items() if k != "happy"}
            )
        else:
            room.minutes(after, 1, happy=shock)
    evidence: list[tuple[str, Evidence]] = [(room.camera.name, room.evidence) for room in rooms]
    standings = [standing(name, since=NOW - 3600) for name, _ in evidence[:trial]]
    return judge_wave(plan, standings, dict(evidence[:trial]), dict(evidence[trial:]), now=NOW)


def test_a_release_that_changes_nothing_passes() -> None:
    assert fleet(12, 12).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"happy": -0.3}, "sad is answered more often by"),
        ({"sure": 0.5}, "The mean confidence fell by 0.1"),
        ({"each": 0.02}, "On pi-4, litert, v4l2 an inference takes 1.8"),
        ({"errors": 5}, "of a hundred faces more got no answer"),
    ],
)
def test_what_changed_beyond_its_limit_fails_in_its_own_words(change: dict[str, float], said: str) -> None:
    verdict = fleet(12, 12, **change)
    assert verdict.outcome is Outcome.FAIL
    assert said in verdict.text


@pytest.mark.parametrize(
    ("limits", "change"),
    [
        ({"mix": 1.0}, {"happy": -0.3}),
        ({"confidence": 1.0}, {"sure": 0.5}),
        ({"errors": 1.0}, {"errors": 5}),
    ],
)
def test_a_limit_that_nothing_can_miss_passes(limits: dict[str, float], change: dict[str, float]) -> None:
    verdict = fleet(12, 12, plan=Plan(behaves=BehavesGate(**limits)), **change)
    assert verdict.outcome is Outcome.PASS, verdict.text


def test_what_the_time_of_day_does_to_everyone_is_not_the_release() -> None:
    assert fleet(12, 12, shock=-0.3).outcome is Outcome.PASS


def test_without_controls_a_wave_is_compared_with_itself_before_and_that_is_said() -> None:
    verdict = fleet(12, 0)
    assert verdict.outcome is Outcome.PASS
    assert any("No device keeps the old release" in one.text for one in verdict.findings)
    assert fleet(12, 0, happy=-0.3).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (60, 4, "3 of 10 stretches of two minutes since it runs."),
        (3, 60, "3 of 10 stretches of two minutes from before the release."),
    ],
)
def test_too_few_stretches_are_said_by_number(before: int, after: int, said: str) -> None:
    verdict = fleet(3, 3, before=before, after=after)
    assert of(verdict, "behaves").outcome is Outcome.INCONCLUSIVE
    assert said in verdict.text


def test_one_canary_is_not_held_for_its_mix_and_is_stopped_for_its_speed() -> None:
    assert fleet(1, 12).outcome is Outcome.PASS
    assert fleet(1, 12, each=0.03).outcome is Outcome.FAIL


def test_answers_of_an_earlier_wave_are_not_those_of_this_one() -> None:
    rooms = [Room(f"cam-{number}", number) for number in range(2)]
    for room in rooms:
        room.minutes(60, 0)
        room.camera.model = NEW
        room.minutes(60, 1)
    rooms[0].minutes(30, 2)
    evidence = {room.camera.name: room.evidence for room in rooms}
    standings = [standing(name, since=NOW - 3600) for name in evidence]
    plan = Plan(behaves=BehavesGate(windows=20))
    assert "15 of 20 stretches of two minutes since it runs" in judge_wave(plan, standings, evidence, {}, now=NOW).text


def test_a_wave_without_a_shadow_waits_until_something_is_known_from_before() -> None:
    room = Room("cam", 1)
    room.minutes(10, 0)
    known = {"cam": room.evidence}
    verdict = judge_before(DEFAULT, ["cam", "new"], known)
    assert (verdict.outcome, verdict.text) == (
        "inconclusive",
        "4 of 10 stretches of two minutes from before the release.",
    )
    room.minutes(14, 0)
    assert judge_before(DEFAULT, ["cam", "new"], {"cam": room.evidence}).outcome is Outcome.PASS
    assert judge_before(INSTALLED_ONLY, ["cam"], {}).outcome is Outcome.PASS


def test_a_plan_without_behaves_asks_for_no_telemetry() -> None:
    assert judge_wave(INSTALLED_ONLY, wave(running=3), {}, {}, now=NOW).outcome is Outcome.PASS

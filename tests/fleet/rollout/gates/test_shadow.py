"""What a shadow's evidence is judged to be, and in which words."""

import random
import re
from collections import Counter
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from edge_fleet.rollout.devices.standing import Standing
from edge_fleet.rollout.evidence.evidence import Evidence, begin
from edge_fleet.rollout.gates.shadow import families_of, judge_shadow
from edge_fleet.rollout.gates.verdict import Outcome, Verdict
from edge_fleet.rollout.judging import judge
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.machine import Stage
from edge_fleet.rollout.plans.plan import DEFAULT, Plan, ShadowGate
from edge_fleet.rollout.standings import Standings
from tests.fleet.rollout.device_windows import NEW, Camera
from tests.fleet.rollout.rollouts import rollout

PI4, PI5 = (Kind(board=board, runtime="litert", camera="v4l2") for board in ("pi-4", "pi-5"))
KINDS = {"hall": PI4, "attic": PI4, "door": PI5}
LABELS = ("angry", "fear", "happy", "neutral", "sad")
SHARES = (15, 15, 30, 20, 20)


def look(rng: random.Random, *, differ: float = 0.05, neutral: float = 0.0, swapped: float = 0.0) -> tuple[str, str]:
    """One look: the old release's label and the new one's."""
    old = rng.choices(LABELS, SHARES)[0]
    new = rng.choice(LABELS) if rng.random() < differ else old
    if rng.random() < neutral:
        new = "neutral"
    if rng.random() < swapped:
        new = {"happy": "neutral", "neutral": "happy"}.get(new, new)
    return old, new


def shadowed_surely(
    looks: int, *, swapped: float = 0.0, often: float = 0.0, sure: float = 0.4, devices: Iterable[str] = KINDS
) -> dict[str, Evidence]:
    """So many looks on each device; of some the old release is sure. Fear and angry are exchanged for one another, or
    any label for another one, so often."""
    rng = random.Random(2)  # noqa: S311  # drawn faces
    found = {}
    for device in devices:
        camera, evidence = Camera(device, seconds=60.0), begin(NEW)
        for _ in range(looks // 5):
            for _ in range(5):
                old, new = look(rng, differ=0.0)
                if rng.random() < swapped:
                    new = {"fear": "angry", "angry": "fear"}.get(new, new)
                if rng.random() < often:
                    new = "sad" if old != "sad" else "fear"
                (camera.surely if rng.random() < sure else camera.compares)({(old, new): 1})
            evidence = evidence.take(camera.window())
        found[device] = evidence
    return found


def shadowed(looks: int, *, devices: Iterable[str] = KINDS, seed: int = 1, **fault: float) -> dict[str, Evidence]:
    """So many looks on each device, five a window, most of them alike."""
    rng = random.Random(seed)  # noqa: S311  # drawn faces
    more = {name: fault.pop(name) for name in ("less_sure", "slower", "failures") if name in fault}
    found = {}
    for device in devices:
        camera, evidence = Camera(device, seconds=60.0), begin(NEW)
        for _ in range(looks // 5):
            counts = Counter(look(rng, **fault) for _ in range(5))
            extra = {name: sum(rng.random() < share for _ in range(5)) for name, share in more.items()}
            camera.compares(counts, **extra)
            evidence = evidence.take(camera.window())
        found[device] = evidence
    return found


def judged(evidence: dict[str, Evidence], plan: Plan = DEFAULT, **more) -> Verdict:
    return judge_shadow(plan, KINDS, evidence, **more)


def test_a_release_that_says_the_same_passes() -> None:
    verdict = judged(shadowed(1500))
    assert verdict.outcome is Outcome.PASS
    assert "Both name the same label on 9" in verdict.text


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"differ": 0.4}, "Both name the same label on"),
        ({"neutral": 0.25}, "The new release says neutral more often by"),
        ({"swapped": 0.25}, "faces that were happy or neutral"),
        ({"less_sure": 0.3}, "less sure rather than more sure on"),
        ({"slower": 0.5}, "it took more than 1.5 times as long on"),
        ({"failures": 0.05}, "gave no answer on"),
    ],
)
def test_each_fault_fails_in_its_own_words(fault: dict[str, float], said: str) -> None:
    verdict = judged(shadowed(1500, **fault))
    assert verdict.outcome is Outcome.FAIL
    assert said in verdict.text


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"often": 0.06}, "faces of which the old release was sure, the new one calls"),
        ({"swapped": 0.1}, r"faces of which the old release was sure that it was (angry|fear), the new one calls"),
    ],
)
def test_a_release_that_contradicts_what_the_old_one_is_sure_of_fails_though_it_mostly_agrees(
    fault: dict[str, float], said: str
) -> None:
    verdict = judged(shadowed_surely(1500, **fault))
    assert verdict.outcome is Outcome.FAIL
    (failed,) = [one.text for one in verdict.findings if one.outcome is Outcome.FAIL]
    assert re.search(said, failed)
    assert failed.endswith("something else (at most 2 % are allowed).")


def test_one_that_differs_only_where_the_old_one_is_unsure_passes_once_enough_sure_faces_were_seen() -> None:
    few = judged(shadowed_surely(200))
    assert few.outcome is Outcome.INCONCLUSIVE
    assert any("the old release was sure" in one.text for one in few.findings if one.outcome is Outcome.INCONCLUSIVE)
    assert judged(shadowed_surely(1500)).outcome is Outcome.PASS


@pytest.mark.parametrize("sure", [0.0, 0.01])
def test_devices_that_do_not_count_sure_looks_hold_no_shadow(sure: float) -> None:
    assert judged(shadowed_surely(1500, sure=sure)).outcome is Outcome.PASS


def test_one_device_of_many_that_counts_sure_looks_can_still_fail_it() -> None:
    many = {f"old-{number}": PI4 for number in range(60)}
    evidence = shadowed_surely(500, sure=0.0, devices=many) | shadowed_surely(500, sure=0.9, often=0.9, devices=["new"])
    text = judge_shadow(DEFAULT, many | {"new": PI5}, evidence).text
    assert "of which the old release was sure, the new one calls" in text


EVERYTHING = {"differ": 1.0, "neutral": 1.0, "less_sure": 1.0, "slower": 1.0}


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"agreement": 0.0, "shift": 1.0, "swapped": 1.0}, {"differ": 0.4}),
        ({"agreement": 0.0, "shift": 1.0, "swapped": 1.0}, {"neutral": 1.0}),
        ({"agreement": 0.0, "shift": 1.0, "swapped": 1.0}, {"swapped": 1.0}),
        ({"less_sure": 1.0}, {"less_sure": 1.0}),
        ({"slower": 1.0}, {"slower": 1.0}),
        ({"failures": 1.0}, {"failures": 0.9}),
        ({"agreement": 0.0, "shift": 1.0, "less_sure": 1.0, "swapped": 1.0, "slower": 1.0}, EVERYTHING),
    ],
)
def test_a_limit_that_nothing_can_miss_passes(limits: dict[str, float], fault: dict[str, float]) -> None:
    verdict = judged(shadowed(1500, **fault), Plan(shadow=ShadowGate(**limits)))
    assert verdict.outcome is Outcome.PASS, verdict.text
    assert judged(shadowed(1500, **fault)).outcome is Outcome.FAIL


def test_two_models_that_never_agree_pass_where_no_agreement_is_asked_for() -> None:
    plan = Plan(shadow=ShadowGate(agreement=0.0, shift=1.0, swapped=1.0, failures=1.0))
    camera, evidence = Camera("hall", seconds=60.0), begin(NEW)
    for _ in range(100):
        camera.compares(Counter({("happy", "sad"): 3, ("sad", "happy"): 2}))
        evidence = evidence.take(camera.window())
    verdict = judge_shadow(plan, {"hall": PI4}, {"hall": evidence})
    assert verdict.outcome is Outcome.PASS, verdict.text


def test_a_limit_that_nothing_can_miss_still_waits_for_the_faces() -> None:
    plan = Plan(shadow=ShadowGate(agreement=0.0))
    assert judged(shadowed(50), plan).outcome is Outcome.INCONCLUSIVE


def test_a_fault_fails_before_the_asked_for_faces_are_there() -> None:
    assert judged(shadowed(50, differ=0.9)).outcome is Outcome.FAIL


def test_too_few_faces_are_said_by_number() -> None:
    verdict = judged(shadowed(10) | {"door": begin(NEW)})
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "20 of 200 faces." in verdict.text


def test_no_evidence_at_all_is_no_success() -> None:
    assert judged({}).outcome is Outcome.INCONCLUSIVE
    assert judge_shadow(DEFAULT, {}, {}).text == "No device takes part in the shadow. 0 of 200 faces."


def test_a_plan_without_a_shadow_asks_nothing() -> None:
    assert judged({}, Plan(shadow=None)).outcome is Outcome.PASS


def test_a_kind_that_is_away_is_named_and_one_that_saw_nobody_too() -> None:
    evidence = shadowed(2000, devices=("hall", "attic"))
    away = judged(evidence, online={"hall", "attic"})
    assert away.outcome is Outcome.INCONCLUSIVE
    assert "No device of kind pi-5, litert, v4l2 is online." in away.text
    assert "No face yet on a device of kind pi-5, litert, v4l2." in judged(evidence, online=set(KINDS)).text


def test_a_board_without_time_for_two_models_is_told_from_an_empty_room() -> None:
    camera = Camera("hall")
    camera.compares({}, skipped=1234)
    verdict = judged({"hall": begin(NEW).take(camera.window())})
    assert "0 of 200 faces; 1234 were left out for lack of time." in verdict.text


def test_slower_on_one_kind_of_board_fails_though_the_others_are_many() -> None:
    evidence = shadowed(1500, devices=("hall", "attic")) | shadowed(200, devices=("door",), slower=0.9)
    verdict = judged(evidence)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.text.startswith("On pi-5, litert, v4l2 it took")


def test_evidence_of_devices_that_do_not_take_part_is_not_counted() -> None:
    evidence = shadowed(1500) | shadowed(1500, devices=("stranger",), differ=0.9)
    assert judged(evidence).outcome is Outcome.PASS


def test_one_busy_device_is_not_the_verdict_and_that_is_said() -> None:
    evidence = shadowed(200, devices=("hall", "door")) | shadowed(20_000, devices=("attic",))
    verdict = judged(evidence)
    assert any("attic counted for 4 times the median device" in one.text for one in verdict.findings)


def test_windows_that_were_put_aside_are_said() -> None:
    camera = Camera("hall")
    camera.compares({("happy", "happy"): 9})
    evidence = begin(NEW).take(camera.window())
    camera.looks.clear()
    verdict = judged({"hall": evidence.take(camera.window())})
    assert any("Windows of hall were put aside: counts fell." in one.text for one in verdict.findings)


def test_looks_that_resemble_one_another_are_believed_less() -> None:
    """Here every stretch of ten minutes agrees or differs as a whole."""
    rng = random.Random(3)  # noqa: S311  # drawn faces
    evidence = {}
    for device in KINDS:
        camera, found = Camera(device, seconds=600.0), begin(NEW)
        for _ in range(40):
            differ = rng.random() < 0.11
            camera.compares({("happy", "sad" if differ else "happy"): 10})
            found = found.take(camera.window())
        evidence[device] = found
    verdict = judged(evidence)
    agreement = next(one for one in verdict.findings if one.text.startswith("Both name"))
    assert agreement.outcome is Outcome.INCONCLUSIVE
    assert "of 1200 faces" in agreement.text


def test_what_the_gate_measured_between_the_two_models_lowers_what_is_asked() -> None:
    evidence = shadowed(3000, differ=0.22)
    assert judged(evidence).outcome is not Outcome.PASS
    assert judged(evidence, reference=0.82).outcome is Outcome.PASS
    assert judged(evidence, reference=0.99).outcome is not Outcome.PASS
    devices = [Standing(device=device, kind=kind, progress="running") for device, kind in KINDS.items()]
    state = replace(rollout(DEFAULT, (Stage(number=0, share=1.0),)), agreement=0.82)
    outcome = judge(state, 0, Standings(devices, [], {}), evidence, 0.0).outcome
    assert outcome is Outcome.PASS


def test_labels_that_a_device_invents_make_no_judgement_long() -> None:
    evidence = shadowed(500)
    for number in range(20):
        camera = Camera(f"liar-{number}")
        camera.compares({(f"{number}-{label}", f"{number}-{label}"): 5 for label in range(64)})
        evidence[camera.name] = begin(NEW).take(camera.window())
    kinds = KINDS | dict.fromkeys(evidence, PI4)
    families = families_of(DEFAULT.shadow, kinds, evidence)
    assert [len(family) for family in families][1] == 2 * 64


def test_a_label_is_written_so_that_no_terminal_obeys_it() -> None:
    camera = Camera("hall")
    camera.compares({("\x1b[2J", "sad"): 400})
    text = judged({"hall": begin(NEW).take(camera.window())}).text
    assert "\x1b" not in text
    assert r"\x1b" in text

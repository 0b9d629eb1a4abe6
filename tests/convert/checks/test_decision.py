"""The gate's decision by tables: what is found, and the word that its reason begins with."""

from dataclasses import replace

import msgspec
import pytest

from convert.checks.comparison import Comparison
from convert.checks.decision import decide
from convert.checks.measurements import Cost, GoldenRun, Measurements, Rival, Structure
from convert.checks.skew import Skew
from convert.checks.weights import WeightReport
from convert.settings import GateSettings
from edge_contract.manifest import Budget, ImageInput
from train.scoring.scores import Interval

GRAY = ImageInput(height=48, width=48, color="gray")
LABELS = ("angry", "happy")
STRUCTURE = Structure(
    foreign_operators=[],
    open_shapes=[],
    float_tensors=[],
    weights=100,
    network_weights=100,
    input=("UINT8", (1, 48, 48, 1)),
    expected_input=GRAY,
    data_input=GRAY,
)
COMPARISON = Comparison(
    n=1000,
    reference_accuracy=Interval(0.7, 0.67, 0.73),
    accuracy=Interval(0.699, 0.67, 0.73),
    drop=Interval(0.001, -0.002, 0.004),
    mcnemar=0.8,
    recall={"angry": 0.6, "happy": 0.8},
    recall_drop={"angry": Interval(0.002, -0.01, 0.014), "happy": Interval(0.0, -0.003, 0.003)},
    agreement=0.99,
    largest_difference=0.1,
    mean_difference=0.004,
    ece=0.03,
    reference_ece=0.03,
    relabelling={},
    relabelling_gain=0.0,
)
SOUND = Measurements(
    digest="a" * 64,
    recorded_digest="a" * 64,
    manifest_digest="a" * 64,
    size=1000,
    manifest_size=1000,
    unreadable="",
    labels=LABELS,
    dataset_labels=LABELS,
    synthetic=False,
    structure=STRUCTURE,
    weights=WeightReport(compared=100, missing=(), worst=0.5, damaged=()),
    goldens=(
        GoldenRun("litert", "litert 2.3.0", "", 0, 1),
        GoldenRun("tflite-runtime", "tflite-runtime 2.14.0", "", 0, 0),
    ),
    majority=0.5,
    comparison=COMPARISON,
    trained_accuracy=0.7,
    skew=Skew(n=64, largest_pixel=0, agreement=1.0, mean_difference=0.0),
    files=Skew(n=64, largest_pixel=2, agreement=0.98, mean_difference=0.001),
    cost=Cost(latency=0.001, memory=1000, budget=Budget()),
    rival=Rival(model="emotion 1", drop=Interval(-0.02, -0.03, -0.01), mcnemar=0.001),
    rival_synthetic=False,
)
LIMITS = GateSettings()


def refused(measured: Measurements, limits: GateSettings = LIMITS) -> list[str]:
    result = decide(measured, limits)
    assert result.passed == (not result.reasons)
    assert all(reason.endswith((".", "?)", ").")) for reason in result.reasons)
    return [reason.partition(":")[0] for reason in result.reasons]


def test_a_sound_model_passes() -> None:
    assert refused(SOUND) == []


def compared(**changes: object) -> Measurements:
    return replace(SOUND, comparison=replace(COMPARISON, **changes))  # type: ignore[arg-type]


def structured(**changes: object) -> Measurements:
    return replace(SOUND, structure=replace(STRUCTURE, **changes))  # type: ignore[arg-type]


def golden(**changes: object) -> Measurements:
    return replace(SOUND, goldens=(replace(SOUND.goldens[0], **changes), SOUND.goldens[1]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (replace(SOUND, recorded_digest="b" * 64), "digest"),
        (replace(SOUND, manifest_digest="b" * 64), "digest"),
        (replace(SOUND, manifest_size=999), "digest"),
        (replace(SOUND, unreadable="the int8 model is damaged."), "readable"),
        (replace(SOUND, size=10**6 + 1, manifest_size=10**6 + 1), "size"),
        (structured(foreign_operators=["FULLY_CONNECTED v12"]), "operators"),
        (structured(open_shapes=["pixels"]), "static shapes"),
        (structured(float_tensors=["dense"]), "whole numbers"),
        (structured(input=("UINT8", (1, 48, 48, 3))), "input"),
        (structured(input=("FLOAT32", (1, 48, 48, 1))), "input"),
        (structured(data_input=ImageInput(height=48, width=48, color="rgb")), "input"),
        (structured(weights=7), "weights"),
        (replace(SOUND, weights=WeightReport(9, (), 8.0, ("dense[3,1] by 8.0 steps",))), "weights"),
        (replace(SOUND, weights=WeightReport(9, ("dense",), 0.5, ())), "weights"),
        (replace(SOUND, labels=("happy", "angry")), "labels"),
        (replace(SOUND, labels=("happy", "sad")), "labels"),
        (golden(exact=1), "goldens"),
        (golden(delegated=2), "goldens"),
        (golden(failure="the interpreter died of SIGSEGV", exact=None, delegated=None), "goldens"),
        (replace(SOUND, run_failure="no memory", comparison=None, skew=None, cost=None), "runs"),
        (compared(drop=Interval(0.006, 0.003, 0.009)), "accuracy drop"),
        (compared(recall_drop={"angry": Interval(0.05, 0.01, 0.09)}), "recall drop"),
        (compared(agreement=0.93), "agreement"),
        (compared(mean_difference=0.03), "mean difference"),
        (compared(largest_difference=0.7), "largest difference"),
        (compared(ece=0.06), "calibration"),
        (compared(ece_rise=Interval(0.035, 0.01, 0.06)), "calibration"),
        (
            compared(relabelling={"angry": "happy", "happy": "angry"}, relabelling_won=Interval(0.3, 0.27, 0.33)),
            "label order",
        ),
        (replace(SOUND, majority=0.68), "accuracy"),
        # A constant of an unbalanced task, and a guess.
        (
            replace(
                compared(accuracy=Interval(0.97, 0.95, 0.98), balanced=Interval(0.5, 0.48, 0.5)),
                majority=0.97,
                trained_accuracy=None,
            ),
            "accuracy",
        ),
        (
            replace(
                compared(accuracy=Interval(0.9, 0.85, 0.93), balanced=Interval(0.55, 0.4, 0.7)),
                majority=0.97,
                trained_accuracy=None,
            ),
            "accuracy",
        ),
        (compared(tested={"angry": 0, "happy": 1000}), "test"),
        (compared(relabelling={"angry": "happy", "happy": "angry"}, relabelling_gain=0.3), "label order"),
        (replace(SOUND, trained_accuracy=0.9), "training gap"),
        (replace(SOUND, skew=Skew(64, 3, 1.0, 0.0)), "skew"),
        (replace(SOUND, skew=Skew(64, 0, 0.9, 0.0)), "skew"),
        (replace(SOUND, skew=None, skew_failure="it promises rgb"), "skew"),
        (replace(SOUND, files=Skew(64, 9, 1.0, 0.0)), "skew"),
        (replace(SOUND, files=Skew(64, 0, 1.0, 0.03)), "skew"),
        (replace(SOUND, cost=Cost(0.2, 1000, Budget(latency=0.1))), "latency"),
        (replace(SOUND, cost=Cost(0.001, 2**30, Budget())), "memory"),
        (replace(SOUND, rival=Rival("emotion 1", Interval(0.03, 0.01, 0.05), 0.001)), "champion"),
        (replace(SOUND, synthetic=True), "champion"),
    ],
)
def test_each_fault_has_its_own_reason(measured: Measurements, reason: str) -> None:
    assert refused(measured) == [reason]


@pytest.mark.parametrize(
    "measured",
    [
        # Right on all of an unbalanced test, where one label is 97 of 100: the interval of accuracy holds 97.
        replace(compared(accuracy=Interval(1.0, 0.963, 1.0), balanced=Interval(1.0, 0.7, 1.0)), majority=0.97),
        # Two images of a small test are no loss: the interval holds zero.
        compared(drop=Interval(0.01, -0.004, 0.024)),
        compared(agreement=0.945),
        # Nor one more or less in a small class.
        compared(recall_drop={"angry": Interval(0.05, -0.01, 0.11)}),
        # Of few images calibration, names and training's own accuracy are hardly known.
        compared(ece=0.06, ece_rise=Interval(0.035, -0.01, 0.08)),
        compared(relabelling={"angry": "happy", "happy": "angry"}, relabelling_won=Interval(0.02, -0.01, 0.05)),
        replace(compared(accuracy=Interval(0.7, 0.48, 0.86)), trained_accuracy=0.84, majority=0.3),
        # Within the interval of the champion on the same images.
        replace(SOUND, rival=Rival("emotion 1", Interval(0.01, -0.005, 0.025), 0.2)),
        # Two models of drawn faces may replace each other.
        replace(SOUND, synthetic=True, rival_synthetic=True),
        replace(SOUND, rival=None),
        # Nothing is known of training: the check is listed as not run.
        replace(SOUND, trained_accuracy=None),
        # Quantization-aware training changes weights; there is nothing to compare them with.
        replace(SOUND, weights=None),
    ],
)
def test_what_is_no_fault_passes(measured: Measurements) -> None:
    assert refused(measured) == []


def test_how_often_the_champion_agrees_is_recorded_with_whose_agreement_it_is() -> None:
    rival = Rival("emotion 1", Interval(-0.02, -0.03, -0.01), 0.001, digest="b" * 64, agreement=0.77)
    result = decide(replace(SOUND, rival=rival), LIMITS)
    assert result.agreement_with("b" * 64) == 0.77
    assert result.agreement_with("c" * 64) is None
    assert decide(SOUND, LIMITS).agreement_with("b" * 64) is None
    odd = msgspec.structs.replace(result, checks=result.checks | {"agreement_with_champion": "often"})
    assert odd.agreement_with("b" * 64) is None


def test_an_absent_runtime_is_listed_and_refuses_only_where_required() -> None:
    absent = replace(SOUND, goldens=(SOUND.goldens[0], GoldenRun("tflite-runtime", "", "absent", None, None)))
    assert refused(absent) == ["goldens"]
    lenient = msgspec.structs.replace(LIMITS, required_runtimes=("litert",))
    assert refused(absent, lenient) == []
    assert decide(absent, lenient).checks["goldens_tflite-runtime"] == "not run: absent"


def test_a_required_runtime_that_was_not_even_asked_refuses() -> None:
    assert refused(replace(SOUND, goldens=SOUND.goldens[:1])) == ["goldens"]

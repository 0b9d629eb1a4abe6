"""The gate's checks of what the model answers: against float, truth, the device's path and the champion."""

from collections.abc import Iterator

from convert.checks.comparison import Comparison
from convert.checks.measurements import Check, Cost, Measurements
from convert.checks.picture_files import ROUNDING
from convert.settings import GateSettings
from edge_contract.manifest import CHAMPION_AGREEMENT, CHAMPION_DIGEST
from train.scoring.scores import Interval, wilson


def against_float(found: Comparison, limits: GateSettings) -> Iterator[Check]:
    """What int8 loses against the trained network."""
    drop = found.drop
    yield Check(
        "accuracy_drop",
        drop.value,
        f"accuracy drop: int8 loses {_points(drop)} against float on {found.n} images "
        f"(McNemar p = {found.mcnemar:.2g}); {100 * limits.accuracy_drop:.2g} are allowed."
        if drop.value > limits.accuracy_drop and drop.low > 0
        else None,
    )
    yield Check("mcnemar", found.mcnemar)
    worst = max(found.recall_drop, key=lambda label: found.recall_drop[label].value)
    lost = [
        f"{label} loses {_points(gap)}"
        for label, gap in found.recall_drop.items()
        if gap.value > limits.recall_drop and gap.low > 0
    ]
    yield Check(
        "recall_drop",
        found.recall_drop[worst].value,
        f"recall drop: {'; '.join(lost)}; {100 * limits.recall_drop:.2g} are allowed." if lost else None,
    )
    low = wilson(round(found.agreement * found.n), found.n).high < limits.agreement
    yield Check(
        "agreement",
        found.agreement,
        f"agreement: int8 names float's label on {found.agreement:.1%} of the images; "
        f"{limits.agreement:.1%} are asked for."
        if low
        else None,
    )
    for name, value, limit in (
        ("mean_difference", found.mean_difference, limits.mean_difference),
        ("largest_difference", found.largest_difference, limits.largest_difference),
    ):
        words = name.replace("_", " ")
        yield Check(
            name,
            value,
            f"{words}: a probability differs by {value:.3f}; {limit:g} is allowed." if value > limit else None,
        )
    rise = found.ece_rise or _exactly(found.ece - found.reference_ece)
    yield Check(
        "ece_rise",
        rise.value,
        f"calibration: int8's error is {_points(rise)} above float's; {100 * limits.ece_rise:.2g} are allowed."
        if rise.value > limits.ece_rise and rise.low > 0
        else None,
    )


def worth(found: Comparison, measured: Measurements, limits: GateSettings) -> Iterator[Check]:
    """Better than always naming one label, as good as training reported, and with its outputs in the labels' order."""
    # Where one label is most of the images, even all of them right are hardly more than that one: then mean recall,
    # which is one label's share of the labels however the images are spread, tells a model from a constant.
    one_label = 1 / max(1, len(found.recall))
    ignorant = found.accuracy.low <= measured.majority and (found.balanced is None or found.balanced.low <= one_label)
    recall = f", nor its mean recall of {found.balanced.value:.1%} above {one_label:.1%}" if found.balanced else ""
    yield Check(
        "accuracy",
        found.accuracy.value,
        f"accuracy: {found.accuracy.value:.1%} is not above always naming the most frequent label "
        f"({measured.majority:.1%}){recall}, as far as {found.n} images tell."
        if ignorant
        else None,
    )
    untested = [label for label, count in found.tested.items() if not count]
    yield Check(
        "untested_labels",
        len(untested),
        f"test: no image shows {', '.join(untested)}: what the model knows of that is not known." if untested else None,
    )
    if measured.trained_accuracy is None:
        yield Check("training_gap", None)
    else:
        gap = measured.trained_accuracy - found.accuracy.value
        yield Check(
            "training_gap",
            gap,
            f"training gap: training reported {measured.trained_accuracy:.1%}, the exported file reaches "
            f"{found.accuracy.value:.1%}: it does not see the pictures that training saw (is the rescaling inside?)."
            if gap > limits.training_gap and measured.trained_accuracy > found.accuracy.high
            else None,
        )
    won = found.relabelling_won or _exactly(found.relabelling_gain)
    shuffled = won.value > limits.relabelling_gain and won.low > 0
    moves = ", ".join(f"{named} answers {better}" for named, better in found.relabelling.items())
    yield Check(
        "relabelling_gain",
        won.value,
        f"label order: {moves}: renaming would win {_points(won)}." if shuffled else None,
    )


def skew(measured: Measurements, limits: GateSettings) -> Iterator[Check]:
    """The device's path from picture to tensor."""
    found = measured.skew
    if found is None:
        reason = f"skew: the device's path gave no answer ({measured.skew_failure})." if measured.skew_failure else None
        yield Check("skew_agreement", None, reason)
        return
    wrong = found.agreement < limits.skew_agreement or found.mean_difference > limits.skew_difference
    wrong = wrong or found.largest_pixel > 0
    yield Check("skew_pixel", found.largest_pixel)
    yield Check(
        "skew_agreement",
        found.agreement,
        f"skew: the device's own path from picture to tensor differs from training's by up to {found.largest_pixel} "
        f"grey levels and changes the answer on {1 - found.agreement:.1%} of {found.n} images."
        if wrong
        else None,
    )
    files = measured.files
    if files is None:
        yield Check("file_pixel", None)
        return
    wrong = files.largest_pixel > ROUNDING or files.mean_difference > limits.mean_difference
    yield Check("file_agreement", files.agreement)
    yield Check(
        "file_pixel",
        files.largest_pixel,
        f"skew: of picture files the device makes tensors up to {files.largest_pixel} grey levels from what training "
        f"reads of the same square ({ROUNDING} are rounding); the answer changes on {1 - files.agreement:.1%} of "
        f"{files.n} (is the manifest's resize method training's?)."
        if wrong
        else None,
    )


def cost(found: Cost) -> Iterator[Check]:
    """Time (95th percentile of an invocation, seconds) and memory (bytes) against the manifest's budget."""
    slow, fat = found.latency > found.budget.latency, found.memory > found.budget.memory
    yield Check(
        "latency_s",
        found.latency,
        f"latency: {1000 * found.latency:.2f} ms pass the budget of {1000 * found.budget.latency:.2f} ms."
        if slow
        else None,
    )
    yield Check(
        "memory",
        found.memory,
        f"memory: {found.memory / 2**20:.1f} MiB pass the budget of {found.budget.memory / 2**20:.1f} MiB."
        if fat
        else None,
    )


def champion(measured: Measurements) -> Iterator[Check]:
    """Not worse than the champion on the same images."""
    rival = measured.rival
    if rival is None:
        yield Check("champion", None)
        return
    reason = None
    if measured.synthetic and not measured.rival_synthetic:
        reason = f"champion: this model was trained on rendered faces and cannot replace {rival.model}, which was not."
    elif rival.drop.low > 0:
        reason = (
            f"champion: {rival.model} is better by {_points(rival.drop)} on the same images "
            f"(McNemar p = {rival.mcnemar:.2g})."
        )
    yield Check("champion", rival.model)
    yield Check("champion_drop", rival.drop.value, reason)
    if rival.agreement is not None:
        yield Check(CHAMPION_DIGEST, rival.digest)
        yield Check(CHAMPION_AGREEMENT, rival.agreement)


def _exactly(value: float) -> Interval:
    """What an earlier record holds without its interval."""
    return Interval(value, value, value)


def _points(gap: Interval) -> str:
    return f"{100 * gap.value:.2f} points [{100 * gap.low:.2f}, {100 * gap.high:.2f}]"

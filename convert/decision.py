"""May this model be signed? A pure decision: measurements and limits in, one sentence for each reason against it out.

Nothing here measures (see `measure`) or reads a file. A check that was not run is not a pass: it is listed as such,
and refuses where the limits require it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from convert.comparison import Comparison
from convert.measurements import Cost, GoldenRun, Measurements, Structure
from convert.settings import GateSettings
from convert.weights import WeightReport
from edge_contract.manifest import GateResult
from edge_vision.goldens import EXACT, WITH_DELEGATES
from train.scores import Interval


class Check(NamedTuple):
    """One check: what was found, and why it speaks against the model (None when it does not)."""

    name: str
    value: float | str | bool | None
    reason: str | None = None


def decide(measured: Measurements, limits: GateSettings) -> GateResult:
    """Hold the measurements against the limits."""
    checks = list(_checks(measured, limits))
    reasons = tuple(check.reason for check in checks if check.reason is not None)
    return GateResult(passed=not reasons, reasons=reasons, checks={check.name: check.value for check in checks})


def _checks(measured: Measurements, limits: GateSettings) -> Iterator[Check]:
    yield from _identity(measured)
    if measured.unreadable:
        yield Check("readable", False, f"readable: {measured.unreadable}")
        return
    yield Check("readable", True)
    over = measured.size > limits.largest_file
    yield Check("size", measured.size, f"size: {measured.size} bytes pass the {limits.largest_file}." if over else None)
    if measured.structure is not None:
        yield from _structure(measured.structure)
    yield from _labels(measured)
    if measured.weights is not None:
        yield from _weights(measured.weights)
    asked = {run.runtime for run in measured.goldens}
    for name in limits.required_runtimes:
        if name not in asked:
            yield Check(f"goldens_{name}", "not run", f"goldens: {name} is required and was not asked.")
    for run in measured.goldens:
        yield from _goldens(run, required=run.runtime in limits.required_runtimes)
    if measured.run_failure:
        yield Check("runs", False, f"runs: the reference runtime gave no answers ({measured.run_failure}).")
    if measured.comparison is not None:
        yield from _against_float(measured.comparison, limits)
        yield from _worth(measured.comparison, measured, limits)
    yield from _skew(measured, limits)
    if measured.cost is not None:
        yield from _cost(measured.cost)
    yield from _champion(measured)


def _identity(measured: Measurements) -> Iterator[Check]:
    reason = None
    if measured.digest != measured.recorded_digest:
        reason = (
            f"digest: the file is {measured.digest[:12]}, the conversion wrote {measured.recorded_digest[:12]}; "
            "it was changed since, convert again."
        )
    elif measured.digest != measured.manifest_digest:
        reason = f"digest: the manifest says {measured.manifest_digest[:12]}, the file is {measured.digest[:12]}."
    elif measured.size != measured.manifest_size:
        reason = f"digest: the manifest says {measured.manifest_size} bytes, the file has {measured.size}."
    yield Check("digest", measured.digest, reason)


def _structure(found: Structure) -> Iterator[Check]:
    names = ", ".join(found.foreign_operators)
    yield Check(
        "operators",
        names or "all known",
        f"operators: {names}: not on every runtime of the matrix." if names else None,
    )
    names = "; ".join(found.open_shapes[:3])
    yield Check(
        "static_shapes", not names, f"static shapes: {names} must be fixed, with a batch of one." if names else None
    )
    names = ", ".join(found.float_tensors[:3])
    yield Check(
        "whole_numbers",
        not names,
        f"whole numbers: {len(found.float_tensors)} tensors are not quantized ({names}, …)." if names else None,
    )
    wanted = (found.expected_input.dtype.upper(), found.expected_input.shape)
    reason = None
    if found.input != wanted:
        reason = (
            f"input: the model takes {found.input[0]} {list(found.input[1])}, its manifest promises "
            f"{found.expected_input.color} {wanted[0]} {list(wanted[1])}."
        )
    elif found.expected_input.color != found.data_input.color:
        reason = f"input: the manifest promises {found.expected_input.color}, the data set is {found.data_input.color}."
    yield Check("input", reason is None, reason)
    short = found.weights < found.network_weights
    yield Check(
        "weight_count",
        found.weights,
        f"weights: the file holds {found.weights} of the network's {found.network_weights}: it lost them in conversion."
        if short
        else None,
    )


def _labels(measured: Measurements) -> Iterator[Check]:
    reason = None
    if sorted(measured.labels) != sorted(measured.dataset_labels):
        reason = (
            f"labels: the manifest names {', '.join(measured.labels)}; the data {', '.join(measured.dataset_labels)}."
        )
    elif measured.labels != measured.dataset_labels:
        moved = [
            f"output {number} is {right}, not {named}"
            for number, (named, right) in enumerate(zip(measured.labels, measured.dataset_labels, strict=True))
            if named != right
        ]
        reason = f"labels: their order is not the data set's: {'; '.join(moved)}."
    yield Check("labels", reason is None, reason)


def _weights(found: WeightReport) -> Iterator[Check]:
    reason = None
    if found.missing:
        reason = f"weights: {len(found.missing)} float constants have no quantized partner ({found.missing[0]}, …)."
    elif found.damaged:
        reason = (
            f"weights: {len(found.damaged)} tensors hold a number that is not the rounded float "
            f"({found.damaged[0]}): damaged after or in conversion."
        )
    yield Check("weight_error_steps", found.worst, reason)


def _goldens(run: GoldenRun, *, required: bool) -> Iterator[Check]:
    name = f"goldens_{run.runtime}"
    if run.failure:
        reason = f"goldens: {run.runtime} gave no answer: {run.failure}." if required else None
        yield Check(name, f"not run: {run.failure}", reason)
        return
    for kind, worst, tolerance in (("exact", run.exact, EXACT), ("delegated", run.delegated, WITH_DELEGATES)):
        wrong = worst is None or worst > tolerance
        how = "without" if kind == "exact" else "with"
        yield Check(
            f"{name}_{kind}",
            worst,
            f"goldens: {run.version} {how} delegates answers up to {worst} steps off; {tolerance} is allowed."
            if wrong and required
            else None,
        )


def _against_float(found: Comparison, limits: GateSettings) -> Iterator[Check]:
    drop = found.drop
    yield Check(
        "accuracy_drop",
        drop.value,
        f"accuracy drop: int8 loses {_points(drop)} against float on {found.n} images "
        f"(McNemar p = {found.mcnemar:.2g}); {100 * limits.accuracy_drop:.2g} are allowed."
        if drop.value > limits.accuracy_drop
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
    low = found.agreement < limits.agreement
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
    rise = found.ece - found.reference_ece
    yield Check(
        "ece_rise",
        rise,
        f"calibration: int8's error is {100 * rise:.1f} points above float's; {100 * limits.ece_rise:.2g} are allowed."
        if rise > limits.ece_rise
        else None,
    )


def _worth(found: Comparison, measured: Measurements, limits: GateSettings) -> Iterator[Check]:
    """Does it know anything, is it what training saw, and do its outputs bear the right names?"""
    ignorant = found.accuracy.low <= measured.majority
    yield Check(
        "accuracy",
        found.accuracy.value,
        f"accuracy: {found.accuracy.value:.1%} is not above always naming the most frequent label "
        f"({measured.majority:.1%})."
        if ignorant
        else None,
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
            if gap > limits.training_gap
            else None,
        )
    shuffled = found.relabelling_gain > limits.relabelling_gain
    moves = ", ".join(f"{named} answers {better}" for named, better in found.relabelling.items())
    yield Check(
        "relabelling_gain",
        found.relabelling_gain,
        f"label order: {moves}: renaming would win {100 * found.relabelling_gain:.1f} points." if shuffled else None,
    )


def _skew(measured: Measurements, limits: GateSettings) -> Iterator[Check]:
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


def _cost(cost: Cost) -> Iterator[Check]:
    slow, fat = cost.latency > cost.budget.latency, cost.memory > cost.budget.memory
    yield Check(
        "latency_s",
        cost.latency,
        f"latency: {1000 * cost.latency:.2f} ms pass the budget of {1000 * cost.budget.latency:.2f} ms."
        if slow
        else None,
    )
    yield Check(
        "memory",
        cost.memory,
        f"memory: {cost.memory / 2**20:.1f} MiB pass the budget of {cost.budget.memory / 2**20:.1f} MiB."
        if fat
        else None,
    )


def _champion(measured: Measurements) -> Iterator[Check]:
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


def _points(gap: Interval) -> str:
    return f"{100 * gap.value:.2f} points [{100 * gap.low:.2f}, {100 * gap.high:.2f}]"

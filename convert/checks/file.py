"""The gate's checks of the file itself: what it is, what it holds, and that every runtime computes the same with it."""

from collections.abc import Iterator

from convert.checks.measurements import Check, GoldenRun, Measurements, Structure
from convert.checks.weights import WeightReport
from edge_vision.goldens import EXACT, WITH_DELEGATES


def identity(measured: Measurements) -> Iterator[Check]:
    """The file is the one that was converted, and the one its manifest describes."""
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


def structure(found: Structure) -> Iterator[Check]:
    """Operators, shapes, types and weights of the file."""
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


def labels(measured: Measurements) -> Iterator[Check]:
    """The manifest's labels against the data set's."""
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


def weights(found: WeightReport) -> Iterator[Check]:
    """Every weight of the int8 file is the rounded float; the value is the largest difference, in steps."""
    reason = None
    if found.missing:
        reason = f"weights: {len(found.missing)} float constants have no quantized partner ({found.missing[0]}, …)."
    elif found.damaged:
        reason = (
            f"weights: {len(found.damaged)} tensors hold a number that is not the rounded float "
            f"({found.damaged[0]}): damaged after or in conversion."
        )
    yield Check("weight_error_steps", found.worst, reason)


def goldens(run: GoldenRun, *, required: bool) -> Iterator[Check]:
    """One runtime's answers to the goldens, in steps of the output; what it may be off is `edge_vision.goldens`'."""
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

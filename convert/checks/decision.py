"""Whether a model may be released, purely: measurements and limits in, one sentence for each reason against it out.

Nothing here measures (see `measure`) or reads a file. A check that was not run is not a pass: it is listed as such,
and refuses where the limits require it.
"""

from collections.abc import Iterator

from convert.checks import answers, field, file
from convert.checks.measurements import Check, Measurements
from convert.settings import GateSettings
from edge_contract.manifest import GateResult


def decide(measured: Measurements, limits: GateSettings) -> GateResult:
    """Hold the measurements against the limits."""
    checks = list(_checks(measured, limits))
    reasons = tuple(check.reason for check in checks if check.reason is not None)
    return GateResult(passed=not reasons, reasons=reasons, checks={check.name: check.value for check in checks})


def _checks(measured: Measurements, limits: GateSettings) -> Iterator[Check]:
    yield from file.identity(measured)
    if measured.unreadable:
        yield Check("readable", False, f"readable: {measured.unreadable}")
        return
    yield Check("readable", True)
    over = measured.size > limits.largest_file
    yield Check("size", measured.size, f"size: {measured.size} bytes pass the {limits.largest_file}." if over else None)
    if measured.structure is not None:
        yield from file.structure(measured.structure)
    yield from file.labels(measured)
    if measured.weights is not None:
        yield from file.weights(measured.weights)
    asked = {run.runtime for run in measured.goldens}
    for name in limits.required_runtimes:
        if name not in asked:
            yield Check(f"goldens_{name}", "not run", f"goldens: {name} is required and was not asked.")
    for run in measured.goldens:
        yield from file.goldens(run, required=run.runtime in limits.required_runtimes)
    if measured.run_failure:
        yield Check("runs", False, f"runs: the reference runtime gave no answers ({measured.run_failure}).")
    if measured.comparison is not None:
        yield from answers.against_float(measured.comparison, limits)
        yield from answers.worth(measured.comparison, measured, limits)
    yield from answers.skew(measured, limits)
    if measured.cost is not None:
        yield from answers.cost(measured.cost)
    yield from answers.champion(measured)
    yield from field.faces(measured, limits)

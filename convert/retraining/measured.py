"""What a retraining was worth, from the gate's measurements: the champion before it and the new model, on old and new.

The old data's are of the test split; the field's are of faces that devices kept by chance and nothing learned from.
"""

import math

from convert.checks.measurements import Measurements


def figures(found: Measurements) -> dict[str, float]:
    """Accuracies 0..1 by name; what was not measured is left out."""
    known: dict[str, float | None] = {}
    if found.comparison is not None:
        known["accuracy_after"] = found.comparison.accuracy.value
        if found.rival is not None:
            known["accuracy_before"] = found.comparison.accuracy.value + found.rival.drop.value
    if found.field is not None and found.field.n:
        known["field_accuracy_after"] = found.field.accuracy.value
        if found.field.champion_accuracy is not None:
            known["field_accuracy_before"] = found.field.champion_accuracy.value
    return {name: value for name, value in sorted(known.items()) if value is not None and math.isfinite(value)}

"""The gate's checks on labelled faces from devices: not worse than the champion there, and no device's labels wrong.

Two doors, for a device whose labels are wrong deceives one of them: a model that learned wrong labels is better on
wrong labels. So the labels themselves are held against the champion, which did not learn them.
"""

from collections.abc import Iterator

from convert.checks.field_faces import DeviceFaces, FieldFaces
from convert.checks.measurements import Check, Measurements
from convert.settings import GateSettings


def faces(measured: Measurements, limits: GateSettings) -> Iterator[Check]:
    """Everything that is asked of faces from devices; nothing where the data hold none."""
    found = measured.field
    if found is None:
        yield Check("field", None)
        return
    yield Check("field", found.n, _too_few(found, limits))
    if found.n:
        yield Check("field_accuracy", found.accuracy.value)
    if found.drop is not None and found.mcnemar is not None and found.champion_accuracy is not None:
        worse = found.drop.value > 0 and found.mcnemar < limits.field_p and found.n >= limits.field_least
        yield Check("field_champion_accuracy", found.champion_accuracy.value)
        yield Check(
            "field_champion_drop",
            found.drop.value,
            f"field: {found.champion} is better by {100 * found.drop.value:.1f} points on {found.n} faces from devices "
            f"that nothing learned from (exact McNemar p = {found.mcnemar:.2g})."
            if worse
            else None,
        )
    renamed = [text for device in found.devices if (text := _renamed(device, limits))]
    yield Check("field_labels_renamed", len(renamed), " ".join(renamed) or None)
    noise = [text for device in found.devices if (text := _noise(device, limits))]
    yield Check("field_labels_of_luck", len(noise), " ".join(noise) or None)


def _too_few(found: FieldFaces, limits: GateSettings) -> str | None:
    if not found.learned or found.n >= limits.field_least:
        return None
    return (
        f"field: {found.learned} faces from devices were learned from, and of {found.n} that chance chose nothing was; "
        f"{limits.field_least} are needed to tell what that did: label more of the random stratum."
    )


def _renamed(device: DeviceFaces, limits: GateSettings) -> str | None:
    """Under other names most answers would be right: no camera does that to a model, a confused labeller does.

    A camera in the dark does make a model name one label throughout; under the most frequent label's name that is
    right more often too, but never more often than that label is frequent.
    """
    wrong = device.renaming_gain.low > limits.field_renaming and device.renamed.low > device.majority
    if device.known_n < limits.field_least or not wrong:
        return None
    moves = ", ".join(f"{answer} is labelled {label}" for answer, label in sorted(device.renaming.items()))
    return (
        f"labels of {device.device}: {moves}: under other names {device.renamed.value:.0%} of {device.known_n} answers "
        f"would be right, and {device.known.value:.0%} are. Look at these labels, or leave the device out."
    )


def _noise(device: DeviceFaces, limits: GateSettings) -> str | None:
    """Neither model's answers have anything to do with the labels."""
    learned_nothing = device.held_out >= limits.field_least and device.accuracy.low <= device.by_luck
    if device.known_n < limits.field_least or device.known.low > device.known_by_luck or not learned_nothing:
        return None
    return (
        f"labels of {device.device}: of {device.held_out} faces {device.accuracy.value:.0%} are named as they are "
        f"labelled, and {device.by_luck:.0%} would be by luck: labels or pictures of this device show nothing. "
        "Look at them, or leave the device out."
    )

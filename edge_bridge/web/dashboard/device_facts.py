"""What is known of one device, as the lines and numbers of its page. Pure."""

from collections.abc import Mapping, Sequence

from edge_bridge.drift.unsure import ENOUGH
from edge_bridge.drift.view import DeviceDrift
from edge_bridge.fleet import record
from edge_bridge.fleet.conditions import span
from edge_bridge.fleet.histograms import quantile
from edge_bridge.fleet.record import Device
from edge_bridge.web.dashboard.words import NOTHING, ago, counted, model, moment, per_cent, size
from edge_contract.group_status import Behind, GroupStatus
from edge_contract.messages import STAGES
from edge_contract.metrics import DeviceCounter, DeviceGauge
from edge_contract.release_card import ReleaseCard
from edge_contract.throttling import throttling
from edge_contract.update_state import SETTLED
from edge_contract.visible import visible

Facts = list[tuple[str, str]]


def inventory(device: Device, now: float) -> Facts:
    """What the device is."""
    info, gauges = device.info, device.gauges
    found: Facts = [("Site", device.site or NOTHING)]
    if info is not None:
        found += [
            ("Groups", ", ".join(info.groups) or "none"),
            ("Board", visible(info.board)),
            ("Camera", visible(info.camera)),
            ("System", f"{visible(info.os)}, Python {visible(info.python)}"),
            ("Agent", f"{visible(info.agent)}, {visible(info.runtime)}"),
            ("Started", f"{moment(info.started)} ({ago(now - info.started)})"),
        ]
    found.append(
        ("Last seen", f"{moment(device.last_seen)} ({ago(now - device.last_seen)})" if device.last_seen else "never")
    )
    for gauge, name, text in (
        (DeviceGauge.RSS_BYTES, "Memory", size),
        (DeviceGauge.CPU_SHARE, "Processor", lambda value: f"{value:.2f} cores"),
        (DeviceGauge.SPOOL_ROWS, "Waiting", lambda value: counted(round(value), "message")),
        (DeviceGauge.CERTIFICATE_EXPIRES, "Certificate", lambda value: f"ends {moment(value)}"),
        (DeviceGauge.TRUST_EXPIRES, "Signed lists", lambda value: f"end {moment(value)}"),
    ):
        if gauge in gauges:
            found.append((name, text(gauges[gauge])))
    if slowed := throttling(gauges.get(DeviceGauge.THROTTLED, 0)).now:
        found.append(("Slowed by", ", ".join(slowed)))
    return found


def counters(device: Device) -> Facts:
    """What it counted over all its sessions."""
    names = (
        (DeviceCounter.FRAMES, "Frames"),
        (DeviceCounter.DROPS, "Left out"),
        (DeviceCounter.FACES, "Faces"),
        (DeviceCounter.PREDICTIONS, "Predictions"),
        (DeviceCounter.ERRORS, "Errors"),
        (DeviceCounter.RECONNECTS, "Camera opened again"),
        (DeviceCounter.CONNECTS, "Connections to the broker"),
        (DeviceCounter.SPOOL_DROPPED, "Messages lost"),
    )
    return [(name, f"{device.counters[counter]:,}") for counter, name in names if counter in device.counters]


def pictures(device: Device) -> Facts:
    """How good its pictures are, by the newest window."""
    gauges = device.gauges
    shown = (
        (DeviceGauge.BRIGHTNESS, "Brightness", per_cent),
        (DeviceGauge.CONTRAST, "Contrast", lambda value: per_cent(value, 1)),
        (DeviceGauge.SHARPNESS, "Sharpness", lambda value: f"{value:.2f}"),
        (DeviceGauge.FACELESS, "Frames without a face", per_cent),
        (DeviceGauge.FROZEN_SECONDS, "Same picture for", span),
        (DeviceGauge.FACE_PIXELS, "Faces, side", lambda value: f"{value:.0f} pixels"),
        (DeviceGauge.FACE_BRIGHTNESS, "Faces, brightness", per_cent),
        (DeviceGauge.FACE_CONTRAST, "Faces, contrast", lambda value: per_cent(value, 1)),
        (DeviceGauge.FACE_SHARPNESS, "Faces, sharpness", lambda value: f"{value:.2f}"),
        (DeviceGauge.FACE_ROLL_DEGREES, "Faces lean by", lambda value: f"{value:.0f}°"),
    )
    return [(name, text(gauges[gauge])) for gauge, name, text in shown if gauge in gauges]


def lineage(device: Device, cards: Mapping[str, ReleaseCard]) -> Facts:
    """The model that runs, down to the commit and the data it came from, as far as its card says."""
    active = device.active
    if active is None:
        return []
    found: Facts = [("Release", model(active)), ("Digest", active.digest)]
    card = cards.get(active.digest)
    return found if card is None else found + of_card(card)


def of_card(card: ReleaseCard) -> Facts:
    """What a release's card says."""
    manifest, line = card.manifest, card.manifest.lineage
    found: Facts = []
    if card.withdrawn:
        found.append(("Withdrawn", "yes: no device is to run it"))
    found.append(("File", f"{size(manifest.size)}, {manifest.quantization}, {len(manifest.labels)} labels"))
    if manifest.accuracy is not None:
        score = manifest.accuracy.int8
        found.append(
            (
                "Accuracy",
                f"{score.accuracy:.2%} [{score.low:.2%}, {score.high:.2%}], n = {score.n:,}, "
                f"{visible(score.dataset)} {visible(score.split)}",
            )
        )
    found += [
        (name, visible(value))
        for name, value in (
            ("Git commit", line.git_commit),
            ("Data", line.dataset),
            ("DVC lock", line.dvc_lock),
            ("Parameters", line.params),
            ("MLflow run", line.mlflow_run),
            ("MLflow version", line.mlflow_version),
            ("Trained on", line.trained_on),
            ("Caveat", manifest.caveat),
        )
        if value
    ]
    return found


def stages(device: Device) -> list[tuple[str, float | None, float | None]]:
    """Median and 95th percentile of each stage in seconds, since the session began."""
    window = next((each for each in device.windows if each.session == device.session), None)
    if window is None:
        return []
    counted = [(stage, window.stages[stage].counts) for stage in STAGES if stage in window.stages]
    return [(stage, quantile(each, 0.5), quantile(each, 0.95)) for stage, each in counted if any(each)]


def answers(device: Device) -> dict[str, int]:
    """Faces by label under the model that runs, over all its sessions."""
    return dict(device.emotions.get(record.short(device.active), {})) if device.active is not None else {}


def why(device: Device, groups: Mapping[str, GroupStatus]) -> str:
    """What it runs, what it is to run, and what it waits for, in one or two sentences."""
    mine = [status for name, status in groups.items() if device.info is not None and name in device.info.groups]
    for status in mine:
        for each in status.behind:
            if each.device == device.id:
                return _sentence(each, status.group)
    runs = f"It runs {model(device.active)}" if device.active is not None else "It has said of no model that it runs it"
    reported = device.reported
    if reported is not None and reported.target is not None:
        because = f": {visible(reported.reason).rstrip('.')}" if reported.reason else ""
        if reported.state not in SETTLED:
            held = f"{reported.state.text} ({reported.progress:.0%} held)"
            return f"{runs} and takes up {model(reported.target)}: {held}{because}."
        if reported.target != reported.active:
            return f"{runs}; {model(reported.target)} was {reported.state.text}{because}."
    desired = next((status for status in mine if status.desired is not None), None)
    if desired is not None and device.active is not None and desired.desired is not None:
        if desired.desired.digest == device.active.digest:
            return f"{runs}, as group {desired.group} is to."
        return f"{runs}, and group {desired.group} is to run {model(desired.desired)}."
    return f"{runs}."


def groups_of(device: Device, groups: Mapping[str, GroupStatus]) -> list[str]:
    """Of its groups those that the release side speaks of."""
    return [each for each in (device.info.groups if device.info is not None else ()) if each in groups]


def drift(found: DeviceDrift) -> Facts:
    """How its answers compare with what is expected of it."""
    facts: Facts = []
    if found.frozen:
        since = f"learned since {moment(found.since)}, kept since {moment(found.frozen)}"
        facts.append(("Baseline", f"{found.learned:,} faces, {since}"))
    else:
        faces = f"{found.learned:,} of {found.wanted:,} faces, over at least {found.hours:.0f} hours"
        facts.append(("Baseline", f"being learned: {faces}"))
    for reference, evidence in found.evidence.items():
        effect = f"largest change of a share {found.effect.get(reference, 0.0):.0%}"
        facts.append((f"Against {_REFERENCES.get(reference, reference)}", f"evidence 10^{evidence:.1f}, {effect}"))
    if not found.comparable:
        without = f"not compared: the release's card does not say how {ENOUGH:.0f} test pictures or more were answered"
        facts.append((f"Against {_REFERENCES['manifest']}", without))
    for each in found.estimates:
        facts.append(
            (
                f"Estimated accuracy ({each.method})",
                f"{each.value:.1%} [{each.low:.1%}, {each.high:.1%}], {each.tracks:,.0f} faces, without labels",
            )
        )
    return facts


def mixes(found: DeviceDrift) -> tuple[Sequence[str], Sequence[float], Sequence[float]]:
    """Labels, their shares in the baseline and lately, in per cent."""
    labels = sorted({*found.mix, *found.recent})
    return (
        labels,
        [round(100 * found.mix.get(label, 0.0), 1) for label in labels],
        [round(100 * found.recent.get(label, 0.0), 1) for label in labels],
    )


_REFERENCES = {"manifest": "the test pictures", "baseline": "its own baseline", "peers": "its group"}


def _sentence(behind: Behind, group: str) -> str:
    text = visible(behind.why).rstrip(".")
    return f"Group {group}, {behind.kind}: {text}."

"""The gates of a wave: `installed`, `healthy` and `behaves`. Pure.

A failure is a device that rejected the release, rolled back, timed out, or fell silent after activation. Offline
devices are neither good nor bad: they are listed, and counted in no denominator.
"""

import itertools
import math
import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from edge_contract.visible import visible
from edge_fleet.rollout.devices.standing import Standing
from edge_fleet.rollout.evidence.evidence import Evidence
from edge_fleet.rollout.evidence.gains import LABELS
from edge_fleet.rollout.gates import asked
from edge_fleet.rollout.gates.asked import Asked
from edge_fleet.rollout.gates.bounds import Interval, against_share, at_most
from edge_fleet.rollout.gates.change import Change, Sides, changed, phases
from edge_fleet.rollout.gates.verdict import Finding, Outcome, Verdict
from edge_fleet.rollout.gates.wording import faults, listed, minutes, points, whole_percent
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.plans.plan import BehavesGate, Plan

_FAMILIES: Final = 4


def judge_wave(
    plan: Plan,
    standings: Sequence[Standing],
    evidence_of_wave: Mapping[str, Evidence],
    evidence_of_controls: Mapping[str, Evidence],
    *,
    now: float,
) -> Verdict:
    """What a wave says.

    Args:
        plan: What its gates ask for.
        standings: Of every device of the wave, those of earlier waves too.
        evidence_of_wave: By device, of those in `standings`.
        evidence_of_controls: By device, of the group's devices that keep the old release.
        now: Seconds of the clock that `Standing.since` is of.
    """
    findings = [installed(plan, standings), _healthy(plan, standings, now)]
    if plan.behaves is not None:
        findings += _behaves(plan, plan.behaves, standings, evidence_of_wave, evidence_of_controls)
    return Verdict(findings=tuple(findings))


def judge_before(plan: Plan, devices: Collection[str], evidence: Mapping[str, Evidence]) -> Verdict:
    """Whether enough is known of what a wave's devices answer now to see a change: before the first of them changes.

    After a shadow there always is; without one, the first wave waits for it.
    """
    if plan.behaves is None:
        return Verdict(findings=(_finding(Outcome.PASS, "The plan compares no answers."),))
    known = [evidence[device] for device in devices if device in evidence]
    count = sum(one.before.errors.stretches + one.kept.errors.stretches for one in known)
    text = f"{count} of {plan.behaves.windows} stretches of two minutes from before the release."
    return Verdict(findings=(_finding(Outcome.PASS if count >= plan.behaves.windows else Outcome.INCONCLUSIVE, text),))


def installed(plan: Plan, standings: Sequence[Standing]) -> Finding:
    """How many of the devices with a verdict failed; also of a shadow, whose devices run the release beside theirs."""
    gate = plan.installed
    failed = [one for one in standings if one.progress == "failed"]
    offline = [one for one in standings if one.progress == "offline"]
    waiting = [one for one in standings if one.progress == "under way"]
    verdicts = sum(1 for one in standings if one.progress in ("failed", "running"))
    minimum = min(gate.minimum, len(standings))
    bound = whole_percent(at_most(len(failed), verdicts))
    text = f"{len(failed)} of {verdicts} failed: under {bound}, 95 %." if verdicts else "No device has a verdict yet."
    if len(failed) == verdicts > 0:
        text = f"{len(failed)} of {verdicts} failed."
    for failure in dict.fromkeys(one.failure for one in failed):
        alike = [one for one in failed if one.failure == failure]
        reason = f" ({visible(alike[0].reason.rstrip('.'))})" if alike[0].reason else ""
        text += f" {(failure or 'failed').capitalize()}: {listed(one.device for one in alike)}{reason}."
    if offline:
        text += f" Offline, and not counted: {listed(one.device for one in offline)}."
    surely = verdicts > 0 and against_share(len(failed), verdicts, gate.failed) >= -math.log(plan.risk)
    beyond = verdicts > 0 and len(failed) / verdicts > gate.failed
    if beyond and verdicts >= minimum and (surely or not waiting):
        return Finding(gate="installed", outcome=Outcome.FAIL, text=text)
    if not verdicts or verdicts < minimum or waiting or beyond:
        missing = f"{verdicts} of {max(minimum, verdicts + len(waiting))} devices with a verdict."
        return Finding(gate="installed", outcome=Outcome.INCONCLUSIVE, text=f"{missing} {text}")
    return Finding(gate="installed", outcome=Outcome.PASS, text=text)


def _healthy(plan: Plan, standings: Sequence[Standing], now: float) -> Finding:
    running = [one for one in standings if one.progress == "running"]
    left = [max(0.0, plan.healthy.soak - max(0.0, now - one.since)) for one in running]
    soaked = sum(1 for seconds in left if seconds <= 0)
    if running and soaked == len(running):
        text = f"{soaked} of {len(running)} devices soaked."
        return Finding(gate="healthy", outcome=Outcome.PASS, text=text)
    text = f"{soaked} of {len(running)} devices soaked, {minutes(max(left))} left." if running else "None runs it yet."
    return Finding(gate="healthy", outcome=Outcome.INCONCLUSIVE, text=text)


def _behaves(
    plan: Plan,
    gate: BehavesGate,
    standings: Sequence[Standing],
    of_wave: Mapping[str, Evidence],
    of_controls: Mapping[str, Evidence],
) -> Iterator[Finding]:
    kinds = {one.device: one.kind for one in standings if one.progress == "running"}
    number = max((one.wave for one in of_wave.values()), default=0)
    wave = [
        (device, of_wave[device].before, of_wave[device].trial)
        for device in kinds
        if device in of_wave and of_wave[device].wave == number
    ]
    controls = [(device, one.before, one.kept) for device, one in sorted(of_controls.items()) if one.wave == number]
    if missing := list(_too_little(gate, wave)):
        yield from missing
    else:
        few = len([1 for _, before, after in wave if before.errors.weight and after.errors.weight]) < gate.devices
        families = [
            [_errors(gate, wave, controls)],
            [_confidence(gate, wave, controls, needed=not few)],
            list(_mix(gate, wave, controls, needed=not few)),
            list(_latency(gate, wave, kinds)),
        ]
        for family in families:
            if family:
                yield asked.answer("behaves", family, risk=plan.risk, halt=plan.risk / _FAMILIES)
        if few:
            yield _finding(
                Outcome.PASS,
                f"A wave of fewer than {gate.devices} devices is not held for what its mix of answers cannot tell yet.",
            )
    if not controls:
        yield _finding(Outcome.PASS, "No device keeps the old release: the wave is compared with itself before.")
    if note := faults({**of_controls, **{device: of_wave[device] for device, _, _ in wave}}, []):
        yield _finding(Outcome.PASS, note)


def _too_little(gate: BehavesGate, wave: Sides) -> Iterator[Finding]:
    before = sum(before.errors.stretches for _, before, _ in wave)
    after = sum(after.errors.stretches for _, before, after in wave if before.errors.stretches)
    for count, when in ((before, "from before the release"), (after, "since it runs")):
        if count < gate.windows:
            yield _finding(Outcome.INCONCLUSIVE, f"{count} of {gate.windows} stretches of two minutes {when}.")


def _errors(gate: BehavesGate, wave: Sides, controls: Sides) -> Asked:
    ours, theirs = (phases(group, lambda answers: answers.errors) for group in (wave, controls))
    faces = sum(one.after.weight for one in ours)
    # Where nothing failed nothing scatters; one more error is always in keeping with what was seen.
    chance = (sum(one.after.value for one in ours) + 1) / (faces + 2)
    found = changed(ours, theirs, least=math.sqrt(chance * (1 - chance) / (faces + 2)))

    def text(change: Interval) -> str:
        return (
            f"{points(change.low)} to {points(change.high)} of a hundred faces more got no answer "
            f"(at most {points(gate.errors)} are allowed)"
        )

    return _asked(found, gate.errors, text)


def _confidence(
    gate: BehavesGate,
    wave: Sides,
    controls: Sides,
    *,
    needed: bool,
) -> Asked:
    ours, theirs = (phases(group, lambda answers: answers.confidence) for group in (wave, controls))
    found = changed(ours, theirs)
    fallen = found._replace(value=-found.value)

    def text(fall: Interval) -> str:
        return (
            f"The mean confidence fell by {fall.low:.3f} to {fall.high:.3f} (by at most {gate.confidence:g} is allowed)"
        )

    return _asked(fallen, gate.confidence, text, needed=needed)


def _mix(
    gate: BehavesGate,
    wave: Sides,
    controls: Sides,
    *,
    needed: bool,
) -> Iterator[Asked]:
    for label in _labels(wave):
        share = operator.methodcaller("share_of", label)
        ours, theirs = (phases(group, share) for group in (wave, controls))
        stretches = sum(one.after.stretches for one in ours)
        chance = (sum(one.after.mean for one in ours) / max(len(ours), 1) * stretches + 0.5) / (stretches + 1)
        found = changed(ours, theirs, least=math.sqrt(chance * (1 - chance) / (stretches + 1)))
        for sign, word in ((1, "more"), (-1, "less")):

            def text(change: Interval, label: str = label, word: str = word) -> str:
                return (
                    f"{visible(label)} is answered {word} often by {points(change.low)} to {points(change.high)} "
                    f"points (at most {points(gate.mix)} are allowed)"
                )

            yield _asked(found._replace(value=sign * found.value), gate.mix, text, needed=needed)


def _labels(wave: Sides) -> list[str]:
    """Those that most devices answer, in the order of the alphabet: a device may invent as many as it likes."""
    devices = Counter(label for _, before, after in wave for label in {*before.mix, *after.mix})
    return sorted(sorted(devices, key=lambda label: (-devices[label], label))[:LABELS])


def _latency(
    gate: BehavesGate,
    wave: Sides,
    kinds: Mapping[str, Kind],
) -> Iterator[Asked]:
    # A board is compared with itself before alone: the time of an inference does not follow the time of day.
    in_order = sorted(wave, key=lambda one: kinds[one[0]])
    for kind, group in itertools.groupby(in_order, key=lambda one: kinds[one[0]]):
        ours = phases(list(group), lambda answers: answers.latency)
        found = changed(ours, [], ratio=True, least=0.02)
        if not ours:
            continue

        def text(change: Interval, kind: Kind = kind) -> str:
            low, high = (f"{math.exp(min(end, 50)):.2f}" for end in change)
            return (
                f"On {visible(str(kind))} an inference takes {low} to {high} times as long as before "
                f"(at most {gate.latency:g} times is allowed)"
            )

        yield _asked(found, math.log(gate.latency), text, most=math.inf)


def _asked(
    found: Change, limit: float, text: Callable[[Interval], str], *, needed: bool = True, most: float = 1.0
) -> Asked:
    """`most`: by more nothing can have changed; by default a share or a confidence, from nothing to all of it."""
    return asked.mean(found.value, found.error, found.stretches, limit, text, needed=needed, most=most)


def _finding(outcome: Outcome, text: str) -> Finding:
    return Finding(gate="behaves", outcome=outcome, text=text)

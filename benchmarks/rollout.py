"""`make bench-rollout`: how often a rollout judges wrongly, and how many faces it takes, beside naive ways, in one run.

Rollouts are simulated with faces drawn from an explicit model (`rollout_faces`) and judged by the gates as they are,
with the default plan. **Shadow**: twenty cameras of four kinds, judged after every hundred looks (later every twentieth
part), until it passes, halts, or `--looks` are over, which the plan's timeout turns into a pause for a person.
**Canary**: what passed answers on 1, 4, 20 and at last 40 of 40 cameras (`rollout_canary`), judged every ten minutes.

`false_halts`: share of good releases that were halted anywhere. `caught`: share of the bad ones that were stopped, with
how many of them halted by themselves and how many waited for a person. Faces: of those that halted, in the shadow.

`edge`: a release that agrees exactly as often as the limit asks, a thousand times: there is nothing to be told.

Beside it, on the same looks: the same limits held by 95 % intervals made for one look, at each look (`z_test`); any
change that is significant at 5 %, at each look (`any_change`); and a rollout that asks for an installed release alone.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.rollout_canary import canary
from benchmarks.rollout_faces import FAULTS, LABELS, Fault, Looks, Room
from edge_fleet.rollout.evidence.evidence import Evidence
from edge_fleet.rollout.evidence.gains import Shadow
from edge_fleet.rollout.evidence.stretches import Series
from edge_fleet.rollout.gates import asked
from edge_fleet.rollout.gates.bounds import against_share
from edge_fleet.rollout.gates.shadow import families_of
from edge_fleet.rollout.gates.verdict import Outcome
from edge_fleet.rollout.kind import Kind
from edge_fleet.rollout.plans.plan import DEFAULT, ShadowGate

RESULTS: Final = Path(__file__).resolve().parent / "results" / "rollout.json"
RELEASE: Final = "a" * 64
DEVICES: Final = 20
KINDS: Final = tuple(Kind(board=board, runtime="litert", camera="v4l2") for board in ("pi-3", "pi-4", "pi-5", "zero-2"))
KIND_OF: Final = {f"cam-{number}": KINDS[number % len(KINDS)] for number in range(DEVICES)}
STRETCH_S: Final = 600.0
Z: Final = 1.96
GATE: Final = DEFAULT.shadow or ShadowGate()
CHUNK: Final = 4800
"""Looks that are drawn at once."""


class Judged(NamedTuple):
    """How one shadow ended, and after how many looks."""

    outcome: Outcome
    looks: int


class Rollout(NamedTuple):
    """One simulated rollout, by ours and by the peers."""

    shadow: Judged
    canary: Outcome | None
    z_test: Judged
    any_change: Judged


class Counts:
    """Counts of each device as they grow, in arrays; what `Evidence.take` would hold."""

    def __init__(self) -> None:
        self.confusion = np.zeros((DEVICES, 7, 7), np.int64)
        self.sure, self.contradicted = (np.zeros((DEVICES, 7), np.int64) for _ in range(2))
        self.less, self.more, self.slower = (np.zeros(DEVICES, np.int64) for _ in range(3))
        self._over = np.zeros((6, DEVICES))
        self._weight = self._differ = np.zeros(0)
        self._owner = self._stretch = np.zeros(0, np.int64)
        self._looks: Looks | None = None
        self._done = 0

    def begin(self, looks: Looks) -> None:
        """Later looks, of which none is counted yet; stretches end where these begin."""
        self._over = self._sums()
        _, self._stretch = np.unique((looks.seconds // STRETCH_S) * DEVICES + looks.device, return_inverse=True)
        self._weight, self._differ = (np.zeros(self._stretch.max() + 1) for _ in range(2))
        self._owner = np.zeros(len(self._weight), np.int64)
        self._owner[self._stretch] = looks.device
        self._looks, self._done = looks, 0

    def until(self, count: int) -> None:
        """Count the looks up to this one of those that `begin` was given."""
        assert self._looks is not None  # noqa: S101
        part, looks = slice(self._done, count), self._looks
        device = looks.device[part]
        np.add.at(self.confusion, (device, looks.champion[part], looks.challenger[part]), 1)
        sure = looks.champion_sure[part] >= GATE.terms.sure
        other = sure & (looks.champion[part] != looks.challenger[part])
        for by_label, hit in ((self.sure, sure), (self.contradicted, other)):
            np.add.at(by_label, (device[hit], looks.champion[part][hit]), 1)
        change = looks.challenger_sure[part] - looks.champion_sure[part]
        unsure = GATE.terms.unsure
        for total, hit in (
            (self.less, change < -unsure),
            (self.more, change > unsure),
            (self.slower, looks.slower[part]),
        ):
            np.add.at(total, device[hit], 1)
        np.add.at(self._weight, self._stretch[part], 1.0)
        np.add.at(self._differ, self._stretch[part], (looks.champion[part] != looks.challenger[part]).astype(float))
        self._done = count

    def _sums(self) -> NDArray[np.float64]:
        """What a `Series` of disagreements holds, [6, devices]."""
        weight, differ = self._weight, self._differ
        parts = ((weight > 0).astype(float), weight, differ, weight**2, weight * differ, differ**2)
        return self._over + np.stack([np.bincount(self._owner, part, DEVICES) for part in parts])

    def evidence(self) -> dict[str, Evidence]:
        """As the gate takes it."""
        found = {}
        sums = self._sums()
        for number in range(DEVICES):
            table = self.confusion[number]
            looks = int(table.sum())
            shadow = Shadow(
                looks=looks,
                agreed=int(np.trace(table)),
                less_sure=int(self.less[number]),
                more_sure=int(self.more[number]),
                slower=int(self.slower[number]),
                confusion={LABELS[one]: _by_label(row) for one, row in enumerate(table)},
                sure=_by_label(self.sure[number]),
                contradicted=_by_label(self.contradicted[number]),
                disagreed=Series(int(sums[0][number]), *(float(values[number]) for values in sums[1:])),
            )
            found[f"cam-{number}"] = Evidence(release=RELEASE, shadow=shadow)
        return found


def _by_label(counts: NDArray[np.int64]) -> dict[str, int]:
    return {LABELS[label]: count for label, count in enumerate(counts.tolist()) if count}


def shadow(room: Room, most: int) -> tuple[Judged, Judged, Judged]:
    """Ours, and the two naive tests, on the same looks."""
    counts, total = Counts(), 0
    ended: dict[str, Judged] = {}
    while total < most and len(ended) < 3:
        looks = room.looks(CHUNK)
        counts.begin(looks)
        step = max(100, total // 20)
        for count in range(step, len(looks.seconds) + 1, step):
            counts.until(count)
            for name, judge in JUDGES.items():
                if name not in ended:
                    outcome = judge(counts)
                    if outcome is Outcome.FAIL or (outcome is Outcome.PASS and total + count >= GATE.faces):
                        ended[name] = Judged(outcome, total + count)
            if len(ended) == 3:
                break
        else:
            counts.until(len(looks.seconds))
        total += len(looks.seconds)
    return tuple(ended.get(name, Judged(Outcome.INCONCLUSIVE, total)) for name in JUDGES)  # type: ignore[return-value]


def _ours(counts: Counts) -> Outcome:
    families = families_of(GATE, KIND_OF, counts.evidence())
    halt = DEFAULT.risk / len(families)
    return _together([asked.decide(family, risk=DEFAULT.risk, halt=halt)[0] for family in families])


def _together(outcomes: list[Outcome]) -> Outcome:
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    return Outcome.PASS if set(outcomes) == {Outcome.PASS} else Outcome.INCONCLUSIVE


def _z_test(counts: Counts) -> Outcome:
    """The gate's limits, held by intervals of 95 % that are made for one look."""
    outcomes = []
    for value, error, limit, needed in _values(counts):
        within = Outcome.PASS if value + Z * error < limit or not needed else Outcome.INCONCLUSIVE
        outcomes.append(Outcome.FAIL if value - Z * error > limit else within)
    return _together(outcomes)


def _any_change(counts: Counts) -> Outcome:
    """Any label's share, or sureness, that changed significantly at 5 %; none after the plan's faces is a pass."""
    return Outcome.FAIL if any(abs(value) > Z * error for value, error in _changes(counts)) else Outcome.PASS


JUDGES: Final = {"ours": _ours, "z_test": _z_test, "any_change": _any_change}


def _changes(counts: Counts) -> list[tuple[float, float]]:
    """Paired differences with their standard errors: of each label's share, and of being less sure."""
    table = counts.confusion.sum(axis=0)
    looks = max(int(table.sum()), 1)
    pairs = [
        (table[:, label].sum() - table[label, label], table[label].sum() - table[label, label]) for label in range(7)
    ]
    pairs.append((counts.less.sum(), counts.more.sum()))
    found = []
    for more, less in pairs:
        value = (more - less) / looks
        found.append((float(value), math.sqrt(max((more + less) / looks - value**2, 0.0) / looks) + 1e-9))
    return found


def _values(counts: Counts) -> list[tuple[float, float, float, bool]]:
    """Value, standard error and limit of each question of the gate, and whether it must pass."""
    table = counts.confusion.sum(axis=0).astype(float)
    looks = table.sum()
    sure, contradicted = counts.sure.sum(axis=0), counts.contradicted.sum(axis=0)
    shares = [
        (looks - np.trace(table), looks, 1 - GATE.agreement, True),
        (contradicted.sum(), sure.sum(), GATE.contradicted, True),
    ]
    shares += [(contradicted[label], sure[label], GATE.contradicted, False) for label in range(7)]
    for kind in range(len(KINDS)):
        of_kind = counts.confusion[kind :: len(KINDS)].sum()
        shares.append((counts.slower[kind :: len(KINDS)].sum(), of_kind, GATE.slower, True))
    for one in range(7):
        for two in range(one):
            named = table[one].sum() + table[two].sum()
            shares.append((table[one, two] + table[two, one], named, GATE.swapped, True))
    found = []
    for count, trials, limit, needed in shares:
        share = count / trials if trials else limit
        found.append((float(share), math.sqrt(max(share * (1 - share), 1e-4) / max(trials, 1)), limit, needed))
    changes = _changes(counts)
    found += [(abs(value), error, GATE.shift, True) for value, error in changes[:7]]
    found.append((*changes[7], GATE.less_sure, True))
    return found


def simulate(seed: int, fault: Fault, looks: int) -> Rollout:
    """One rollout from shadow to the last wave."""
    rng = np.random.default_rng(seed)
    slow = np.arange(DEVICES) % len(KINDS) == 0
    ours, z_test, any_change = shadow(Room(rng, slow, fault), looks)
    after = canary(rng, fault) if ours.outcome is Outcome.PASS else None
    return Rollout(ours, after, z_test, any_change)


def main() -> None:
    """Print the table, write the results, and print them as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=1000, help="good rollouts")
    parser.add_argument("--bad", type=int, default=300, help="rollouts of each bad kind")
    parser.add_argument("--looks", type=int, default=28_800, help="of a shadow: one a minute and camera, for a day")
    given = parser.parse_args()
    began = time.monotonic()
    runs = {
        fault: [simulate(hash_of(fault, n), fault, given.looks) for n in range(count)]
        for fault, count in (("", given.good), *((fault, given.bad) for fault in FAULTS))
    }
    without_shadow: tuple[Fault, ...] = ("worse", "neutral", "slow")
    alone: dict[Fault, list[Outcome]] = {
        fault: [canary(np.random.default_rng(hash_of(fault, 10**6 + n)), fault) for n in range(given.bad // 10)]
        for fault in without_shadow
    }
    result = summary(runs, alone)
    result["edge"] = edge(np.random.default_rng(0), 1000, 20_000)
    result["seconds"] = round(time.monotonic() - began, 1)
    show(result)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def edge(rng: np.random.Generator, runs: int, looks: int) -> dict[str, float]:
    """How often a share that is its limit is said to be beyond or within it, at any of the looks at every 100 faces."""
    limit, wrong, wrong_z = 1 - GATE.agreement, 0, 0
    for _ in range(runs):
        counts = rng.binomial(100, limit, looks // 100).cumsum()
        faces = 100 * np.arange(1, len(counts) + 1)
        share = counts / faces
        wrong_z += bool((abs(share - limit) > Z * np.sqrt(share * (1 - share) / faces)).any())
        against = max(against_share(int(k), int(n), limit) for k, n in zip(counts, faces, strict=True))
        wrong += against >= -math.log(DEFAULT.risk)
    return {"wrong": round(wrong / runs, 4), "wrong_z_test": round(wrong_z / runs, 4)}


def hash_of(fault: str, number: int) -> int:
    """A seed of its own for each rollout."""
    return number * 16 + (("", *FAULTS).index(fault))


def summary(runs: dict[Fault, list[Rollout]], alone: dict[Fault, list[Outcome]]) -> dict[str, Any]:
    """All figures, rounded."""
    good = runs[""]
    result: dict[str, Any] = {
        "good": len(good),
        "false_halts": _share([_halted(one) for one in good]),
        "good_paused": _share([_paused(one) for one in good]),
        "good_faces": _faces([one.shadow.looks for one in good if one.shadow.outcome is Outcome.PASS]),
    }
    result["false_halts_z_test"] = _share([one.z_test.outcome is Outcome.FAIL for one in good])
    result["false_halts_any_change"] = _share([one.any_change.outcome is Outcome.FAIL for one in good])
    caught = []
    for fault in FAULTS:
        found = runs[fault]
        caught += [_halted(one) or _paused(one) for one in found]
        result[fault] = {
            "rollouts": len(found),
            "caught": _share([_halted(one) or _paused(one) for one in found]),
            "halted": _share([_halted(one) for one in found]),
            "paused": _share([_paused(one) for one in found]),
            "by_canary": _share([one.canary is Outcome.FAIL for one in found]),
            "faces": _faces([one.shadow.looks for one in found if one.shadow.outcome is Outcome.FAIL]),
            "caught_z_test": _share([one.z_test.outcome is not Outcome.PASS for one in found]),
            "caught_any_change": _share([one.any_change.outcome is not Outcome.PASS for one in found]),
            "caught_installed_only": 0.0,
        }
        if fault in alone:
            result[fault]["canary_without_shadow"] = _share([one is not Outcome.PASS for one in alone[fault]])
            result[fault]["canary_without_shadow_halted"] = _share([one is Outcome.FAIL for one in alone[fault]])
    result["caught"] = min(result[fault]["caught"] for fault in FAULTS)
    return result


def _halted(one: Rollout) -> bool:
    return Outcome.FAIL in (one.shadow.outcome, one.canary)


def _paused(one: Rollout) -> bool:
    return not _halted(one) and Outcome.INCONCLUSIVE in (one.shadow.outcome, one.canary)


def _share(hits: list[bool]) -> float:
    return round(sum(hits) / max(len(hits), 1), 4)


def _faces(counts: list[int]) -> dict[str, int]:
    if not counts:
        return {}
    ordered = sorted(counts)
    return {"median": int(statistics.median(ordered)), "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]}


def show(result: dict[str, Any]) -> None:
    """As a table for people."""
    table = Table(
        "release", "ours", "by itself", "for a person", "faces: median, p95", "z-test", "any change", "installed"
    )
    faces = result["good_faces"]
    table.add_row(
        f"good ({result['good']}), wrongly stopped", f"{result['false_halts']:.1%}", "", f"{result['good_paused']:.1%}",
        f"{faces.get('median')}, {faces.get('p95')}", f"{result['false_halts_z_test']:.1%}",
        f"{result['false_halts_any_change']:.1%}", "0.0%",
    )  # fmt: skip
    for fault in FAULTS:
        found = result[fault]
        faces = found["faces"]
        table.add_row(
            f"{fault} ({found['rollouts']}), caught", f"{found['caught']:.1%}", f"{found['halted']:.1%}",
            f"{found['paused']:.1%}", f"{faces.get('median')}, {faces.get('p95')}", f"{found['caught_z_test']:.1%}",
            f"{found['caught_any_change']:.1%}", "0.0%",
        )  # fmt: skip
    Console(width=150).print(table)
    wrong = result["edge"]
    print(
        f"Exactly at the limit, judged after every 100 of 20,000 faces: said to be beyond or within it "
        f"{wrong['wrong']:.1%}, by the z-test {wrong['wrong_z_test']:.1%}."
    )


if __name__ == "__main__":
    main()

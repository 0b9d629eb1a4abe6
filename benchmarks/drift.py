"""`make bench-drift`: false alarms, how soon a change is found and its cause named, and accuracy without labels.

Rooms are simulated (`drift_rooms`): people who come by several times, keep their face, and differ by hour, day and
weekend; what the shipped model answers to real test pictures, as they are or spoiled. Tracks go through the bridge's
own `drift.step`. **Clean**: camera-months in which nothing changes, a quarter of them with FER2013's mix, the others
with mixes unlike it; every alarm is false. **Changed**: on the fifth day something happens to the camera; people are
those who came since. Beside it, what is often used: a day's answers whose PSI against the baseline's mix passes 0.25.

**Estimates** (`drift_estimates`): accuracy without labels beside the true one, on spoiled test pictures.

Without `--dataset` (see `make data`) drawn faces stand in, and no accuracy is claimed.
"""

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import drift_estimates
from benchmarks.drift_pictures import Answers, Model, faces, spoiled
from benchmarks.drift_rooms import DAY_S, MONDAY, WINDOW_S, Kind, Spoiled, room, windows
from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.state import DriftState
from edge_bridge.drift.step import References, counted
from edge_bridge.drift.tracks import BUCKETS
from edge_bridge.drift.unsure import unsure
from edge_contract.manifest import Reference
from edge_contract.messages import ModelRef

RESULTS: Final = Path(__file__).resolve().parent / "results" / "drift.json"
MODEL: Final = Path("models/emotion-5.ewm")
SETTINGS: Final = DriftSettings()
KINDS: Final[tuple[Kind, ...]] = ("hall", "home", "hall", "home", "shop")
ROOM: Final = (0.04, 0.01, 0.04, 0.22, 0.10, 0.06, 0.53)
"""What people show in a room, by the model's labels; each room's own is drawn about it."""
SPREAD: Final = 30.0
MONTH_DAYS: Final = 30
CHANGED_AT: Final = {"hall": 5.4, "shop": 5.4, "home": 12.4}
"""Days after which a camera is spoiled: its baseline is learned by then."""
WATCHED_DAYS: Final = 21
PSI: Final = 0.25

CHANGES: Final[dict[str, tuple[str, str, float]]] = {
    "dark": ("dark", "low_light", 0.1),
    "blurred": ("blurred", "blur", 2.0),
    "turned 45°": ("turned", "turned", 45),
    "turned 30°": ("turned", "turned", 30),
    "far": ("far", "small", 16),
    "bright": ("bright", "dazzled", 1.8),
    "covered": ("covered", "veiled", 0.25),
    "40 % turn neutral": ("answers", "clean", 0.4),
    "60 % turn neutral": ("answers", "clean", 0.6),
}
"""What happens: the cause that should be named, how pictures are spoiled, and how much."""


class Replay(NamedTuple):
    """The pictures that people are drawn from."""

    model: ModelRef
    labels: tuple[str, ...]
    by_expression: list[NDArray[np.intp]]
    clean: Answers
    reference: Reference
    mix: NDArray[np.float64]


class Run(NamedTuple):
    """One camera."""

    alarms: list[tuple[str, str]]
    """Reference and cause of each that began."""
    people: int
    """Who came from the change to the first alarm, or to the end."""
    found: bool
    psi_days: int


def run(replay: Replay, seed: int, kind: Kind, change: Spoiled | None = None, *, test_mix: bool = False) -> Run:
    """One camera for a month, or until what happened to it is found."""
    rng = np.random.default_rng(seed)
    mix = replay.mix if test_mix else rng.dirichlet(np.array(ROOM) * SPREAD)
    place = room(rng, kind, mix)
    at = MONDAY + CHANGED_AT[kind] * DAY_S if change is not None else np.inf
    days = MONTH_DAYS if change is None else int(CHANGED_AT[kind]) + WATCHED_DAYS
    state = DriftState(device="camera", model=replay.model, labels=replay.labels)
    references = References(manifest=unsure(replay.reference.by_label))
    alarms: list[tuple[str, str]] = []
    held: set[str] = set()
    days_mix = np.zeros((days + 2, len(replay.labels)))
    people, frozen_on = 0, days
    sure_above = replay.reference.sure_above or 0.0
    for window in windows(rng, place, replay.by_expression, replay.clean, days, sure_above, change, at):
        since_change = window.time - WINDOW_S >= at
        people += window.people * since_change
        state = counted(state, window.time, window.cells, window.sure, window.gauges, references, SETTINGS)
        day = int((window.time - MONDAY) // DAY_S)
        days_mix[day] += np.bincount(np.array(window.cells) // BUCKETS, minlength=len(replay.labels))
        frozen_on = min(frozen_on, day) if state.baseline.frozen else frozen_on
        began = {kind for kind in state.causes if kind not in held}
        alarms += [(each, state.causes[each]) for each in began]
        held = set(state.causes)
        if change is not None and began and since_change:
            return Run(alarms, people, True, 0)
    return Run(alarms, people, False, _psi_days(days_mix, frozen_on + 1))


def _psi_days(days: NDArray[np.float64], first: int) -> int:
    """Days after the baseline whose mix is further from it than `PSI`."""
    before = days[:first].sum(axis=0) + 0.5
    usual = before / before.sum()
    alarms = 0
    for row in days[first:-2]:
        if row.sum() >= 20:
            share = (row + 0.5) / (row + 0.5).sum()
            alarms += bool(((share - usual) * np.log(share / usual)).sum() > PSI)
    return alarms


def clean_months(replay: Replay, count: int) -> dict[str, Any]:
    """Camera-months without a change."""
    alarms, psi, by = 0, 0, Counter[str]()
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        done = run(replay, number, kind, test_mix=number % 4 == 0)
        alarms += len(done.alarms)
        psi += done.psi_days
        by.update(f"{kind}, {reference}" for reference, _ in done.alarms)
    # The upper end of Garwood's 95 % interval for a Poisson count, by the approximation of Wilson and Hilferty.
    k = alarms + 1
    upper = k * (1 - 1 / (9 * k) + 1.96 / (3 * k**0.5)) ** 3 / count
    return {
        "camera_months": count,
        "false_alarms": alarms,
        "false_alarms_per_camera_month": round(alarms / count, 4),
        "upper_95": round(upper, 4),
        "by": dict(by),
        "false_alarms_per_camera_month_psi": round(psi / count, 2),
    }


def changed(replay: Replay, model: Model, images: NDArray[np.uint8], count: int) -> dict[str, Any]:
    """Each change, on `count` cameras."""
    result: dict[str, Any] = {}
    for name, (cause, how, strength) in CHANGES.items():
        answers = replay.clean if how == "clean" else model.answers(spoiled(images, how, strength))
        change = Spoiled(
            answers,
            neutral=strength if how == "clean" else 0.0,
            pixels=strength / 48 if how == "small" else 1.0,
            roll=strength if how == "turned" else 0.0,
            faceless=0.45 if how == "veiled" else 0.0,
        )
        runs = [run(replay, 10_000 + number, KINDS[number % 2], change) for number in range(count)]
        found = [one for one in runs if one.found]
        people = sorted(one.people if one.found else 10**6 for one in runs)
        right = sum(one.alarms[-1][1] == cause for one in found)
        quantiles = {key: people[min(count - 1, int(share * count))] for key, share in (("median", 0.5), ("p90", 0.9))}
        result[name] = {
            "cameras": count,
            "found": len(found),
            **{key: value if value < 10**6 else None for key, value in quantiles.items()},
            "cause_right": right,
        }
    return result


def main() -> None:
    """Print the tables, write the results, and print them as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=Path("data/dataset.npz"), help="made by `make data`")
    parser.add_argument("--months", type=int, default=200, help="camera-months without a change")
    parser.add_argument("--cameras", type=int, default=20, help="cameras of each change")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    began, busy = time.process_time(), os.getloadavg()[0]
    console, model = Console(width=120), Model(MODEL)
    pictures, what = faces(given.dataset)
    test = pictures["test"]
    reference = drift_estimates.selection_reference(model, pictures["selection"])
    labels = model.manifest.labels
    by_expression = [np.flatnonzero(test.labels == at) for at in range(len(labels))]
    mix = np.bincount(test.labels, minlength=len(labels)) / len(test.labels)
    replay = Replay(model.manifest.ref, labels, by_expression, model.answers(test.images), reference, mix)
    result: dict[str, Any] = {"pictures": what, **clean_months(replay, given.months)}
    result["people_to_detect"] = changed(replay, model, test.images, given.cameras)
    told = result["people_to_detect"].values()
    found = sum(each["found"] for each in told)
    result["cause_right"] = round(sum(each["cause_right"] for each in told) / max(1, found), 4)
    if what == "dataset":
        rows = drift_estimates.measured(model, test, reference)
        console.print(drift_estimates.table(rows))
        result["accuracy_estimate_errors"] = drift_estimates.errors(rows, beyond=False)
        result["accuracy_estimate_errors_beyond_use"] = drift_estimates.errors(rows, beyond=True)
        result["accuracy_estimate_error"] = result["accuracy_estimate_errors"]["calibrated"]
        result["accuracy_table"] = [
            {"pictures": row.name, "true": round(row.true, 4), **{k: round(v, 4) for k, v in row.by_method.items()}}
            for row in rows
        ]
    else:
        console.print(
            f"{given.dataset} is not there: drawn faces stand in, and accuracy is not estimated. Run make data."
        )
    result["cpu_seconds"], result["load"] = round(time.process_time() - began, 1), round(busy, 1)
    show(result, console)
    given.results.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(result, ensure_ascii=False))


def show(result: dict[str, Any], console: Console) -> None:
    """As tables for people."""
    shown = Table("change", "found", "people: median", "p90", "cause right")
    for name, each in result["people_to_detect"].items():
        shown.add_row(
            name, f"{each['found']} of {each['cameras']}", str(each["median"] or "-"), str(each["p90"] or "-"),
            f"{each['cause_right']} of {each['found']}",
        )  # fmt: skip
    console.print(shown)
    console.print(
        f"Nothing changed on {result['camera_months']} camera-months: {result['false_alarms']} alarms, "
        f"{result['false_alarms_per_camera_month']} a month (95 %: at most {result['upper_95']}); days with a PSI "
        f"above {PSI}: {result['false_alarms_per_camera_month_psi']} a month."
    )


if __name__ == "__main__":
    main()

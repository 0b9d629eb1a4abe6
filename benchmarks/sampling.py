"""`make bench-sampling`: what keeping crops for labelling costs a device, and what caps do to an estimate made of them.

- Cost: processor time of the pipeline's thread for a look at a face whose track was decided on, and for a new track;
  of the other thread for sealing and storing one crop. Without sampling a look costs a comparison with None.
- Estimate: a shop with a busy hour in which the model is wrong in 40 % of 900 faces, and a quiet one with 10 % of 60.
  Half of all faces may be kept, 30 an hour at most. One rule keeps the share until the cap is reached and then nothing;
  one multiplies it by what is left of the cap; the third is the device's own. For each: what the weights of the crops
  sum to, in faces that there were, and the error rate that they show, over many such days.
"""

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.console import Console
from rich.table import Table

from benchmarks.agent_run import MODEL
from benchmarks.agent_scene import part_us
from edge_agent.inference.events import ModelAnswer, Shown
from edge_agent.sampling.box import Box
from edge_agent.sampling.budget import HOUR_S, Caps, Demand, Spent, chance
from edge_agent.sampling.sampler import Now, Pick, Rules, State, looked, only
from edge_agent.sampling.sealing import Origin, sealed
from edge_contract.crop import Consent, CropName, key_id
from edge_contract.package import read_file

RESULTS: Final = Path(__file__).resolve().parent / "results" / "sampling.json"
DAYS: Final = 400
SHARE: Final = 0.5
CAPS: Final = Caps(per_minute=600, per_hour=30, per_day=10_000, bytes=1 << 30)
BUSY, QUIET = 900, 60
TRUTH: Final = (BUSY * 0.4 + QUIET * 0.1) / (BUSY + QUIET)
_CONSENT: Final = Consent(by="bench", given=0.0, until=2.0**33, purpose="to be measured")

Rule = Callable[[Spent, Demand, float], tuple[float, float]]
"""(what was kept, what came, now) → (the chance of this face, the inclusion that is written into its crop)."""


def cut_off(spent: Spent, _demand: Demand, now: float) -> tuple[float, float]:
    """The share until the cap is used up."""
    full = sum(at > now - HOUR_S for at in spent.all) >= CAPS.per_hour
    return (0.0 if full else SHARE), SHARE


def what_is_left(spent: Spent, _demand: Demand, now: float) -> tuple[float, float]:
    """The share times twice the part of the cap that is left, at most 1."""
    used = sum(at > now - HOUR_S for at in spent.all)
    lowered = SHARE * min(1.0, 2.0 * max(0, CAPS.per_hour - used) / CAPS.per_hour)
    return lowered, lowered


def spread(spent: Spent, demand: Demand, now: float) -> tuple[float, float]:
    """The device's own."""
    found = chance(SHARE, CAPS, spent, demand, 0, now, chosen=False)
    return found, found


def day(rule: Rule, draw: random.Random) -> tuple[int, float, float, int]:
    """One day: crops kept, the sum of their weights, that of the wrong ones, and faces that had no chance."""
    spent, demand, now = Spent(), Demand(), 0.0
    kept, weights, wrong, without = 0, 0.0, 0.0, 0
    for face in range(BUSY + QUIET):
        now += HOUR_S / BUSY if face < BUSY else HOUR_S / QUIET
        demand = demand.one_more(now)
        probability, inclusion = rule(spent, demand, now)
        without += probability == 0.0
        if draw.random() < probability:
            spent = spent.one_more(now, chosen=False)
            kept, weights = kept + 1, weights + 1 / inclusion
            wrong += (draw.random() < (0.4 if face < BUSY else 0.1)) / inclusion
    return kept, weights, wrong, without


def estimates(rule: Rule) -> dict[str, float]:
    """Means over many days."""
    draw = random.Random(1)  # noqa: S311
    days = [day(rule, draw) for _ in range(DAYS)]
    kept, weights, wrong, without = (statistics.mean(column) for column in zip(*days, strict=True))
    return {
        "kept": round(kept, 1),
        "weights_in_faces": round(weights / (BUSY + QUIET), 3),
        "error_rate": round(wrong / weights, 4),
        "without_a_chance": round(without / (BUSY + QUIET), 3),
    }


def costs() -> dict[str, float]:
    """Processor microseconds of each part, medians."""
    manifest, key = read_file(MODEL).manifest, X25519PrivateKey.generate().public_key()
    pixels = np.random.default_rng(1).integers(0, 256, manifest.input.shape, np.uint8)
    answer = ModelAnswer(manifest, np.full(len(manifest.labels), 1 / len(manifest.labels), np.float32))
    rules = Rules(0.01, 0.5, 0.05, 0.2, Caps(6, 60, 400, 16 << 20))
    draw, now, state = random.SystemRandom().random, Now(1.8e9, 0.0, 0), State()
    for track in range(4):
        state = looked(state, rules, Shown(track, pixels, answer), 0.0, now, draw).state
    face, new = Shown(1, pixels, answer), Shown(9, pixels, answer)
    pick = Pick("random", 0.01, face, 1.8e9)
    origin, sequence = Origin("bench", "here", 1), iter(range(1, 1_000_000))
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder), 1 << 30, consent="bench", key=key_id(key))
        payload = sealed(pick, CropName(1, 1), origin, _CONSENT, key)
        found = {
            "look_us": part_us(lambda: looked(state, rules, Shown(1, pixels.copy(), answer), 0.1, now, draw)),
            "new_track_us": part_us(lambda: only(looked(state, rules, new, 0.1, now, draw).state, {1})),
            "seal_us": part_us(lambda: sealed(pick, CropName(1, 1), origin, _CONSENT, key)),
            "store_us": part_us(lambda: box.put(CropName(2, next(sequence)), "random", "bench", payload, time.time())),
        }
        box.close()
    return {**{name: round(value, 1) for name, value in found.items()}, "payload_bytes": len(payload)}


def main() -> None:
    """Measure, print and keep."""
    rules: dict[str, Rule] = {"cut off at the cap": cut_off, "times what is left": what_is_left, "spread": spread}
    found: dict[str, Any] = {
        "costs": costs(),
        "truth": round(TRUTH, 4),
        "estimates": {name: estimates(rule) for name, rule in rules.items()},
    }
    table = Table("rule", "kept a day", "weights / faces", "error rate", "faces without a chance")
    for name, row in found["estimates"].items():
        table.add_row(name, *(f"{value:g}" for value in row.values()))
    console = Console()
    console.print(table, f"the true error rate is {TRUTH:.4f}")
    console.print(", ".join(f"{name} {value:g}" for name, value in found["costs"].items()))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))  # the last line, for programs


if __name__ == "__main__":
    main()

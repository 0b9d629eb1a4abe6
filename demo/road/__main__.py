"""`python -m demo.road`: the whole road on one machine, with real parts; the last line printed is JSON.

Fresh clone → data → train → gate → registry → release → shadow → canary → all → the light changes → alert in a real
Alertmanager → cause → a person accepts the new light → labels → retrain → gate on old and new pictures → shadow →
canary → approval → all. Then the door's camera is turned, and the loop declines to train.
"""

import argparse
import itertools
import json
import shutil
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from demo.processes import end_as_by_ctrl_c
from demo.road import labelling, training
from demo.road.cameras import FPS, SLOW_FPS, Cameras
from demo.road.people import people
from demo.road.room import DOOR, GROUP, HALL, MODEL, Room
from demo.road.timeline import Span, draw
from demo.steps import Steps
from edge_contract.command_end import command
from edge_contract.errors import EdgewiseError, ExitCode

FOLDER: Final = Path(".road")
PLAN: Final = Path(__file__).with_name("plan.toml")
PICTURE: Final = "road.png"
_PEOPLE: Final = 90
_TRAININGS: Final = frozenset({"retrain-augmented", "retrain-labelled"})
_RARELY_S: Final = 5.0
"""Between two looks while the machine trains: each look is a command, and costs it a second."""
_LABELS: Final = 240
"""Crops that are labelled, all of the new light."""


class Road:
    """The acts in their order, timed."""

    def __init__(self, room: Room, steps: Steps, began: float) -> None:
        """`began`: when the command did, by the monotonic clock."""
        self.room, self.steps = room, steps
        self.began, self.spans = began, list[Span]()
        self.changed = 0.0

    @contextmanager
    def act(self, kind: str, text: str) -> Iterator[Any]:
        """A step that stands in the picture too."""
        began = time.monotonic() - self.began
        with self.steps.step(text) as result:
            yield result
        self.spans.append(Span(kind, result.text or text, began, time.monotonic() - self.began))

    def first_release(self, package: Path, before: Path) -> None:
        """What ran before is pushed; the road's own model goes through shadow and canary, and becomes the champion."""
        with self.act("fleet", "what ran before, pushed"):
            self.room.add_release(before)
            self.room.push("emotion", 1)
        with self.act("fleet", "release 1 in shadow, canary, all") as result:
            self.room.add_release(package)
            begun = ("rollout", "start", MODEL, "1", "--group", GROUP, "--plan", str(PLAN))
            self.room.release_side(*begun)
            told = self.room.release_side("rollout", "status", "--wait")
            result.text = f"release 1: shadow on {told['shadow']['looks']:.0f} faces, canary, all: {told['phase']}"
        self.room.promote(1)

    def light_changes(self) -> str:
        """Glare in the hall, once baselines are learned; the alert's cause."""
        with self.act("fleet", "baselines learned"):
            self._learn(1, *HALL, DOOR)
        with self.act("light", "the hall's window loses its blind: Alertmanager") as result:
            self.changed = time.time()
            for device in HALL:
                self.room.cameras.scene[device] = "glare"
            found = self.room.until("an alert Drift with its cause", lambda: self._causes(*HALL))
            result.text = f"glare in the hall: Drift fires in Alertmanager, cause {found[0]}"
        with self.act("loop", "the loop tells a person") as result:
            run = self.room.until("the loop tells a person", lambda: self._ended(HALL, self.changed, found[0]))
            result.text = run["steps"][-1]["text"]
            if run["phase"] != "told":
                raise EdgewiseError(f"the loop did not tell a person but ended {run['phase']}")
        return str(found[0])

    def retrain(self, cause: str) -> dict[str, Any]:
        """A person accepts the light, labels are given, and the loop does the rest; its run."""
        with self.act("loop", "labels") as result:
            count = self.room.until("enough labels", lambda: labelling.label(self.room, self.changed, _LABELS))
            result.text = f"{count} faces labelled from the field"
        with self.act("build", "accepted: retrain, gate on old and new, register") as result:
            self.room.cameras.fps = SLOW_FPS
            for device in HALL:
                self.room.loop("accept", device, cause)
            run = self.room.until("a rollout of the retrained model", self._rolling, 600, every=_RARELY_S)
            self.room.cameras.fps = FPS
            result.text = "retrained, gate passed on old and new pictures, registered"
        with self.act("fleet", "shadow, canary, approval, all") as result:
            self.room.until("the canary passed, and the rest waits for approval", self._waits_for_approval)
            self.room.edgewise("rollout", "approve", "--repository", str(self.room.repository))
            run = self.room.until("the loop ends", lambda: self._last("promoted"))
            self.room.until("all devices run it", lambda: set(self.room.runs().values()) == {run["release"]["release"]})
            result.text = f"release {run['release']['release']}: shadow, canary, approved by a person, all; champion"
        return dict(run)

    def turned(self, release: int) -> bool:
        """The door's camera is turned: whether the loop declined to train."""
        trained = self._trainings()
        with self.act("fleet", f"the door's baseline of release {release} learned"):
            self._learn(release, DOOR)
        with self.act("light", "the door's camera is turned") as result:
            turned = time.time()
            self.room.cameras.scene[DOOR] = "turned"
            self.room.until("an alert Drift of the door", lambda: self._alerts(DOOR))
            result.text = "the door's camera is turned: Drift fires in Alertmanager"
        with self.act("loop", "declined") as result:
            run = self.room.until("the loop ends", lambda: self._ended((DOOR,), turned))
            result.text = f"declined: {run['steps'][-1]['text']}"
        return run["phase"] == "told" and self._trainings() == trained

    def _learn(self, release: int, *devices: str) -> None:
        """Wait until these devices know their usual answers of this release: what differs from them is drift."""
        model = f"{MODEL}-{release}"
        for device in devices:
            self.room.until(
                f"{device} knows its usual answers",
                lambda device=device: self.room.metric("edgewise_drift_baseline_frozen", device=device, model=model),  # type: ignore[misc]
            )

    def _alerts(self, *devices: str) -> list[str]:
        """The causes of what fires."""
        return [each["cause"] for each in self.room.alerts("Drift") if each["device"] in devices]

    def _causes(self, *devices: str) -> list[str]:
        """The same, where the pictures show one."""
        return [cause for cause in self._alerts(*devices) if cause not in {"unknown", "answers"}]

    def _status(self) -> Any:
        return self.room.loop("status")["status"]

    def _ended(self, devices: Collection[str], since: float, cause: str = "") -> Any:
        """The newest run that ended, of one of these devices, begun since then, and for this cause if one is named."""
        return next(
            (
                run
                for run in self._status()["recent"]
                if run["began"] >= since and {*devices} & {*run["devices"]} and cause in {"", run["cause"]}
            ),
            None,
        )

    def _last(self, phase: str) -> Any:
        status = self._status()
        last = next(iter(status["recent"]), None)
        if status.get("current") is None and last and last["phase"] in {"failed", "refused", "undone"}:
            raise EdgewiseError(f"the loop ended {last['phase']}: {last['steps'][-1]['text']}")
        return last if last and last["phase"] == phase else None

    def _rolling(self) -> Any:
        self._last("")
        run = self._status().get("current")
        return run if run and run["rollout"] else None

    def _waits_for_approval(self) -> bool:
        return bool(self.room.release_side("rollout", "status", accept=(0, int(ExitCode.ROLLOUT_HALTED)))["waits_for"])

    def _trainings(self) -> int:
        return sum(run["decision"] in _TRAININGS for run in self._status()["recent"])


@command("edgewise")
def main() -> int:
    """Run it all; return the exit code."""
    argparse.ArgumentParser(prog="demo.road", description="The whole road, end to end, on this machine.").parse_args()
    end_as_by_ctrl_c()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    steps, began = Steps(), time.monotonic()
    with steps.step("draw people"):
        passing = {device: list(itertools.islice(people(seed), _PEOPLE)) for seed, device in enumerate((*HALL, DOOR))}
    cameras = Cameras(passing)
    with cameras, Room(FOLDER.resolve(), cameras, steps) as room:
        road = Road(room, steps, began)
        checkout = training.clone(room.folder / "clone")
        with road.act("build", "fresh clone, data, train, gate, package") as result:
            package = training.first(checkout)
            result.text = "fresh clone → data → train → gate → package"
        room.start()
        room.register(package)
        room.start_loop(checkout, PLAN)
        road.first_release(package, Path("models/emotion-1.ewm"))
        cause = road.light_changes()
        run = road.retrain(cause)
        declined = road.turned(run["release"]["release"])
        retrained = room.package_of(run)
    before, after = training.accuracies((package, retrained), seed=99)
    minutes = (time.monotonic() - began) / 60
    draw(road.spans, f"`make test-road`: {minutes:.1f} minutes", FOLDER / PICTURE)
    measured = {
        "accuracy_before": round(before, 4),
        "accuracy_after": round(after, 4),
        "gate": run["measured"],
        "cause": cause,
        "declined": declined,
        "minutes": round(minutes, 1),
    }
    sys.stdout.write(json.dumps(measured) + "\n")
    return int(ExitCode.OK if declined and after > before else ExitCode.ERROR)


if __name__ == "__main__":
    sys.exit(main())

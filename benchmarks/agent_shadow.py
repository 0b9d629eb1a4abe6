"""`make bench-agent SHADOW=1`: what a second model in shadow costs the agent: frames, drops, latency, memory.

The agent as it ships replays the clip in real time: alone, with a challenger by the default terms, with one that looks
at every face that the champion answers, and alone again, which shows what the machine's other work does to the
numbers. The challenger is the champion's own model with one more byte in its file: the same cost and the same answers,
so that whatever it counts as slower or as another answer is a fault of the comparison.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from benchmarks import agent_clip
from benchmarks.agent_run import GROUP, MODEL, Bench, Run
from edge_contract import package
from edge_contract.envelope import seal
from edge_contract.manifest import digest_of
from edge_contract.package import ModelPackage
from edge_contract.trust import DESIRED_TYPE
from edge_contract.wave import ShadowTerms, Wave
from edge_fleet.link import Link
from edge_fleet.releases.desired import DesiredStates, Issued
from edge_fleet.releases.publish import Publisher
from edge_fleet.releases.releases import Releases
from edge_mqtt.address import BrokerAddress

LOOPED: Final = "loop = true\n"
RUNS: Final[tuple[tuple[str, float | None], ...]] = (
    ("alone", None),
    ("shadow, every 10 s", 10.0),
    ("shadow, every face", 0.0),
    ("alone again", None),
)


class Rollout:
    """A release side with the two models, and a wave that puts one of them in shadow."""

    def __init__(self, bench: Bench) -> None:
        champion = package.read_file(MODEL)
        self._champion, self._challenger = champion, _twin(champion)
        self._repository = bench.repository()
        self._releases, self._desired = Releases(self._repository), DesiredStates(self._repository)
        for model in (self._champion, self._challenger):
            self._releases.add(model)

    def publish(self, port: int, spacing: float) -> None:
        """Everything that a device needs for the shadow, at the broker of this port."""
        champion, challenger = self._champion.manifest.ref, self._challenger.manifest.ref
        terms = ShadowTerms(spacing=spacing)
        wave = Wave(model=challenger, mode="shadow", share=1.0, salt=challenger.digest, shadow=terms)
        scope = f"group/{GROUP}"
        state = replace(self._desired.issue(scope, champion).state, wave=wave)
        with Link(BrokerAddress(port=port)) as link:
            publisher = Publisher(self._releases, self._desired, link)
            publisher.metadata()
            for ref in (champion, challenger):
                publisher.release(self._releases.find(ref.name, ref.release))
            publisher.states([Issued(state, seal(state, DESIRED_TYPE, self._repository.online_signer()))])


def _twin(model: ModelPackage) -> ModelPackage:
    """The same model as another release: a byte behind a flatbuffer is not read."""
    data, manifest = model.model + b"\0", model.manifest
    twin = replace(manifest, release=manifest.release + 1, digest=digest_of(data), size=len(data))
    return ModelPackage(twin, data, model.card)


def measure(folder: Path, clip: Path, detector: Path | None, seconds: float, console: Console) -> dict[str, Any]:
    """The figures of each run, by its name."""
    bench = Bench(folder, clip)
    rollout = Rollout(bench)
    found: dict[str, Any] = {}
    for number, (name, spacing) in enumerate(RUNS):
        console.print(f"{name}: {seconds:g} s …")
        publish = None if spacing is None else lambda port, every=spacing: rollout.publish(port, every)
        run = bench.run(f"shadow-{number}", detector, LOOPED, seconds=seconds, publish=publish)
        found[name] = _figures(run)
    return found


def _figures(run: Run) -> dict[str, Any]:
    summary, shadow = run.summary, run.shadow
    compared = {} if shadow is None else {
        name: getattr(shadow, name) for name in ("looks", "skipped", "failures", "agreed", "slower")
    }  # fmt: skip
    return {
        "frames": summary["frames"],
        "dropped": summary["dropped"],
        **{f"{q}_ms": summary[f"{q}_ms"] for q in ("p50", "p95", "p99")},
        "cpu_s_per_1000_frames": round(run.cpu_s / int(summary["frames"]) * 1000, 2),
        "pss_mb": run.memory.at_end()["pss_mb"],
        **compared,
    }


def main(detectors: tuple[Path, ...], seconds: float) -> None:
    """Run them in turn and print the table; the last line is one JSON object."""
    console = Console(stderr=True)
    detector = next((path for path in detectors if path.is_file()), None)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "faces.avi"
        agent_clip.make(clip, 30.0)
        found = measure(Path(folder), clip, detector, seconds, console)
    columns = list(dict.fromkeys(key for figures in found.values() for key in figures))
    table = Table("", *(column.replace("_", " ") for column in columns), title="A second model in shadow")
    for name, figures in found.items():
        table.add_row(name, *(str(figures.get(column, "")) for column in columns))
    Console(width=180).print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("detector", type=Path, nargs="?", help="YuNet's ONNX file; Haar without it")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run (default %(default)s)")
    options = parser.parse_args()
    main(() if options.detector is None else (options.detector,), options.seconds)

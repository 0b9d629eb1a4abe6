"""`make bench-agent`: the whole agent beside what people run today, on the same clip, in the same run.

A 640x480 clip of one, two, then three moving faces, 30 frames a second, is replayed to each:

- `baseline`: the loop this project descends from (Haar on every full frame, Keras predict), see `agent_peers`.
- `fer`: the package people install, in an environment of its own (`--fer PYTHON`; left out where there is none).
- `ours`: `edgewise-agent run` as it ships, with a real mosquitto and a listener that acknowledges like the bridge.

First what needs a quiet machine (about four minutes): the peers; ours in real time with default settings (CPU with
start-up included, drops), with Haar, and with every classified face published (latency from frame in memory until a
subscriber has the message). Then memory, where a busy machine does no harm: ours in real time for `--minutes`, and at
the same time as fast as possible for `--frames`. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks import agent_clip, agent_report, agent_scene, agent_shadow
from benchmarks.agent_report import Measured
from benchmarks.agent_run import MODEL, REPOSITORY, Bench
from edge_contract import package

RESULTS: Final = REPOSITORY / "benchmarks" / "results"
DETECTORS: Final = (
    REPOSITORY / "data" / "face_detection_yunet_2023mar.onnx",
    REPOSITORY.parent / "shared" / "data" / "face_detection_yunet_2023mar.onnx",
)
TWO_FACES: Final = REPOSITORY.parent / "shared" / "data" / "two_faces_boxes_drawn.gif"
LOOPED: Final = "loop = true\n"
FAST: Final = 'pace = "fast"\nloop = true\n'
EVERY_FACE: Final = "[pipeline.consensus]\nrepeat = 0.0\n"


def peer(python: str, name: str, clip: Path, frames: int) -> dict[str, Any] | None:
    """The peer's figures, or None where its environment cannot run it."""
    command = [python, str(REPOSITORY / "benchmarks" / "agent_peers.py"), name, str(clip), str(frames)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    if done.returncode != 0:
        Console(stderr=True).print(f"{name} was not measured: {done.stderr.strip()[-300:]}")
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(options: argparse.Namespace, console: Console, folder: Path) -> Measured:
    """All of it, in order."""
    detector = next((path for path in DETECTORS if path.is_file()), None)
    console.print(f"face detector: {detector.name if detector else 'Haar (make face-detector fetches YuNet)'}")
    clip = folder / "faces.avi"
    count = agent_clip.make(clip, options.seconds)
    bench = Bench(folder, clip)
    console.print(f"clip: {count} frames; peers …")
    baseline = peer(sys.executable, "baseline", clip, options.peer_frames)
    fer = peer(options.fer, "fer", clip, options.peer_frames) if Path(options.fer).exists() else None
    if fer is None:
        console.print("without `fer`: python3.11 -m venv .venv-fer && .venv-fer/bin/pip install fer==25.10.3")
    console.print("ours, in real time …")
    plain = bench.run("plain", detector)
    haar = bench.run("haar", None) if detector else None
    console.print("ours, every face published …")
    every = bench.run("every", detector, EVERY_FACE)
    console.print(f"memory: {options.minutes:g} minutes, and {options.frames} frames as fast as possible …")
    with ThreadPoolExecutor() as pool:
        day = pool.submit(bench.run, "day", detector, LOOPED, seconds=60 * options.minutes)
        long = pool.submit(bench.run, "long", detector, FAST, frames=options.frames)
        kept = pool.submit(bench.run, "kept", detector, LOOPED, seconds=30.0, keep_start_up=True)
        steady = agent_clip.flips(TWO_FACES, detector, package.read_file(MODEL)) if TWO_FACES.is_file() else None
        return Measured(
            clip_frames=count,
            baseline=baseline,
            fer=fer,
            plain=plain,
            haar=haar,
            every=every,
            day=day.result(),
            kept=kept.result(),
            long=long.result(),
            long_frames=options.frames,
            flips=steady,
        )


def main() -> None:
    """Run everything in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=45.0, help="length of the clip (default %(default)s)")
    parser.add_argument("--peer-frames", type=int, default=300, help="frames each peer works on (default %(default)s)")
    parser.add_argument("--frames", type=int, default=50_000, help="frames of the memory run (default %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of the clock-time memory run (default %(default)s)"
    )
    parser.add_argument("--fer", default=str(REPOSITORY / ".venv-fer" / "bin" / "python"), help="a Python with `fer`")
    parser.add_argument("--shadow", action="store_true", help="only what a second model in shadow costs")
    parser.add_argument("--scene", action="store_true", help="only what measuring the picture costs")
    options = parser.parse_args()
    if options.scene:
        agent_scene.main(DETECTORS)
        return
    if options.shadow:
        agent_shadow.main(DETECTORS, options.seconds)
        return
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, console, Path(folder))
    table = agent_report.rows(found)
    figures = agent_report.result(found, table)
    agent_report.show(console, found, table, figures)
    RESULTS.mkdir(exist_ok=True)
    agent_report.picture(RESULTS / "agent.png", table)
    (RESULTS / "agent.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

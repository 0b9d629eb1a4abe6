"""`make bench-agent`: the whole agent beside what people run today, on the same clip, in the same run.

A 640x480 clip of one, two, then three moving faces, 30 frames a second, is replayed to each:

- `baseline`: the loop this project descends from (Haar on every full frame, Keras predict), see `agent_peers`.
- `fer`: the package people install, in an environment of its own (`--fer PYTHON`; left out where there is none).
- `ours`: `edgewise-agent run` as it ships, with a real mosquitto and a listener that acknowledges like the bridge.

Of ours four runs are made: default settings in real time (CPU with start-up included, drops), the same with every
classified face published (latency from frame in memory until a subscriber has the message), as fast as possible for
many frames (memory), and the vision path alone on the two-face clip (how often the label changes, with consensus and
without). The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from demo.broker import Broker
from demo.clip import portrait
from edge_agent.consensus import ConsensusSettings
from edge_agent.link import Link
from edge_agent.locate import FaceLocator, LocateSettings
from edge_agent.recognize import Recognizer
from edge_agent.settings import BrokerSettings
from edge_agent.sources import SourceSettings, open_source
from edge_contract import package, topics
from edge_contract.messages import Ack, Prediction, Telemetry, decode, encode
from edge_vision.classifier import Classifier
from edge_vision.faces import open_detector, working_copy
from edge_vision.picture import Box
from tests.agent.scenes import moving_face, write_clip

REPOSITORY: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = REPOSITORY / "benchmarks" / "results"
DETECTORS: Final = (
    REPOSITORY / "data" / "face_detection_yunet_2023mar.onnx",
    REPOSITORY.parent / "shared" / "data" / "face_detection_yunet_2023mar.onnx",
)
TWO_FACES: Final = REPOSITORY.parent / "shared" / "data" / "two_faces_boxes_drawn.gif"
DEVICE: Final = "bench"
PATIENCE_S: Final = 1800.0
FPS: Final = 30


def make_clip(path: Path, seconds: float) -> int:
    """A third of the clip with one face, a third with two, a third with three, and a sensor's noise; its frames."""
    gray = np.asarray(cv2.cvtColor(portrait(), cv2.COLOR_BGR2GRAY), np.uint8)
    rng = np.random.default_rng(0)
    each = round(seconds * FPS / 3)
    scenes = chain.from_iterable(moving_face(gray, each, faces=faces) for faces in (1, 2, 3))
    noisy = (np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for scene in scenes)
    return write_clip(path, noisy, fps=FPS)


@dataclass
class Ear:
    """Listens like the bridge: notes what comes and acknowledges it, so that the agent's spool empties."""

    port: int
    latencies: list[float] = field(default_factory=list)
    """Seconds from frame in memory until the message was here."""
    first: float | None = None
    """time.time() of the first prediction's arrival."""
    frames: int = 0
    """As the agent's telemetry last counted them."""

    def __post_init__(self) -> None:
        """Connect and subscribe."""
        self._newest: Ack | None = None
        self._link = Link(BrokerSettings(port=self.port), "ear", clean_start=True)
        for leaf in ("prediction", "telemetry"):
            self._link.subscribe(topics.device(DEVICE, leaf), self._heard)
        self._link.start()
        while not self._link.connected:
            time.sleep(0.01)

    def _heard(self, topic: str, payload: bytes) -> None:
        now = time.time()
        message: Prediction | Telemetry
        if topic.endswith("/prediction"):
            message = decode(payload, Prediction)
            self.first = self.first or now
            self.latencies.append(now - message.time + message.latency)
        else:
            message = decode(payload, Telemetry)
            self.frames = message.counters.get("frames", 0)
        self._newest = Ack(session=message.session, sequence=message.sequence)

    def acknowledge(self) -> None:
        """Say what came so far; ten times a second, as the bridge does, not for every message."""
        newest, self._newest = self._newest, None
        if newest is not None:
            self._link.publish(topics.device(DEVICE, "ack"), encode(newest))

    def close(self) -> None:
        """Hang up."""
        self._link.stop()


@dataclass
class Run:
    """One run of the agent, over."""

    summary: dict[str, Any]
    cpu_s: float
    """User and system time of the process and all its threads, start-up included."""
    latencies: list[float]
    first_prediction_s: float | None
    memory: list[tuple[int, int, int]]
    """(frames by telemetry, resident bytes, those of them that are no clean pages of files), over time."""


def run_agent(folder: Path, clip: Path, detector: Path | None, extra: str = "", *, frames: int | None = None) -> Run:
    """Run the agent on the clip until it ends, or until it counted `frames`.

    Raises:
        RuntimeError: the agent failed; its log is in the text.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with Broker(folder / "broker") as broker:
        ear = Ear(broker.port)
        config = folder / "agent.toml"
        config.write_text(
            f'[device]\nid = "{DEVICE}"\nstate_dir = "state"\n[broker]\nport = {broker.port}\n'
            f"[model]\nfactory = {json.dumps(str(REPOSITORY / 'models' / 'emotion-2.ewm'))}\n"
            + (f"face_detector = {json.dumps(str(detector))}\n" if detector else "")
            + "[telemetry]\ninterval_s = 2.0\npredictions_per_minute = 6000\n"
            + f"[source]\nurl = {json.dumps(str(clip))}\n{extra}"
        )
        command = [sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
        log = (folder / "agent.log").open("w")
        began, memory = time.time(), []
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log, text=True)
        watched, cpu = psutil.Process(process.pid), 0.0
        while process.poll() is None and time.time() - began < PATIENCE_S:
            try:
                resident = watched.memory_info()
                memory.append((ear.frames, resident.rss, resident.rss - resident.shared))
                ear.acknowledge()
                times = watched.cpu_times()
                cpu = times.user + times.system
            except psutil.Error:
                break
            if frames is not None and ear.frames >= frames:
                process.send_signal(signal.SIGTERM)
                frames = None
            time.sleep(0.1)
        out, _ = process.communicate(timeout=60)
        ear.close()
        if process.returncode != 0:
            raise RuntimeError(
                f"the agent ended with {process.returncode}: {(folder / 'agent.log').read_text()[-2000:]}"
            )
    first = None if ear.first is None else ear.first - began
    return Run(json.loads(out.splitlines()[-1]), cpu, ear.latencies, first, memory)


def run_peer(python: str, peer: str, clip: Path, frames: int) -> dict[str, Any] | None:
    """The peer's figures, or None where its environment cannot run it."""
    command = [python, str(REPOSITORY / "benchmarks" / "agent_peers.py"), peer, str(clip), str(frames)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    if done.returncode != 0:
        Console(stderr=True).print(f"{peer} was not measured: {done.stderr.strip()[-300:]}")
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


def flips(clip: Path, detector: Path | None) -> dict[str, float]:
    """How often a face's label changes, per face and minute of the clip: each frame by itself, and the consensus."""
    made = package.read_file(REPOSITORY / "models" / "emotion-2.ewm")
    source = open_source(SourceSettings(url=str(clip), pace="fast"))
    stream = source.connect()
    locator = FaceLocator(open_detector(detector), LocateSettings(motion=0.0), time.monotonic, fps=stream.fps)
    recognizer = Recognizer(Classifier(made.model, made.manifest), ConsensusSettings(), time.monotonic)
    last: dict[int, str] = {}
    raw = agreed = looks = frame = 0
    while stream.grab():
        picture = stream.retrieve(gray=True)
        frame += 1
        small, scale = working_copy(picture)
        for track in locator.locate(small, frame / stream.fps).faces:
            box = Box(*(side * scale for side in track.box))
            seen = recognizer.recognize(track.number, picture, box, frame / stream.fps)
            looks += 1
            raw += track.number in last and last[track.number] != seen.label
            agreed += seen.announcement is not None and seen.announcement.changed
            last[track.number] = seen.label
        locator.refresh(small, frame / stream.fps)
    minutes = looks / stream.fps / 60
    return {
        "without_consensus": round(raw / minutes, 1),
        "with_consensus": round(max(0, agreed - len(last)) / minutes, 1),  # a face's first label is no flip
        "face_minutes": round(minutes, 3),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    ordered = sorted(values)
    return {
        f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 2) for share in (50, 95, 99)
    }


def growth(memory: list[tuple[int, int, int]], frames: int) -> float:
    """Resident megabytes at the end minus those after a tenth of the frames, each the median of a twentieth."""

    def around(share: float) -> float:
        near = [resident for count, resident, _ in memory if share * frames <= count <= (share + 0.05) * frames]
        return statistics.median(near or [memory[-1][1]])

    return (around(0.95) - around(0.10)) / 1e6


def picture(path: Path, rows: list[dict[str, Any]]) -> None:
    """CPU and latency of each, as bars."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
    for axis, key, title in ((axes[0], "cpu", "CPU seconds per 1,000 frames"), (axes[1], "p95", "p95 of a frame, ms")):
        shown = [row for row in rows if row[key] is not None]
        bars = axis.barh([row["name"] for row in shown], [row[key] for row in shown], color="#3a6ea5")
        axis.bar_label(bars, fmt="%.3g", padding=3)
        axis.margins(x=0.2)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run everything in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the clip (default %(default)s)")
    parser.add_argument("--peer-frames", type=int, default=300, help="frames each peer works on (default %(default)s)")
    parser.add_argument("--frames", type=int, default=50_000, help="frames of the memory run (default %(default)s)")
    parser.add_argument("--fer", default=str(REPOSITORY / ".venv-fer" / "bin" / "python"), help="a Python with `fer`")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    detector = next((path for path in DETECTORS if path.is_file()), None)
    console.print(f"face detector: {detector.name if detector else 'Haar (make face-detector fetches YuNet)'}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clip = folder / "faces.avi"
        count = make_clip(clip, arguments.seconds)
        console.print(f"clip: {count} frames; peers …")
        baseline = run_peer(sys.executable, "baseline", clip, arguments.peer_frames)
        fer = run_peer(arguments.fer, "fer", clip, arguments.peer_frames) if Path(arguments.fer).exists() else None
        if fer is None:
            console.print("without `fer`: python3.11 -m venv .venv-fer && .venv-fer/bin/pip install fer==25.10.3")
        console.print("ours, in real time …")
        plain = run_agent(folder / "plain", clip, detector)
        haar = run_agent(folder / "haar", clip, None) if detector else None
        console.print("ours, every face published …")
        every = run_agent(folder / "every", clip, detector, "[pipeline.consensus]\nrepeat = 0.0\n")
        console.print(f"ours, {arguments.frames} frames as fast as possible …")
        endless = 'pace = "fast"\nloop = true\n'
        long = run_agent(folder / "long", clip, detector, endless, frames=arguments.frames)
        steady = flips(TWO_FACES, detector) if TWO_FACES.is_file() else None
    report(
        console,
        arguments,
        count,
        baseline=baseline,
        fer=fer,
        plain=plain,
        haar=haar,
        every=every,
        long=long,
        steady=steady,
    )


def report(console: Console, arguments: argparse.Namespace, count: int, **measured: Any) -> None:
    """Table, picture, file, and the JSON line."""
    plain, every, long, haar, steady = (measured[name] for name in ("plain", "every", "long", "haar", "steady"))
    peers = [name for name in ("baseline", "fer") if measured[name] is not None]
    rows = [
        {"name": name, "cpu": round(measured[name]["cpu_s_per_1000"], 2), **percentiles(measured[name]["ms"])}
        for name in peers
    ]
    ours_cpu = round(plain.cpu_s / plain.summary["frames"] * 1000, 2)
    published = percentiles([1000 * latency for latency in every.latencies])
    if haar is not None:
        haar_cpu = round(haar.cpu_s / haar.summary["frames"] * 1000, 2)
        rows.append(
            {"name": "ours, Haar", "cpu": haar_cpu, **{f"p{q}": haar.summary[f"p{q}_ms"] for q in (50, 95, 99)}}
        )
    rows.append({"name": "ours", "cpu": ours_cpu, **published})
    by_name = {row["name"]: row for row in rows}
    result = {
        "cpu_ratio": round(by_name["baseline"]["cpu"] / ours_cpu, 1) if "baseline" in by_name else None,
        "cpu_ratio_fer": round(by_name["fer"]["cpu"] / ours_cpu, 1) if "fer" in by_name else None,
        "cpu_s_per_1000_frames": {row["name"]: row["cpu"] for row in rows},
        "p50_ms": published["p50"],
        "p95_ms": published["p95"],
        "p99_ms": published["p99"],
        "published": len(every.latencies),
        "frame_ms": {row["name"]: {q: row[q] for q in ("p50", "p95", "p99")} for row in rows},
        "agent_whole_ms": {q: plain.summary[f"{q}_ms"] for q in ("p50", "p95", "p99")},
        "uncounted_drops": sum(count - run.summary["frames"] - run.summary["dropped"] for run in (plain, every)),
        "dropped": plain.summary["dropped"] + every.summary["dropped"],
        "rss_mb": round(long.memory[-2][1] / 1e6, 1),
        "rss_private_mb": round(long.memory[-2][2] / 1e6, 1),
        "rss_growth_mb": round(growth(long.memory, arguments.frames), 2),
        "memory_run_frames": long.summary["frames"],
        "memory_run_s": long.summary["seconds"],
        "first_prediction_s": round(plain.first_prediction_s, 2) if plain.first_prediction_s else None,
        "flips_per_minute": steady,
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "detector": "yunet" if haar is not None else "haar",
    }
    table = Table(title=f"{count} frames of 640x480 with one to three faces")
    for heading in ("", "CPU s / 1,000 frames", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row in rows:
        table.add_row(row["name"], *(f"{row[key]:.2f}" for key in ("cpu", "p50", "p95", "p99")))
    Console().print(table)
    console.print(
        "Peers: from frame decoded to answer printed. Ours: from frame in memory to received from the broker."
    )
    console.print("Ours with Haar: to handed over.")
    RESULTS.mkdir(exist_ok=True)
    picture(RESULTS / "agent.png", rows)
    (RESULTS / "agent.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

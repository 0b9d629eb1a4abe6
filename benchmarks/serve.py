"""`make bench-serve`: the model behind HTTP beside what people serve models with, under the same load by wrk.

All servers run at once and are loaded in turns, several times over, so that what else the machine does meets all of
them; the median of the rounds counts. They are compared by requests per second of their own processor time (all their
processes, user and system). `ratio_vs_keras` and `ratio_vs_best` hold our binary requests against the *fastest* way of
each peer, `*_json` JSON against JSON. The interpreter alone is measured between them: what is more than that, a server
adds, and `ratio_vs_best_at_most` is what one would reach that adds nothing. Then the model is exchanged a hundred times
under load, and what was not answered is counted. A peer that is not installed (`make setup-serve-peers`) or does not
start is said by name and left out.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from benchmarks.serve_load import Measured, Request, Tree, load
from benchmarks.serve_peers import ROOT, Server, servers
from benchmarks.serve_swaps import Swapped, swaps
from edge_contract import package
from edge_simulator.broker import free_port
from edge_vision.classifier import Classifier

MODEL: Final = Path("models/emotion-5.ewm")
OTHER: Final = Path("models/emotion-1.ewm")
RESULT: Final = Path("benchmarks/results/serve.json")
OURS: Final = "edgewise"
KERAS: Final = "keras_flask"
PATIENCE_S: Final = 180.0
_WARM_S: Final = 2.0
_END_S: Final = 30.0
Rounds = dict[tuple[str, str], list[Measured]]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answered."""

    server: Server
    port: int
    tree: Tree


@contextlib.contextmanager
def running(port: int, server: Server, folder: Path) -> Iterator[Running]:
    """The server, started and answering each kind of request with a label.

    Raises:
        RuntimeError: it ended, or does not answer.
    """
    log = folder / f"{server.name}.log"
    with log.open("w+b") as said:
        if server.before is not None:
            subprocess.run(
                server.before, cwd=ROOT, env=server.surroundings(), stdout=said, stderr=said, check=True, timeout=300
            )
        process = subprocess.Popen(
            server.command, cwd=ROOT, env=server.surroundings(), stdout=said, stderr=said, start_new_session=True
        )
        try:
            for kind, request in server.requests.items():
                _until_answered(process, port, request, f"{server.name}, {kind}", log)
            yield Running(server, port, Tree(process.pid))
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # what it left of its own session
            process.wait(10)


def _until_answered(process: "subprocess.Popen[bytes]", port: int, request: Request, name: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer(port, request)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            if process.poll() is not None or time.monotonic() > end:
                last = log.read_text(errors="replace").strip().rpartition("\n")[2][-300:]
                raise RuntimeError(f"{name} does not answer ({error}): {last}") from error
            time.sleep(0.5)
        else:
            return


def answer(port: int, request: Request) -> int:
    """The label of one answer.

    Raises:
        OSError: it is not answered, or refused.
        RuntimeError: the answer names no label.
    """
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{request.path}", request.body, request.headers, method="POST"
    )
    try:
        with urllib.request.urlopen(asked, timeout=30) as answered:  # noqa: S310  # the same
            label = request.label(answered.read(), dict(answered.headers.items()))
    except urllib.error.HTTPError as error:
        raise OSError(f"{error.code}: {error.read()[:300]!r}") from error
    if label < 0:
        raise RuntimeError("no label")
    return label


def prepare(folder: Path) -> tuple[Any, bytes]:
    """The model in the three forms; a picture [1, 48, 48, 1] and a photograph as a JPEG."""
    shipped = package.read_file(MODEL)
    shutil.copy(MODEL, folder / "model.ewm")
    (folder / "model.tflite").write_bytes(shipped.model)
    subprocess.run(
        [sys.executable, "-m", "convert.restore", "--package", str(MODEL), "--output", str(folder / "restored")],
        check=True, timeout=300, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (folder / "restored" / "model.keras").rename(folder / "model.keras")
    from skimage.data import astronaut  # noqa: PLC0415  # a public-domain portrait

    portrait = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)
    face = cv2.resize(
        cv2.cvtColor(portrait[70:190, 165:285], cv2.COLOR_BGR2GRAY), (48, 48), interpolation=cv2.INTER_AREA
    )
    return np.ascontiguousarray(face[None, :, :, None]), cv2.imencode(".jpg", portrait)[1].tobytes()


def measure(everyone: list[Running], rounds: int, seconds: float, inference: "Inference") -> Rounds:
    """Every way of every server in turn, and the interpreter alone, several times over."""
    found: Rounds = {}
    for number in range(-1, rounds):  # one for warmth
        for each in everyone:
            for kind, request in each.server.requests.items():
                took = load(each.port, request, each.tree, _WARM_S if number < 0 else seconds)
                if number >= 0:
                    found.setdefault((each.server.name, kind), []).append(took)
            inference.measure(0.5)
        print(f"  round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
    return found


class Inference:
    """The interpreter alone, in this process, between the rounds: no server with it inside can be faster."""

    def __init__(self, picture: Any) -> None:
        """It answers this picture."""
        shipped = package.read_file(MODEL)
        self._classifier, self._picture = Classifier(shipped.model, shipped.manifest), picture
        self._ms: list[float] = []

    def measure(self, seconds: float) -> None:
        """For so long."""
        count, end, began = 0, time.monotonic() + seconds, time.process_time()
        while time.monotonic() < end:
            self._classifier.classify(self._picture)
            count += 1
        self._ms.append((time.process_time() - began) / count * 1000)

    @property
    def cpu_ms(self) -> float:
        """Processor time of one, in ms: the median of what was measured."""
        return statistics.median(self._ms)


def summary(
    found: Rounds, rss_mb: dict[str, float], swapped: Swapped, missing: dict[str, str], inference_ms: float
) -> dict[str, Any]:
    """What is claimed, and what it is worked out from."""
    ours = {kind: _rate(rounds) for (name, kind), rounds in found.items() if name == OURS}
    peers = {key: _rate(rounds) for key, rounds in found.items() if key[0] != OURS}
    tflite = {key: rate for key, rate in peers.items() if key[0] != KERAS}
    return {
        "ratio_vs_keras": _ratio(ours["binary"], [rate for key, rate in peers.items() if key[0] == KERAS]),
        "ratio_vs_best": _ratio(ours["binary"], list(tflite.values())),
        "ratio_vs_keras_json": _ratio(ours["json"], [rate for key, rate in peers.items() if key == (KERAS, "json")]),
        "ratio_vs_best_json": _ratio(ours["json"], [rate for key, rate in tflite.items() if key[1] == "json"]),
        "ratio_vs_best_at_most": round(1000 / max(tflite.values()) / inference_ms, 2) if tflite else None,
        "best_peer": "/".join(max(tflite.items(), key=lambda item: item[1])[0]) if tflite else None,
        "p99_ms": _p99(found[OURS, "binary"]),
        "p99_ms_json": _p99(found[OURS, "json"]),
        "p99_ms_photograph": _p99(found[OURS, "photograph"]),
        "rss_mb": round(rss_mb[OURS], 1),
        "swaps": swapped.swaps,
        "swap_requests": swapped.requests,
        "lost": swapped.lost,
        "refused": swapped.refused + sum(one.refused + one.lost for one in _all_of(found, OURS)),
        "requests_per_cpu_second": {f"{name}/{kind}": round(_rate(rounds)) for (name, kind), rounds in found.items()},
        "inference_cpu_ms": round(inference_ms, 3),
        "cpu_ms_per_request": {
            f"{name}/{kind}": round(1000 / rate, 3) for (name, kind), rounds in found.items() if (rate := _rate(rounds))
        },
        "requests_per_second": {
            f"{name}/{kind}": round(statistics.median(one.requests / one.seconds for one in rounds))
            for (name, kind), rounds in found.items()
        },
        "peers_p99_ms": {f"{name}/{kind}": _p99(rounds) for (name, kind), rounds in found.items() if name != OURS},
        "peers_rss_mb": {name: round(mb, 1) for name, mb in rss_mb.items() if name != OURS},
        "peers_failed": {
            name: failed for name in rss_mb
            if name != OURS and (failed := sum(one.refused + one.lost for one in _all_of(found, name)))
        },
        "left_out": missing,
        "processors": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def _all_of(found: Rounds, wanted: str) -> list[Measured]:
    return [one for (name, _), rounds in found.items() if name == wanted for one in rounds]


def _rate(rounds: list[Measured]) -> float:
    return statistics.median(one.per_cpu_second for one in rounds)


def _p99(rounds: list[Measured]) -> float:
    return round(statistics.median(one.p99_ms for one in rounds), 2)


def _ratio(ours: float, theirs: list[float]) -> float | None:
    best = max(theirs, default=0.0)
    return round(ours / best, 2) if best else None


def main() -> int:
    """Print a line a round and a server, and the summary as JSON."""
    parser = argparse.ArgumentParser(description="The model behind HTTP beside what people serve models with.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, on each way of each server")
    parser.add_argument("--swaps", type=int, default=100)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed; run: sudo apt-get install wrk", file=sys.stderr)
        return 1
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="edgewise-serve-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        picture, photograph = prepare(folder)
        everyone = []
        for title, (port, server) in servers(folder, picture, photograph, free_port).items():
            if why := server.missing():
                missing[title] = why.replace(f"{ROOT}/", "")
                continue
            try:
                everyone.append(stack.enter_context(running(port, server, folder)))
            except (RuntimeError, subprocess.SubprocessError) as error:
                if title == OURS:
                    raise
                missing[title] = "does not start"
                print(f"  {title}: {error}", file=sys.stderr)
        inference = Inference(picture)
        found = measure(everyone, given.rounds, given.seconds, inference)
        for (title, kind), rounds in sorted(found.items(), key=lambda item: -_rate(item[1])):
            print(f"  {title:<12s} {kind:<10s} {_rate(rounds):8.0f} requests per CPU second, p99 {_p99(rounds)} ms")
        rss_mb = {each.server.name: each.tree.rss_mb() for each in everyone}
        mine = next(each for each in everyone if each.server.name == OURS)
        others = (MODEL.read_bytes(), OTHER.read_bytes())
        swapped = swaps(mine.port, mine.tree, mine.server.requests["binary"], folder / "model.ewm", others, given.swaps)
        result = summary(found, rss_mb, swapped, missing, inference.cpu_ms)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())

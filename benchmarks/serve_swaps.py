"""The model exchanged again and again under load: each time until the server says that the new one answers."""

import json
import os
import signal
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serve_load import Measured, Request, Tree, load

_PATIENCE_S: Final = 60.0
_LOAD_S: Final = 5.0
_NAME: Final = "emotion"


@dataclass(frozen=True, slots=True)
class Swapped:
    """What happened."""

    swaps: int
    requests: int
    lost: int
    refused: int


def swaps(port: int, tree: Tree, request: Request, file: Path, packages: tuple[bytes, bytes], count: int) -> Swapped:
    """Write the packages in turn over `file`, which the server watches, and tell it to look; `count` times.

    Raises:
        RuntimeError: a package did not begin to answer.
    """
    rounds: list[Measured] = []
    done = threading.Event()

    def press() -> None:
        while not done.is_set():
            rounds.append(load(port, request, tree, _LOAD_S))

    loading = threading.Thread(target=press)
    loading.start()
    try:
        time.sleep(1.0)
        for number in range(count):
            before = _version(port)
            beside = file.with_suffix(".next")
            beside.write_bytes(packages[1 - number % 2])
            beside.replace(file)
            os.kill(tree.pid, signal.SIGHUP)
            end = time.monotonic() + _PATIENCE_S
            while _version(port) == before:
                if time.monotonic() > end:
                    raise RuntimeError(f"the model of swap {number + 1} does not answer")
                time.sleep(0.02)
    finally:
        done.set()
        loading.join()
    return Swapped(
        count,
        sum(one.requests for one in rounds),
        sum(one.lost for one in rounds),
        sum(one.refused for one in rounds),
    )


def _version(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/{_NAME}", timeout=30) as answered:
        (version,) = json.loads(answered.read())["versions"]
    return str(version)

"""Rows of what is around a device: a broker that is killed and forgets, clocks that are ten years off, a full disk, and
frames that an update or a shadow may cost. Each with the real agent as a process and, where messages are counted, the
real bridge.
"""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from demo import clip
from edge_bridge.storage.store import Store
from edge_contract import topics
from edge_contract.messages import ModelRef, Reported, Telemetry
from edge_contract.wave import ShadowTerms
from tests.agent.agent_process import DEVICE, REPOSITORY, AgentProcess, Subscriber
from tests.agent.scenes import moving_face, write_clip
from tests.agent.update.update_bench import tiny
from tests.bridge.process import BridgeProcess
from tests.faults.device import FACTORY, Site
from tests.faults.row import Row

_FPS: Final = 10
"""Of the clip: a busy machine has time for each of its frames, and what holds the pipeline up for longer shows."""
_PLAYS: Final = ("alone", "update", "shadow", "alone_again")
TEN_YEARS_S: Final = 10 * 365.25 * 86400.0
_PATIENCE_S: Final = 90.0
_CLOCK: Final = (
    "import sys, time; real = time.time; time.time = lambda: real() + float(sys.argv.pop(1)); "
    "from edge_agent.cli import main; sys.exit(main())"
)
_OFTEN: Final = "loop = true\n[telemetry]\ninterval_s = 1.0\npredictions_per_minute = 6000\n[spool]\nresend_s = 1.0\n"


class Missed(Exception):  # noqa: N818
    """What had to happen did not."""


def _until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise Missed(what)
        time.sleep(0.05)


class _Agent(AgentProcess):
    """The agent, whose clock may be wrong and whose state may lie elsewhere."""

    def __init__(self, site: Site, folder: Path, film: Path, extra: str, *, state: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        model = f'trust_root = "{site.folder / "root.json"}"\nfactory = "{FACTORY}"'
        super().__init__(folder, site.port, film, model=model, extra=extra)
        if state is not None:
            self.config.write_text(self.config.read_text().replace('state_dir = "state"', f'state_dir = "{state}"'))
        self.state = state or folder / "state"

    def start_at(self, offset: float) -> "_Agent":
        """Start with a clock that is so many seconds off."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CLOCK.replace("sys.argv.pop(1)", repr(str(offset))), "run", "--config",
             str(self.config)],
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=(self.folder / "agent.log").open("a"), text=True,
        )  # fmt: skip
        return self


@contextmanager
def _film(folder: Path, seconds: float = 2.0) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    film = folder / "clip.avi"
    clip.render(film, seconds)
    yield film


def broker_and_clock(folder: Path, *, kills: int = 20) -> Row:
    """The broker killed and emptied again and again, then clocks ten years ahead and behind: nothing is missing."""
    row = Row("broker killed and wiped, clock ten years off")
    with row.timed(), Site(folder / "broker") as site, _film(folder) as film:
        row.figures.update(broker_kills=0, clocks=0, messages=0, missing=0)
        _without_losing(
            row, site, film, "the broker was killed", 0.0, lambda agent: _kill_broker(row, site, agent, kills)
        )
        for offset in (TEN_YEARS_S, -TEN_YEARS_S):
            row.count("clocks")
            ahead = "ahead" if offset > 0 else "behind"
            _without_losing(row, site, film, f"a clock ten years {ahead}", offset, lambda _: _frames_flow(site))
    return row


def _without_losing(
    row: Row, site: Site, film: Path, what: str, offset: float, disturb: Callable[[_Agent], None]
) -> None:
    """Run an agent and a bridge through it, then let both be well again: what the agent saw, the bridge has, once."""
    folder = site.new_folder()
    agent, summaries = _Agent(site, folder, film, _OFTEN), []
    bridge = BridgeProcess(folder, site.port)
    try:
        with bridge:
            agent.start_at(offset)
            disturb(agent)
            target = site.side.push(tiny(2))
            if offset:
                summaries.append(agent.stop()[1])
                agent.start()
            _until(lambda: _reported(site, target), "the release became active")
            _until(lambda: _held(agent.state) == 0, "the spool became empty")
            summaries.append(agent.stop()[1])
            _until(lambda: _held(agent.state) <= 2, "the last words were taken")  # cut after the last acknowledgement
            bridge.stop()
            said = sum(int(each["predictions"]) for each in summaries)
            dropped = sum(int(each["spool_dropped"]) for each in summaries)
            store = Store(bridge.database)
            stored = [(each.message.session, each.message.sequence) for each in store.recent(1_000_000)]
            store.close()
            row.count("messages", _given(agent.state))
            missing = max(0, said - len(stored) - _held_predictions(agent.state)) + dropped
            row.count("missing", missing)
            if missing or len(stored) != len(set(stored)):
                row.found.append(f"{what}: of {said} predictions {len(stored)} are stored, {dropped} were dropped")
    except Exception as error:  # noqa: BLE001
        row.found.append(f"{what}: {type(error).__name__}: {error}; {agent.log[-400:]}")
    finally:
        agent.__exit__()


def _kill_broker(row: Row, site: Site, agent: _Agent, kills: int) -> None:
    _frames_flow(site)
    for number in range(kills):
        site.broker.kill()
        for file in (site.folder / "broker").glob("mosquitto.db*"):
            file.unlink()
        assert agent.process is not None
        if agent.process.poll() is not None:
            raise Missed("the agent ended")
        site.broker.start()
        row.count("broker_kills")
        if number % 4 == 0:
            site.side.push(tiny(1))
        time.sleep(0.5 + number % 3)
    _frames_flow(site)


def _frames_flow(site: Site) -> None:
    """Wait for two windows, of which the later counted more frames."""
    subscriber = Subscriber(site.port, topics.device(DEVICE, "telemetry"))
    try:
        _until(lambda: len(_frames(subscriber)) > 1, "frames are counted")
    finally:
        subscriber.link.stop()


def _frames(subscriber: Subscriber) -> set[int]:
    return {window.counters["frames"] for window in subscriber.messages("telemetry", Telemetry)}


def _reported(site: Site, target: ModelRef) -> bool:
    subscriber = Subscriber(site.port, topics.device(DEVICE, "reported"))
    try:
        time.sleep(0.3)
        said = subscriber.messages("reported", Reported)
        return bool(said) and said[-1].state == "committed" and said[-1].active == target
    finally:
        subscriber.link.stop()


def _held(state: Path, where: str = "1") -> int:
    with closing(sqlite3.connect(f"file:{state / 'spool.db'}?mode=ro", uri=True, timeout=10)) as database:
        return int(database.execute(f"SELECT count(*) FROM message WHERE {where}").fetchone()[0])  # noqa: S608


def _given(state: Path) -> int:
    """How many messages this device's spool ever held."""
    with closing(sqlite3.connect(f"file:{state / 'spool.db'}?mode=ro", uri=True, timeout=10)) as database:
        return int(database.execute("SELECT seq FROM sqlite_sequence").fetchone()[0])


def _held_predictions(state: Path) -> int:
    return _held(state, "kind = 'prediction'")


def full_disk(folder: Path) -> Row:
    """A real small disk that fills while an agent runs and is full when it starts again, then has room."""
    row = Row("a full disk under the whole agent")
    disk = folder / "disk"
    disk.mkdir(parents=True)
    mounted = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], check=False).returncode == 0
    )
    if not mounted:
        row.figures["not_permitted_to_mount"] = 1
        return row
    try:
        with row.timed(), Site(folder / "full") as site, _film(folder) as film:
            agent = _Agent(site, site.new_folder(), film, _OFTEN, state=disk / "state")
            try:
                agent.start()
                _frames_flow(site)
                _fill(disk)
                target = site.side.push(tiny(2))
                _frames_flow_without_spool(agent)
                row.count("filled_while_running")
                agent.process.kill()  # type: ignore[union-attr]
                agent.process.wait()  # type: ignore[union-attr]
                _fill(disk)
                agent.start()
                _frames_flow_without_spool(agent)
                row.count("started_while_full")
                (disk / "filler").unlink()
                _until(lambda: _reported(site, target), "the release became active once there was room")
                row.count("converged")
                _frames_flow(site)
                status, _ = agent.stop()
                if status:
                    row.found.append(f"the agent ended with {status}")
            except Exception as error:  # noqa: BLE001
                row.found.append(f"{type(error).__name__}: {error}; {agent.log[-300:]}")
            finally:
                agent.__exit__()
    finally:
        subprocess.run(["umount", str(disk)], check=False)
    return row


def _fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _frames_flow_without_spool(agent: _Agent) -> None:
    """The agent says that it lives, in memory: its log goes on and its process too."""
    for _ in range(20):
        time.sleep(0.25)
        assert agent.process is not None
        if agent.process.poll() is not None:
            raise Missed(f"the agent ended with {agent.process.returncode}")


def frames(folder: Path, *, seconds: float = 14.0, rounds: int = 2) -> Row:
    """A clip as fast as it can be read, every frame of it, and in real time: alone, through an update and a shadow."""
    row = Row("frames lost by an update or a shadow")
    folder.mkdir(parents=True, exist_ok=True)
    film = folder / "faces.avi"
    gray = np.asarray(cv2.cvtColor(clip.portrait(), cv2.COLOR_BGR2GRAY), np.uint8)
    write_clip(film, moving_face(gray, round(seconds * _FPS)), fps=_FPS)
    with row.timed(), Site(folder / "frames") as site:
        for way in ("update", "shadow"):
            lost, played = _lost(site, film, way, 'pace = "fast"\nloop = true\n', row)
            row.count("frames_read_fast", played)
            row.count("lost_of_these", lost)
            if lost:
                row.found.append(f"{way}: {lost} of {played} frames that were read were lost")
        # What else this machine does holds up one round or another; what an update or a shadow costs is in all of them.
        lost_by: dict[str, int] = {}
        for way in _PLAYS * rounds:
            lost, played = _lost(site, film, way, "", row)
            row.count("frames_in_real_time", played)
            lost_by[way] = min(lost, lost_by.get(way, lost))
        row.figures.update({f"lost_{way}_at_least": lost for way, lost in lost_by.items()})
        usual = max(lost_by["alone"], lost_by["alone_again"])
        for way in ("update", "shadow"):
            row.figures[f"more_by_{way}"] = max(0, lost_by[way] - usual)
            if lost_by[way] > usual:
                row.found.append(f"{way}: {lost_by[way]} frames were lost in real time, {usual} without")
    return row


def _lost(site: Site, film: Path, way: str, extra: str, row: Row) -> tuple[int, int]:
    """Frames dropped or failed of a run, and those that were worked on."""
    site.side.push(tiny(1))
    agent = _Agent(site, site.new_folder(), film, extra)
    agent.start()
    try:
        time.sleep(2.0)
        if way == "update":
            target = site.side.push(tiny(2))
        elif way == "shadow":
            site.side.wave(tiny(1), tiny(2), "shadow", shadow=ShadowTerms(spacing=0.0))
        if extra:
            if way == "update":
                _until(lambda: _reported(site, target), "the release became active")
            else:
                _until(lambda: _looked(site), "the two were compared")
            _, summary = agent.stop()
        else:
            _, summary = agent.wait()
    finally:
        agent.__exit__()
    if way == "update" and not any("tiny 2" in each for each in summary["releases"]):
        row.found.append("the clip ended before the update")
    return int(summary["dropped"]) + int(summary["errors"]), int(summary["frames"])


def _looked(site: Site) -> bool:
    subscriber = Subscriber(site.port, topics.device(DEVICE, "telemetry"))
    try:
        time.sleep(2.5)
        return any(each.shadow is not None and each.shadow.looks > 0 for each in
                   subscriber.messages("telemetry", Telemetry))  # fmt: skip
    finally:
        subscriber.link.stop()

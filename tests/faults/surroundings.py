"""Rows of what is around a device: a broker that is killed and forgets, clocks that are ten years off, a full disk, and
frames that an update or a shadow may cost. Each with the real agent as a process and, where messages are counted, the
real bridge.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from demo import clip
from edge_bridge.storage.store import Store
from edge_contract import topics
from edge_contract.messages import ModelRef, Reported, Telemetry
from edge_contract.wave import ShadowTerms
from tests.agent.agent_process import DEVICE, REPOSITORY, AgentProcess, Subscriber
from tests.agent.update.update_bench import tiny
from tests.bridge.process import BridgeProcess
from tests.faults.device import FACTORY, Site
from tests.faults.row import Row

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
            row.count("messages", said)
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
    import sqlite3  # noqa: PLC0415
    from contextlib import closing  # noqa: PLC0415

    with closing(sqlite3.connect(f"file:{state / 'spool.db'}?mode=ro", uri=True, timeout=10)) as database:
        return int(database.execute(f"SELECT count(*) FROM message WHERE {where}").fetchone()[0])  # noqa: S608


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


def frames(folder: Path, *, seconds: float = 12.0) -> Row:
    """A clip played in real time: alone, through an update, through a shadow, and alone again."""
    row = Row("frames lost by an update or a shadow")
    with row.timed(), Site(folder / "frames") as site, _film(folder, seconds) as film:
        lost: dict[str, int] = {}
        for name in ("alone", "update", "shadow", "alone_again"):
            site.side.push(tiny(1))
            agent = _Agent(site, site.new_folder(), film, "")
            agent.start()
            time.sleep(2.0)
            if name == "update":
                site.side.push(tiny(2))
            elif name == "shadow":
                site.side.wave(tiny(1), tiny(2), "shadow", shadow=ShadowTerms(spacing=0.0))
            status, summary = agent.wait()
            lost[name] = int(summary["dropped"]) + int(summary["errors"])
            row.figures[f"lost_{name}"] = lost[name]
            if name == "update" and not any("tiny 2" in each for each in summary["releases"]):
                row.found.append("the clip ended before the update")
            if status:
                row.found.append(f"{name}: the agent ended with {status}")
        usual = max(lost["alone"], lost["alone_again"])
        for name in ("update", "shadow"):
            row.figures[f"more_by_{name}"] = max(0, lost[name] - usual)
            if lost[name] > usual:
                row.found.append(f"{name}: {lost[name]} frames were lost, {usual} without")
    return row

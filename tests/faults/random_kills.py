"""The row of random kills: a whole agent, kill -9 at any moment while two releases come and go, and started again.

Each agent is the real one, forked from a server that has it imported: camera, pipeline, spool, link and updates.
"""

import contextlib
import multiprocessing
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from demo import clip
from edge_agent import cli
from edge_agent.models import chunks
from edge_agent.trust import retained_metadata
from edge_agent.update import desired_tracker, updater
from edge_contract import topics
from edge_contract.messages import Reported, decode
from tests.agent.agent_process import DEVICE, AgentProcess, Subscriber
from tests.agent.update.update_bench import tiny
from tests.faults.device import FACTORY, Site, inspect
from tests.faults.row import Row

_PROCESSES = multiprocessing.get_context("forkserver")
_LONGER: Final = 1.0
"""A killed agent's longest life: as long as the first update here took."""
_PUSH_EVERY: Final = 1  # kills
_PATIENCE_S: Final = 60.0


def _agent(config: str, log: str) -> None:
    """The agent's own main, with short waits for what is absent."""
    quiet = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    chunks.SILENCE_S = 0.3  # type: ignore[misc]
    retained_metadata.SILENCE_S = 0.5  # type: ignore[misc]
    desired_tracker.RETRY_S = 0.2  # type: ignore[misc]
    updater._RETRY_S = 0.5  # type: ignore[misc]
    raise SystemExit(cli.main(["run", "--config", config]))


class _Killed:
    """One site's agent, killed again and again."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site, self._chance = site, random.Random(seed)  # noqa: S311  # when
        self.folder = site.folder / "agent"
        self.folder.mkdir()
        film = self.folder / "clip.avi"
        clip.render(film, 2.0)
        root = site.folder / "root.json"
        model = f'trust_root = "{root}"\nfactory = "{FACTORY}"'
        self._config = AgentProcess(self.folder, site.port, film, model=model).config
        self._config.write_text(self._config.read_text() + "loop = true\n[telemetry]\ninterval_s = 1.0\n")
        self.kills = 0
        self.found: list[str] = []
        self.phases: dict[str, int] = {}

    def run(self, share: "threading.Semaphore", deadline: float) -> None:
        """Kill until there are enough, or no time is left."""
        began = time.monotonic()
        self._converge()
        longest = _LONGER * (time.monotonic() - began)
        while time.monotonic() < deadline and share.acquire(blocking=False):
            if self.kills % _PUSH_EVERY == 0:
                self._site.side.push(tiny(2 - self.kills // _PUSH_EVERY % 2), retry=True)
            agent = self._started()
            agent.join(self._chance.uniform(0.1, longest))
            if not agent.is_alive():
                self.found.append(f"the agent ended by itself with {agent.exitcode} after kill {self.kills}")
            agent.kill()
            agent.join(10)
            self.kills += 1
            state, wrong = inspect(self.folder / "state")
            self.phases[state.phase] = self.phases.get(state.phase, 0) + 1
            if wrong:
                self.found.append(f"kill {self.kills}: {wrong}")
        self._converge()

    def _converge(self) -> None:
        target = self._site.side.push(tiny(2), retry=True)
        subscriber = Subscriber(self._site.port, topics.device(DEVICE, "reported"))
        agent = self._started()
        try:
            deadline, last = time.monotonic() + _PATIENCE_S, None
            while time.monotonic() < deadline:
                said = [decode(payload, Reported) for _, payload in subscriber.received]
                last = said[-1] if said else None
                if last is not None and last.state == "committed" and last.active == target:
                    return
                time.sleep(0.1)
            self.found.append(f"after {self.kills} kills it did not converge: {last}")
        finally:
            subscriber.link.stop()
            agent.kill()
            agent.join(10)

    def _started(self) -> "multiprocessing.process.BaseProcess":
        process = _PROCESSES.Process(
            target=_agent, args=(str(self._config), str(self.folder / "agent.log")), daemon=True
        )
        process.start()
        return process


def random_kills(folder: Path, kills: int = 1000, *, seconds: float = 600.0, workers: int = 2) -> Row:
    """The row: as many kills as fit into `seconds`."""
    row = Row("random kill -9 of whole agents in updates to and fro")
    share, deadline = threading.Semaphore(kills), time.monotonic() + seconds
    with row.timed(), contextlib.ExitStack() as stack:
        sites = [stack.enter_context(Site(folder / f"agent-{number}")) for number in range(workers)]
        killed = [_Killed(site, number) for number, site in enumerate(sites)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda each: each.run(share, deadline), killed))
        row.figures["kills"] = sum(each.kills for each in killed)
        met: dict[str, int] = {}
        for each in killed:
            row.found.extend(each.found)
            for phase, number in each.phases.items():
                met[phase] = met.get(phase, 0) + number
        row.figures.update({f"in_{phase}".replace("-", "_"): number for phase, number in sorted(met.items())})
    return row

"""Many simulated devices in one process, started, disturbed and ended together."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final

from edge_agent.models.selftest import Verdict
from edge_agent.mqtt.settings import BrokerSettings
from edge_contract.messages import Reported
from edge_contract.update_state import UpdateState
from edge_simulator.clock import FastClock
from edge_simulator.device import SimulatedDevice, Site
from edge_simulator.faces import Behaviour
from edge_simulator.loop import Loop
from edge_simulator.open_files import allow_open_files

_AT_ONCE: Final = 16  # devices that are ended at the same time
_KILLED_IN: Final = frozenset({UpdateState.DOWNLOADING, UpdateState.SELFTEST, UpdateState.PROBATION})
_DARK_S: Final = 1.0  # from a power cut until the power is back


class SimulatedFleet:
    """Devices under one directory, on one broker; a context manager that ends them in order."""

    def __init__(
        self,
        sites: Sequence[Site],
        directory: Path,
        *,
        broker: BrokerSettings,
        root: bytes,
        seed: int = 1,
        behaviours: Mapping[str, Behaviour] | None = None,
        verdict: Callable[[Path], Verdict] = lambda _: Verdict(passed=True),
        clock: FastClock | None = None,
    ) -> None:
        """Nothing runs before `start`.

        `behaviours`: how models answer, by the beginning of the digest; others are good.

        `clock`: what the devices' own clocks say; the system's by default.
        """
        allow_open_files(len(sites))
        self.loop = Loop()
        self._reports: dict[str, Reported] = {}
        self._news = threading.Condition()
        chance = random.Random(seed)  # noqa: S311  # a rehearsal, not a secret
        self.devices = [
            SimulatedDevice(
                site,
                directory / site.id,
                broker=broker,
                root=root,
                loop=self.loop,
                chance=random.Random(chance.random()),  # noqa: S311
                behaviours=behaviours or {},
                clock=clock or FastClock(),
                verdict=verdict,
                on_report=self._reported,
            )
            for site in sites
        ]
        self._doomed = {device.site.id: device for device in self.devices if device.site.killed}
        self.loop.start()

    def start(self) -> None:
        """Power all on but those that are away at first."""
        self._start([device for device in self.devices if not device.site.away])

    def start_away(self) -> None:
        """Those that were away come back."""
        self._start([device for device in self.devices if device.site.away])

    @property
    def connected(self) -> int:
        """How many connections stand."""
        return sum(device.connected for device in self.devices)

    def stop(self) -> None:
        """Shut all down in order."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(SimulatedDevice.stop, self.devices))
        self.loop.stop()

    def states(self) -> Counter[str]:
        """How many devices reported each state."""
        with self._news:
            return Counter(str(reported.state) for reported in self._reports.values())

    def running(self, digest: str) -> int:
        """How many devices reported to run this model, committed."""
        with self._news:
            return sum(_runs(reported, digest) for reported in self._reports.values())

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until `condition` holds, looked at after each report; False when it did not in time."""
        with self._news:
            return self._news.wait_for(condition, seconds)

    def reports(self) -> Iterator[tuple[str, Reported]]:
        """What each device reported last."""
        with self._news:
            return iter(list(self._reports.items()))

    def _start(self, devices: Sequence[SimulatedDevice]) -> None:
        for device in devices:
            device.start()

    def _reported(self, device: str, reported: Reported) -> None:
        with self._news:
            self._reports[device] = reported
            self._news.notify_all()
        if device in self._doomed and reported.state in _KILLED_IN:
            victim = self._doomed.pop(device)
            self.loop.after(0.0, victim.cut)
            self.loop.after(_DARK_S, victim.start)

    def __enter__(self) -> "SimulatedFleet":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _runs(reported: Reported, digest: str) -> bool:
    return reported.state == "committed" and reported.active is not None and reported.active.digest == digest

"""One simulated device: the real update machine on a real connection, with drawn answers in the place of a camera."""

import platform
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.models.selftest import Verdict
from edge_agent.mqtt.presence import Presence, availability
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.update.installation import UpdateSettings
from edge_agent.update.store import StateStore
from edge_agent.update.updater import ModelUpdates
from edge_contract import topics
from edge_contract.messages import Info, Reported, encode
from edge_contract.update_state import UpdateState
from edge_contract.version import version
from edge_simulator.camera import DrawnCamera
from edge_simulator.clock import FastClock
from edge_simulator.faces import Behaviour
from edge_simulator.gauges import DrawnGauges
from edge_simulator.impairment import ImpairedLink, Impairment
from edge_simulator.loop import Loop, LoopWorker
from edge_simulator.scenes import Begins, Effect, effect_of
from edge_simulator.verifier import VerifierInProcess

PROBATION_ANSWERS: Final = 3
"""Drawn faces that prove a model: a simulated one is proven by what it is, not by how often it was asked."""
_LOOK_S: Final = 0.1
"""How often a device answers for a model on trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a simulated device says it is, and how well it works."""

    id: str
    groups: tuple[str, ...]
    board: str = "Raspberry Pi 4 Model B Rev 1.4"
    runtime: str = "litert 2.3.0"
    camera_kind: str = "v4l2"
    selftest_s: float = 0.0
    """How long a self-test takes here."""
    faces_per_s: float = 1.0
    """Faces that pass its camera."""
    interval_s: float = 10.0
    """From one window of telemetry to the next."""
    away: bool = False
    """Off at first."""
    killed: bool = False
    """Loses its power once, in the middle of an update."""
    impairment: Impairment = field(default_factory=Impairment)
    scenes: tuple[Begins, ...] = ()
    """What goes wrong before its camera."""


class _DrawnTest:
    """A self-test that runs nothing: its verdict comes when its time is over."""

    def __init__(self, ended: Callable[[Verdict], None], verdict: Verdict) -> None:
        self._ended, self._verdict, self._cancelled = ended, verdict, False

    def end(self) -> None:
        """The time is over."""
        if not self._cancelled:
            self._ended(self._verdict)

    def cancel(self) -> None:
        """No verdict comes any more."""
        self._cancelled = True


class SimulatedDevice:
    """One device; `start`, `stop` and `cut` may follow one another: what it has on its disk stays."""

    def __init__(
        self,
        site: Site,
        directory: Path,
        *,
        broker: BrokerSettings,
        root: bytes,
        loop: Loop,
        chance: random.Random,
        behaviours: Mapping[str, Behaviour],
        clock: FastClock,
        verdict: Callable[[Path], Verdict] = lambda _: Verdict(passed=True),
        on_report: Callable[[str, Reported], None] = lambda _device, _reported: None,
    ) -> None:
        """`behaviours`: how models answer, by digest. `verdict`: of the self-test of a slot.

        `on_report` gets each reported state, on the loop's thread.
        """
        self.site, self._directory = site, directory
        self._broker, self._root, self._loop, self._chance = broker, root, loop, chance
        self._behaviours, self._verdict, self._on_report = behaviours, verdict, on_report
        self._clock, self._first = clock, clock()
        self._gauges = DrawnGauges(random.Random(chance.random()), site.board, self._first)  # noqa: S311
        self._running: _Running | None = None

    @property
    def reported(self) -> Reported | None:
        """Where its update stands; None while it is off."""
        return None if self._running is None else self._running.updates.reported()

    @property
    def connected(self) -> bool:
        """Whether its connection stands."""
        return self._running is not None and self._running.link.connected

    def start(self) -> None:
        """Power on."""
        if self._running is not None:
            return
        store = StateStore(self._directory / "state.db")
        session = store.next_session(self._clock)
        site, id_ = self.site, self.site.id
        link = ImpairedLink(
            self._broker,
            id_,
            loop=self._loop,
            impairment=site.impairment,
            chance=self._chance,
            will=availability(id_, "offline", session),
            on_connect=lambda: presence.publish_all(),  # noqa: PLW0108  # made below, of this link
        )
        info = Info(
            device=id_,
            site=id_,
            groups=site.groups,
            session=session,
            agent=version(),
            board=site.board,
            os="simulated",
            python=platform.python_version(),
            runtime=site.runtime,
            camera="simulated",
            camera_kind=site.camera_kind,
            started=self._clock(),
        )
        presence = Presence(link, info, {})

        def report(reported: Reported) -> None:
            presence.report(reported)
            self._on_report(id_, reported)
            if reported.state is UpdateState.PROBATION:
                self._loop.soon(lambda: self._look(running))

        settings = UpdateSettings(
            device=id_,
            groups=site.groups,
            root=self._root,
            runtime=site.runtime,
            probation_answers=PROBATION_ANSWERS,
        )
        updates = ModelUpdates(
            self._directory,
            settings,
            store=store,
            session=session,
            link=link,
            on_activate=lambda model: camera.activate(model.manifest),
            on_shadow=lambda challenger: camera.shadow(challenger),  # noqa: PLW0108
            report=report,
            verifier=VerifierInProcess(self._directory / "trust", self._root),
            start_test=self._start_test,
            now=self._clock,
            monotonic=self._loop.time,
            worker=lambda _name, _longest: LoopWorker(self._loop),
        )
        camera = DrawnCamera(
            id_,
            site.board,
            session=session,
            behaviours=self._behaviours,
            chance=self._chance,
            gauges=self._gauges,
            effect=self._effect,
            faces_per_s=site.faces_per_s,
            now=self._clock,
            answered=updates.answered,
            failed=updates.model_failed,
        )
        self._running = running = _Running(store, link, presence, updates, camera)
        updates.start()
        link.start()
        self._loop.after(self._chance.random() * self._interval_s, lambda: self._send(running))

    def stop(self) -> None:
        """Shut down in order: the broker hears `stopped`."""
        if (running := self._take_down()) is not None:
            running.updates.stop()
            running.presence.publish_stopped()
            running.link.stop()
            running.store.close()

    def cut(self) -> None:
        """The power goes: nothing more is written, the broker publishes the last will."""
        if (running := self._take_down()) is not None:
            running.link.cut()
            running.updates.stop(cleanly=False)
            running.store.close()

    @property
    def _interval_s(self) -> float:
        """Between two windows, by our clock."""
        return self.site.interval_s / self._clock.speed

    def _effect(self, now: float) -> Effect:
        """What is wrong before the camera now."""
        return effect_of(self.site.scenes, now - self._first)

    def _take_down(self) -> "_Running | None":
        running, self._running = self._running, None
        return running

    def _start_test(self, slot: Path, ended: Callable[[Verdict], None]) -> _DrawnTest:
        test = _DrawnTest(ended, self._verdict(slot))
        self._loop.after(self.site.selftest_s, test.end)
        return test

    def _look(self, running: "_Running") -> None:
        """Answer faces for a model on trial, for as long as it is; on the loop's thread."""
        if running is not self._running:
            return
        reported = running.updates.reported()
        if reported is not None and reported.state is UpdateState.PROBATION:
            running.camera.look(PROBATION_ANSWERS)
            self._loop.after(_LOOK_S, lambda: self._look(running))

    def _send(self, running: "_Running") -> None:
        """Draw the faces of a window and send it; on the loop's thread."""
        if running is not self._running:
            return
        running.camera.watch()
        telemetry = encode(running.camera.window())
        running.link.publish(topics.device(self.site.id, "telemetry"), telemetry)
        self._loop.after(self._interval_s, lambda: self._send(running))


@dataclass(frozen=True, slots=True)
class _Running:
    """The parts of a device that is on."""

    store: StateStore
    link: ImpairedLink
    presence: Presence
    updates: ModelUpdates
    camera: DrawnCamera

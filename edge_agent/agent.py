"""The agent: puts the parts together, keeps watch over them, and ends them in order.

Threads: `pipeline` (camera to prediction), `delivery` (spool), `link` and paho's, `updates`, and the caller's, which
watches: it cuts telemetry windows and feeds the service manager's watchdog only while the pipeline moves. Every part
is made here, from settings and a clock; nothing else in this package knows all of them.
"""

import logging
import platform
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

from edge_agent import settings_file
from edge_agent.board import Board
from edge_agent.delivery import Delivery
from edge_agent.fixed_model import FixedModel
from edge_agent.link import Link
from edge_agent.logs import set_level
from edge_agent.notify import ServiceManager
from edge_agent.pipeline import Pipeline
from edge_agent.presence import Presence, availability
from edge_agent.reporter import Reporter
from edge_agent.settings import Settings
from edge_agent.slots import ActiveModel
from edge_agent.sources import Source, open_source
from edge_agent.spool import Spool
from edge_agent.state import StateStore
from edge_agent.telemetry import Meter, Windows
from edge_agent.update_work import UpdateSettings
from edge_agent.updates import ModelUpdates
from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.messages import Info, ModelRef, Reported
from edge_vision.classifier import Classifier
from edge_vision.classifier import runtime as runtime_name
from edge_vision.faces import open_detector

_TICK_S: Final = 0.5
"""How often the watch looks around: a finished clip and a hang-up are noticed within it."""
_STALLED_S: Final = 20.0
"""A pipeline that did not come round for so long hangs: the watchdog is not fed any more. A poll takes 0.25 s and the
slowest frame on the slowest board well under a second."""
_FLUSH_S: Final = 3.0
"""At the end, for the last messages to go out; what does not is in the spool."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did, in numbers; latencies in milliseconds, frame in memory to predictions handed over."""

    frames: int
    dropped: int
    predictions: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    latencies: int
    """How many of the latest frames the percentiles are of."""
    errors: int
    reconnects: int
    spool_rows: int
    spool_dropped: int
    connects: int
    seconds: float
    releases: tuple[str, ...]
    """Models that ran, in order: name, release, first 12 digits of the digest."""


class Models(Protocol):
    """Who says which model runs: `ModelUpdates`, or `FixedModel` where no release side is trusted."""

    def attach(self, control: Link) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def active(self) -> ActiveModel | None: ...
    def frame_ok(self) -> None: ...
    def frame_failed(self, reason: str) -> None: ...


class Heartbeat(threading.Event):
    """A stop signal that remembers when it was last asked for: the pipeline asks between two frames."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self.asked = clock()

    def is_set(self) -> bool:
        """Whether to stop."""
        self.asked = self._clock()
        return super().is_set()


class Agent:
    """One device; see the module. `run` once."""

    def __init__(
        self,
        settings: Settings,
        *,
        manager: ServiceManager,
        reread: Callable[[], Settings] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make every part; nothing runs yet. `reread` reads the settings again; None when there is nothing to read.

        Raises:
            UsageError: the settings name something that cannot be used.
            EdgewiseError: state, runtime or detector are not in order.
        """
        self._settings, self._manager, self._reread, self._clock, self._now = settings, manager, reread, clock, now
        device, state_dir = settings.device, settings.device.state_dir
        _make_private(state_dir)
        source = open_source(settings.source)
        self._store = StateStore(state_dir / "state.db")
        self._session = self._store.next_session(now)
        self._began = clock()
        self._seen: list[str] = []
        self._meter = Meter()
        self._board = Board(monotonic=clock)
        self._wake = threading.Event()
        self._reload = False
        self._link = Link(
            settings.broker,
            device.id,
            clean_start=False,
            will=availability(device.id, "offline", self._session),
            on_connect=self._connected,
        )
        self._presence = Presence(self._link, _inventory(settings, self._session, source, self._board, now()), {})
        self._models = self._open_models()
        self._models.attach(self._link)
        spool = Spool(state_dir / "spool.db", settings.spool, now)
        self._delivery = Delivery(spool, self._link, device.id, settings=settings.spool, meter=self._meter, clock=clock)
        self._windows = Windows(self._meter, device=device.id, site=device.site, session=self._session, now=now())
        self._reporter = Reporter(
            self._meter,
            self._delivery.send,
            device=device.id,
            site=device.site,
            session=self._session,
            per_minute=settings.telemetry.predictions_per_minute,
            clock=clock,
            now=now,
        )
        self._reporter.trial = self._models
        self._pipeline = Pipeline(
            source,
            open_detector(settings.model.face_detector, settings.model.face_detector_sha256),
            None,
            settings.pipeline,
            clock=clock,
            observer=self._reporter,
            chance=random.Random(),  # noqa: S311  # jitter, not a secret
        )
        self._heartbeat = Heartbeat(clock)
        self._pipeline_error: EdgewiseError | None = None
        self._pipeline_thread = threading.Thread(target=self._run_pipeline, name="pipeline", daemon=True)

    def reload(self) -> None:
        """Read the settings again soon; callable from a signal handler."""
        self._reload = True

    def run(self, stop: threading.Event) -> RunSummary:
        """Work until `stop` is set or a file ends, then end everything within seconds.

        Raises:
            EdgewiseError: the source is a file that cannot be read.
        """
        try:
            self._delivery.start()
            self._link.start()
            self._models.start()
            self._pipeline_thread.start()
            self._manager.ready(f"looking through {self._settings.source.url}")
            self._watch(stop)
        finally:
            self._end()
        if self._pipeline_error is not None:
            raise self._pipeline_error
        return self._summary()

    def _watch(self, stop: threading.Event) -> None:
        next_window = self._clock() + self._settings.telemetry.interval_s
        while not stop.wait(_TICK_S) and self._pipeline_thread.is_alive():
            now = self._clock()
            if now - self._heartbeat.asked < _STALLED_S:
                self._manager.alive()
            if self._reload:
                self._reload = False
                self._apply_reload()
            if now >= next_window:
                next_window = now + self._settings.telemetry.interval_s
                self._cut_window()

    def _end(self) -> None:
        """In the order of the data: no new frames, then what they led to, then the connection."""
        self._manager.stopping()
        self._heartbeat.set()
        if self._pipeline_thread.ident is not None:
            self._pipeline_thread.join(_FLUSH_S)
        self._models.stop()
        self._cut_window()
        self._delivery.stop(_FLUSH_S)
        self._presence.say_stopped()
        self._link.stop()
        self._store.close()

    def _run_pipeline(self) -> None:
        try:
            self._pipeline.run(self._heartbeat)
        except EdgewiseError as error:
            self._pipeline_error = error

    def _open_models(self) -> Models:
        settings, device = self._settings.model, self._settings.device
        if settings.trust_root is None:
            if settings.factory is None:
                raise UsageError(
                    "the settings name no model: set model.trust_root (root metadata of the release side, written by "
                    "`edgewise keys init`) to take releases, or model.factory to run one package."
                )
            return FixedModel(
                settings.factory,
                device=device.id,
                session=self._session,
                on_activate=self._activate,
                report=self._report,
                now=self._now,
            )
        try:
            root = settings.trust_root.read_bytes()
        except OSError as error:
            raise UsageError(
                f"the root metadata {settings.trust_root} cannot be read ({error.strerror}); copy the release side's "
                "1.root.json there."
            ) from error
        return ModelUpdates(
            device.state_dir,
            UpdateSettings(
                device=device.id, groups=device.groups, root=root, runtime=runtime_name(), factory=settings.factory
            ),
            store=self._store,
            session=self._session,
            open_link=lambda: Link(self._settings.broker, f"{device.id}-blobs", clean_start=True),
            on_activate=self._activate,
            report=self._report,
            now=self._now,
            monotonic=self._clock,
        )

    def _activate(self, model: ActiveModel) -> None:
        """A model is to run: it takes over between two frames. What this raises refuses it."""
        self._pipeline.swap(Classifier(model.model, model.manifest, threads=self._settings.model.threads))
        ref = model.manifest.ref
        self._seen.append(f"{ref.name} {ref.release} {ref.digest[:12]}")
        _log.info("running %s release %d (%s) from %s", ref.name, ref.release, ref.digest[:12], model.origin)

    def _report(self, reported: Reported) -> None:
        self._presence.report(reported)

    def _connected(self) -> None:
        self._presence.say_all()
        self._delivery.connected()

    def _cut_window(self) -> None:
        active = self._models.active()
        model: ModelRef | None = None if active is None else active.manifest.ref
        counters = {**self._delivery.counters(), "connects": self._link.connects}
        gauges = {**self._board.gauges(), **self._delivery.gauges()}
        self._delivery.send(self._windows.cut(self._now(), model, counters, gauges))

    def _apply_reload(self) -> None:
        if self._reread is None:
            return
        try:
            settings, restart = settings_file.reloaded(self._settings, self._reread())
        except UsageError as error:
            _log.error("the settings were not reloaded: %s", error)
            return
        self._settings = settings
        set_level(settings.log)
        self._reporter.set_rate(settings.telemetry.predictions_per_minute)
        _log.info("settings reloaded")
        if restart:
            _log.warning("a restart is needed for: %s", ", ".join(restart))

    def _summary(self) -> RunSummary:
        counters, whole = self._meter.read().counters, self._meter.whole()
        return RunSummary(
            frames=counters["frames"],
            dropped=counters["drops"],
            predictions=counters["predictions"],
            p50_ms=round(whole.p50, 3),
            p95_ms=round(whole.p95, 3),
            p99_ms=round(whole.p99, 3),
            latencies=whole.n,
            errors=counters["errors"],
            reconnects=counters["reconnects"],
            spool_rows=int(self._delivery.gauges()["spool_rows"]),
            spool_dropped=self._delivery.counters()["spool_dropped"],
            connects=self._link.connects,
            seconds=round(self._clock() - self._began, 3),
            releases=tuple(self._seen),
        )


def _inventory(settings: Settings, session: int, source: Source, board: Board, started: float) -> Info:
    device = settings.device
    return Info(
        device=device.id,
        site=device.site,
        groups=device.groups,
        session=session,
        agent=version("edgewise-toolkit"),
        board=board.model(),
        os=board.system(),
        python=platform.python_version(),
        runtime=runtime_name(),
        camera=source.traits.name[:200],
        started=started,
    )


def _make_private(directory: Path) -> None:
    """The state directory, for this user alone."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the state directory {directory} cannot be made ({error.strerror}); set device.state_dir."
        ) from error

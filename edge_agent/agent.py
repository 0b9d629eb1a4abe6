"""The agent: puts the parts together, keeps watch over them, and ends them in order.

Threads: `pipeline` (camera to prediction), `delivery` (spool), `link` and paho's, `updates`, `commands`, `crops` where
a consent is stated, and the caller's, which watches: it cuts telemetry windows and feeds the service manager's watchdog
only while the pipeline moves. Every part is made here, from settings and a clock; nothing else in this package knows
all of them.
"""

import logging
import platform
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_agent import settings_file
from edge_agent.camera.open import open_source
from edge_agent.camera.source import SourceTraits
from edge_agent.commands.actions import Actions
from edge_agent.commands.receiver import Commands
from edge_agent.inference.pipeline import Pipeline
from edge_agent.inference.shadow import Shadow
from edge_agent.model_source import open_models
from edge_agent.models.slots import ActiveModel
from edge_agent.mqtt import home_assistant
from edge_agent.mqtt.certificate import CertificateEnd
from edge_agent.mqtt.complaint_file import ComplaintFile
from edge_agent.mqtt.link import Link
from edge_agent.mqtt.presence import Presence, availability
from edge_agent.sampling import erasure
from edge_agent.settings import Settings
from edge_agent.settings_file import SettingsFile
from edge_agent.system.liveness import Liveness
from edge_agent.system.logs import set_level
from edge_agent.system.systemd import ServiceManager
from edge_agent.telemetry.board import Board
from edge_agent.telemetry.delivery import Delivery
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.observer import MetricsObserver
from edge_agent.telemetry.scene_meter import SceneMeter
from edge_agent.telemetry.shadow_meter import ShadowMeter
from edge_agent.telemetry.spool import Spool
from edge_agent.telemetry.summary import RunSummary, summarize
from edge_agent.telemetry.windows import Windows
from edge_agent.update.store import StateStore
from edge_agent.update.updater import ModelUpdates
from edge_agent.update.work import Challenger
from edge_contract.errors import UsageError
from edge_contract.messages import Info
from edge_contract.metrics import DeviceCounter, DeviceGauge
from edge_contract.version import version
from edge_vision.classifier import Classifier, runtime
from edge_vision.faces import open_detector

if TYPE_CHECKING:
    from edge_agent.sampling.collection import Collection

_TICK_S: Final = 0.25
"""How often the watch looks around: a signal is noticed within it."""
_STALLED_S: Final = 20.0
"""A pipeline that did not come round for so long hangs, and the watchdog is not fed any more. Waiting for a frame takes
0.25 s a round, and the slowest frame on the slowest board well under a second."""
_FLUSH_S: Final = 3.0
"""At the end, for the last messages to go out; what does not is in the spool."""

_log = logging.getLogger(__name__)


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
        file: SettingsFile | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make every part; nothing runs yet. `file`: where the settings came from, to read and override them later.

        Raises:
            UsageError: the settings name something that cannot be used.
            EdgewiseError: state, runtime or detector are not in order.
        """
        self._settings, self._manager, self._file = settings, manager, file
        self._clock, self._now, self._began = clock, now, clock()
        device, state_dir = settings.device, settings.device.state_dir
        _make_private(state_dir)
        source = open_source(settings.source)
        self._liveness = Liveness(state_dir, clock)
        self._complaints = ComplaintFile(state_dir)
        self._store = StateStore(state_dir / "state.db")
        session = self._store.next_session(now)
        self._meter, self._shadow_meter, self._board = Meter(), ShadowMeter(), Board(monotonic=clock)
        self._scene, self._certificate = SceneMeter(), CertificateEnd(settings.broker)
        self._ran: list[str] = []
        # Plain flags: a signal handler sets them, and it may have interrupted `Event.wait` while that holds its lock.
        self._ending = self._reload = False
        self._link = Link(
            settings.broker,
            device.id,
            clean_start=False,
            will=availability(device.id, "offline", session),
            on_connect=self._connected,
        )
        self._camera = source.traits.name  # never with a password in it, as the URL may be
        info = _inventory(settings, session, source.traits, self._board, now())
        further = home_assistant.retained(info, settings.home_assistant, state_dir)
        self._presence = Presence(self._link, info, further)
        self._models = open_models(
            settings,
            self._store,
            session,
            self._link,
            on_activate=self._activate,
            on_shadow=self._run_beside,
            report=self._presence.report,
        )
        self._commands = self._listen(info)
        self._delivery = Delivery(
            Spool(state_dir / "spool.db", settings.spool, now, clock),
            self._link,
            device.id,
            session=session,
            settings=settings.spool,
            meter=self._meter,
            clock=clock,
        )
        self._windows = Windows(self._meter, device=device.id, site=device.site, now=now())
        self._observer = MetricsObserver(
            self._meter,
            self._delivery.send,
            device=device.id,
            site=device.site,
            per_minute=settings.telemetry.predictions_per_minute,
            clock=clock,
            now=now,
        )
        self._crops = self._collect_crops(session)
        self._preview = None
        if settings.preview.enabled:
            from edge_agent.preview import MjpegPreview  # noqa: PLC0415  # a web server only where one is wanted

            self._preview = MjpegPreview(settings.preview, clock)
        self._pipeline = Pipeline(
            source,
            open_detector(settings.model.face_detector, settings.model.face_detector_sha256),
            None,
            settings.pipeline,
            clock=clock,
            observer=self._observer,
            evidence=self._models,
            scene=self._scene,
            chance=random.Random(),  # noqa: S311  # jitter, not a secret
            preview=self._preview,
            crops=None if self._crops is None else self._crops.observer,
        )
        self._heartbeat = Heartbeat(clock)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run_pipeline, name="pipeline", daemon=True)

    def stop(self) -> None:
        """End `run` soon; callable from a signal handler."""
        self._ending = True

    def reload(self) -> None:
        """Read the settings again soon; callable from a signal handler."""
        self._reload = True

    def run(self) -> RunSummary:
        """Work until `stop` or until a file ends, then end everything within seconds.

        Raises:
            EdgewiseError: the source is a file that cannot be read, or the pipeline broke.
        """
        try:
            self._delivery.start()
            if self._crops is not None:
                self._crops.start()
            self._link.start()
            self._models.start()
            if self._commands is not None:
                self._commands.start()
            if self._preview is not None:
                self._preview.start()
                _log.info("preview at %s", self._preview.url)
            self._thread.start()
            self._manager.ready(f"looking through {self._camera}")
            self._watch()
        finally:
            self._end()
        if self._failure is not None:
            raise self._failure
        return summarize(
            self._meter,
            connects=self._link.connects,
            spool_rows=int(self._delivery.gauges()[DeviceGauge.SPOOL_ROWS]),
            spool_dropped=self._delivery.counters()[DeviceCounter.SPOOL_DROPPED],
            seconds=self._clock() - self._began,
            releases=tuple(self._ran),
        )

    def _watch(self) -> None:
        due = self._clock() + self._settings.telemetry.interval_s
        while not self._ending:
            self._thread.join(_TICK_S)
            if not self._thread.is_alive():
                break
            now = self._clock()
            self._complaints.keep(self._link.complaint)
            if now - self._heartbeat.asked < _STALLED_S:
                self._manager.alive()
                self._liveness.alive(self._trouble())
            if self._reload:
                self._reload = False
                self._apply_reload()
                due = min(due, now + self._settings.telemetry.interval_s)
            if now >= due:
                due = now + self._settings.telemetry.interval_s
                self._cut_window()

    def _trouble(self) -> str:
        """Which part does not work while the pipeline does; empty when all do."""
        parts = (self._delivery, self._models, self._commands, self._preview, self._crops)
        found = (self._link.ended, *(part.trouble for part in parts if part is not None))
        return "; ".join(filter(None, found))

    def _end(self) -> None:
        """In the order of the data: no new frames, then what they led to, then the connection."""
        self._manager.stopping()
        self._heartbeat.set()
        if self._thread.ident is not None:
            self._thread.join(_FLUSH_S)
        if self._preview is not None and self._thread.ident is not None:
            self._preview.stop()
        if self._commands is not None:
            self._commands.stop()
        self._models.stop()
        self._cut_window()
        if self._crops is not None:
            self._crops.stop(_FLUSH_S)
        self._delivery.stop(_FLUSH_S)
        self._presence.publish_stopped()
        self._link.stop()
        self._store.close()
        self._liveness.release()

    def _run_pipeline(self) -> None:
        try:
            self._pipeline.run(self._heartbeat)
        except Exception as error:  # noqa: BLE001  # the caller's thread raises it, after everything has ended
            self._failure = error

    def _activate(self, model: ActiveModel) -> None:
        """A model is to run: it takes over between two frames. What this raises refuses it."""
        self._pipeline.swap(Classifier(model.model, model.manifest, threads=self._settings.model.threads))
        ref = model.manifest.ref
        self._ran.append(f"{ref.name} {ref.release} {ref.digest[:12]}")
        _log.info("running %s release %d (%s) from %s", ref.name, ref.release, ref.digest[:12], model.origin)

    def _run_beside(self, challenger: Challenger | None) -> None:
        """A model is to run in shadow, or none any more. What this raises refuses the model."""
        if challenger is None:
            self._pipeline.shadow(None)
            self._shadow_meter.end()
            return
        model, champion = challenger.model, self._models.active()
        classifier = Classifier(model.model, model.manifest, threads=self._settings.model.threads)
        crops = None if self._crops is None else self._crops.observer
        shadow = Shadow(classifier, challenger.terms.spacing, self._clock, self._shadow_meter, self._models, crops)
        ref = model.manifest.ref
        if champion is not None:
            self._shadow_meter.begin(champion.manifest.ref, ref, challenger.terms)
        self._pipeline.shadow(shadow)
        _log.info("in shadow: %s release %d (%s)", ref.name, ref.release, ref.digest[:12])

    def _connected(self) -> None:
        self._presence.publish_all()
        self._delivery.connected()
        if self._crops is not None:
            self._crops.connected()

    def _cut_window(self) -> None:
        active = self._models.active()
        model = None if active is None else active.manifest.ref
        counters = {**self._delivery.counters(), DeviceCounter.CONNECTS: self._link.connects}
        if self._crops is not None:
            counters |= self._crops.counters()
        gauges = {**self._board.gauges(), **self._delivery.gauges(), **self._scene.gauges(), **self._ends()}
        shadow, tracks = self._shadow_meter.read(), self._scene.tracks()
        self._delivery.send(self._windows.cut(self._now(), model, counters, gauges, shadow, tracks))

    def _ends(self) -> dict[DeviceGauge, float]:
        """When what this device is admitted and trusts by ends; of what it has none, nothing."""
        ends = {
            DeviceGauge.CERTIFICATE_EXPIRES: self._certificate.read(),
            DeviceGauge.TRUST_EXPIRES: self._models.trust_expires,
        }
        return {gauge: end for gauge, end in ends.items() if end is not None}

    def _apply_reload(self) -> None:
        if self._file is None:
            return
        try:
            settings, restart = settings_file.reloaded(self._settings, self._file.read())
        except UsageError as error:
            _log.error("the settings were not reloaded: %s", error)
            if self._crops is not None:
                self._crops.reloaded(None)
            return
        self._settings = settings
        if self._crops is not None:
            self._crops.reloaded(settings.sampling)
        elif not settings.sampling.consent.stated:
            erasure.erase_or_say(settings.device.state_dir)
        set_level(settings.log)
        self._observer.set_rate(settings.telemetry.predictions_per_minute)
        self._pipeline.configure(settings.pipeline.consensus)
        _log.info("settings reloaded%s", f"; a restart is needed for {', '.join(restart)}" if restart else "")

    def _collect_crops(self, session: int) -> "Collection | None":
        """Sampling, where a consent is stated; where none is, what an earlier run kept is deleted."""
        sampling, device = self._settings.sampling, self._settings.device
        if not sampling.consent.stated:
            erasure.erase_or_say(device.state_dir)
            return None
        from edge_agent.sampling.collection import open_collection  # noqa: PLC0415  # only where it is used
        from edge_agent.sampling.sealing import Origin  # noqa: PLC0415

        origin = Origin(device.id, device.site, session)
        return open_collection(
            sampling, device.state_dir, self._link, origin, now=self._models.trusted_time, clock=self._clock
        )

    def _listen(self, info: Info) -> Commands | None:
        """Signed commands, where the settings name a root that may sign them."""
        models = self._models
        if not isinstance(models, ModelUpdates):
            return None
        actions = Actions(info, models, manager=self._manager, stop=self.stop, reload=self.reload, file=self._file)
        return Commands(
            info.device,
            self._link,
            unseal=models.unseal_command,
            now=models.trusted_time,
            actions=actions.by_name(),
            memory=self._settings.device.state_dir / "commands.json",
        )


def _inventory(settings: Settings, session: int, camera: SourceTraits, board: Board, started: float) -> Info:
    device = settings.device
    return Info(
        device=device.id,
        site=device.site,
        groups=device.groups,
        session=session,
        agent=version(),
        board=board.model(),
        os=board.system(),
        python=platform.python_version(),
        runtime=runtime(),
        camera=camera.name[:200],
        camera_kind=camera.kind,
        started=started,
    )


def _make_private(directory: Path) -> None:
    """The state directory, for this user alone."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the state directory {directory} cannot be made ({error.strerror})", remedy="set device.state_dir"
        ) from error

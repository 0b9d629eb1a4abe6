"""The bridge put together: link → intake → state and store, and the web server that shows them; started and stopped."""

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, disable_created_metrics

from edge_bridge.drift.watch import Drift, Place
from edge_bridge.fleet import record
from edge_bridge.fleet.conditions import Rule
from edge_bridge.fleet.device_history import DeviceHistory
from edge_bridge.fleet.history import History
from edge_bridge.fleet.state import FleetState
from edge_bridge.fleet.timeline import Timeline
from edge_bridge.ingest.commit import Clock, Commits
from edge_bridge.ingest.decoding import FILTERS
from edge_bridge.ingest.intake import RECENT, Intake
from edge_bridge.labels.collection import Collection
from edge_bridge.link import Arrival, Link
from edge_bridge.metrics.drift import DriftFamilies
from edge_bridge.metrics.expiry import Expiring
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.metrics.page import Page
from edge_bridge.settings import BridgeSettings
from edge_bridge.storage.event_log import EventLog
from edge_bridge.storage.prediction_query import PredictionLog
from edge_bridge.storage.store import Store
from edge_bridge.web import app, crop_pictures, export
from edge_bridge.web.access import login, sessions
from edge_bridge.web.access.sessions import Sessions
from edge_bridge.web.alertmanager import Alertmanager
from edge_bridge.web.dashboard import page
from edge_bridge.web.dashboard.source import Source, withdrawn_of
from edge_bridge.web.guard import ASKED, Guard
from edge_bridge.web.patience import PatientProtocol
from edge_contract import process_memory
from edge_contract.errors import UsageError
from edge_contract.manifest import Reference

_log = logging.getLogger(__name__)


class Bridge:
    """The parts of one process. `start` before the web server, `stop` after it."""

    def __init__(self, settings: BridgeSettings, clock: Clock | None = None) -> None:
        """Opens the database and reads what it remembers.

        Raises:
            StoreError: the database cannot be written.
            UsageError: a driver or a TLS file is missing.
        """
        clock = clock or Clock(time.time, time.monotonic)
        self.settings = settings
        self.store = Store(settings.database)
        self.store.open(clock.unix())
        remembered = self.store.remembered(clock.unix())
        for each in remembered.damaged:
            _log.warning("a damaged record was put aside in the table `damaged`, and its counts begin anew: %s", each)
        self.fleet = FleetState(settings.limits, settings.metrics, remembered.devices, remembered.sums.items())
        self.drift = Drift(settings.drift, self._reference, self._place, remembered.drift)
        self._drift_families = DriftFamilies(self.drift)
        self.history = History(settings.metrics.silent_after_s)
        self.device_history = DeviceHistory(settings.metrics.silent_after_s)
        rule = Rule(settings.metrics.silent_after_s, settings.web.slow_ms / 1000)
        self.timeline = Timeline(self.fleet.devices, rule, clock.unix())
        self.events = EventLog(settings.database)
        self.predictions = PredictionLog(settings.database)
        self.alertmanager = Alertmanager(settings.web.alertmanager)
        self.metrics = BridgeMetrics(CollectorRegistry())
        self.expiring = Expiring(settings.metrics.expiring, clock.steady)
        self.link = Link(settings.broker, FILTERS, self._deliver)
        self.commits = Commits(
            self.fleet,
            self.store,
            metrics=self.metrics,
            settings=settings.log,
            clock=clock,
            acknowledge=self.link.publish_all,
            progress=remembered.progress,
            drift=self.drift,
        )
        self.intake = Intake(
            self.fleet,
            self.commits,
            metrics=self.metrics,
            clock=clock,
            drift=self.drift,
            on_round=self._look_around,
        )
        self.intake.recent.extend(reversed(self.store.recent(RECENT)))
        labels = settings.labels
        self.labels = Collection(labels, settings.broker, clock.unix) if labels.key is not None else None
        self._sessions = self._make_sessions()
        self.app = self._make_app(clock.unix)

    def guarded(self) -> Guard:
        """The application as it is served: behind what decides who may ask."""
        return Guard(self.app, self.settings.hosts, self.settings.web, self._sessions)

    def start(self) -> None:
        """Begin to take messages in."""
        self.alertmanager.start()
        self.intake.start()
        self.link.start()
        if self.labels is not None:
            self.labels.start()

    def stop(self) -> None:
        """Stop the link first, so that what it delivered is still committed and acknowledged by the next connection."""
        if self.labels is not None:
            self.labels.stop()
        self.link.stop()
        self.intake.stop()
        self.alertmanager.stop()
        self.store.close()
        self.events.close()
        self.predictions.close()

    @property
    def complaints(self) -> list[str]:
        """What is wrong with the bridge itself, a sentence each: its broker, its database, its files."""
        found = [self.link.complaint, self.commits.complaint, *self.expiring.complaints]
        if self.labels is not None:
            found += self.labels.complaints
        return [each for each in found if each]

    def _reference(self, digest: str) -> Reference | None:
        card = self.fleet.cards.get(digest)
        return card.manifest.reference if card is not None else None

    def _place(self, device: str) -> Place:
        known = self.fleet.devices.get(device)
        groups = known.info.groups if known is not None and known.info is not None else ()
        return Place(known.site if known is not None else "", groups[0] if groups else "")

    def _deliver(self, burst: list[Arrival]) -> None:
        self.intake.deliver(burst)

    def _look_around(self, now: float) -> None:
        """What is told of the fleet as a whole, a few times a second, on the intake's thread."""
        self.drift.take_round(now)
        self.history.sample(self.fleet, now)
        self.device_history.sample(self.fleet.devices, now)
        withdrawn = withdrawn_of(self.fleet.cards)
        told = self.timeline.observe(self.fleet.devices, self.fleet.groups, withdrawn, now)
        self.events.add(told, now, writable=self.commits.writable)

    def _make_sessions(self) -> Sessions | None:
        web = self.settings.web
        if web.password_hash is None:
            return None
        secret = sessions.secret_in(sessions.file_beside(self.settings.database))
        return Sessions(secret, web.password_hash, web.session_hours * 3600)

    def _write_drift(self, now: float, openmetrics: bool) -> str:
        with self.fleet.lock:
            devices = list(self.fleet.devices.values())
        shown = {each.id for each in devices if record.up(each, now, self.settings.metrics.silent_after_s)}
        return self._drift_families.write(shown, openmetrics=openmetrics)

    def _make_app(self, unix: Callable[[], float]) -> FastAPI:
        labels = self.labels
        further = (self._write_drift,) if labels is None else (self._write_drift, labels.write_metrics)
        health = app.Health(
            link_alive=lambda: self.link.alive,
            intake_alive=lambda: self.intake.alive and (labels is None or labels.alive),
            connected=lambda: self.link.connected,
            writable=lambda: self.commits.writable,
        )
        silent_after = self.settings.metrics.silent_after_s
        made = app.make_app(Page(self.fleet, self.metrics, self.expiring, silent_after, further), health, unix)
        if self._sessions is not None:
            login.add(made, self._sessions, self.settings.web.password_hash or "", ASKED)
        export.add(made, self.predictions)
        if labels is not None:
            crop_pictures.add(made, labels.desk)
        source = Source(
            fleet=self.fleet,
            history=self.history,
            device_history=self.device_history,
            recent=self.intake.recent,
            clock=unix,
            silent_after=silent_after,
            connected=lambda: self.link.connected,
            complaints=lambda: self.complaints,
            broker=self.settings.broker.where,
            drift=self.drift,
            events=self.events,
            predictions=self.predictions,
            alertmanager=self.alertmanager,
            web=self.settings.web,
            desk=labels.desk if labels is not None else None,
        )
        page.mount(made, source)
        return made


def run(settings: BridgeSettings) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        EdgewiseError: the bridge cannot start; the text says why.
    """
    host, port = settings.listen_address
    process_memory.share_one_heap()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, of no use here
    bridge = Bridge(settings)
    config = uvicorn.Config(
        bridge.guarded(),
        host=host,
        port=port,
        http=PatientProtocol,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the guard reads them, from trusted proxies
    )
    try:
        sock = config.bind_socket()
    except SystemExit as error:
        raise UsageError(
            f"{settings.listen} is in use or not of this machine", remedy="give another address with --listen"
        ) from error
    server = uvicorn.Server(config)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Before the server catches them itself; it raises them again after it has served, which then changes nothing.
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    process_memory.forget_start_up()
    gc.freeze()  # what starting made stays: looking through it for garbage would hold up every thread
    with _running(bridge):
        _log.info("dashboard http://%s/  metrics http://%s/metrics", settings.listen, settings.listen)
        asyncio.run(server.serve(sockets=[sock]))


@contextlib.contextmanager
def _running(bridge: Bridge) -> Iterator[None]:
    bridge.start()
    try:
        yield
    finally:
        bridge.stop()

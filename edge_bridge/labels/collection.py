"""Labels of one bridge put together: the session to the broker, the collector, the database and the desk."""

import dataclasses
from collections.abc import Callable

from edge_bridge.labels import key as labelling_key
from edge_bridge.labels import picture
from edge_bridge.labels.collector import FILTERS, Collector
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.desk import Desk
from edge_bridge.labels.families import writer
from edge_bridge.labels.settings import LabelSettings
from edge_bridge.link import Arrival, Link
from edge_bridge.mqtt.settings import BrokerSettings


class Collection:
    """The parts. `start` begins to take crops in; `stop` ends it, the session to the broker first."""

    def __init__(self, settings: LabelSettings, broker: BrokerSettings, clock: Callable[[], float]) -> None:
        """Opens key and database. `clock`: seconds since 1970.

        Raises:
            UsageError: the key cannot be used, or Pillow is not installed.
            StoreError: the database cannot be written.
        """
        picture.require()
        key = labelling_key.read(settings.key_file)
        self.database = LabelDatabase(settings.database)
        self.database.create()
        self.link = Link(session(settings, broker), FILTERS, self._deliver)
        self.collector = Collector(self.database, key, settings, clock, self.link.publish_all)
        self.desk = Desk(self.database, key, settings.second_share, clock)
        self.write_metrics = writer(self.desk, self.collector)

    @property
    def complaints(self) -> list[str]:
        """What keeps crops from being stored, a sentence each."""
        link = f"crops for labelling: {self.link.complaint}" if self.link.complaint else ""
        return [each for each in (link, self.collector.complaint) if each]

    @property
    def alive(self) -> bool:
        """Whether both threads run."""
        return self.link.alive and self.collector.alive

    def start(self) -> None:
        """Begin to take crops in."""
        self.collector.start()
        self.link.start()

    def stop(self) -> None:
        """The session first, so that what it delivered is still stored."""
        self.link.stop()
        self.collector.stop()
        self.database.close()

    def _deliver(self, burst: list[Arrival]) -> None:
        self.collector.deliver(burst)


def session(settings: LabelSettings, broker: BrokerSettings) -> BrokerSettings:
    """The bridge's broker under the collector's own name: the bridge's user may not read crops."""
    own = dataclasses.replace(broker, client_id=settings.client_id)
    if settings.username is not None:
        own = dataclasses.replace(own, username=settings.username, password=settings.password)
    if settings.certificate is not None:
        own = dataclasses.replace(own, certificate=settings.certificate, key=settings.certificate_key)
    return own

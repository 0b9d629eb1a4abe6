"""Stays beside a broker: answers devices that miss chunks, renews what is about to expire, fills a broker that lost it.

Heard on the link's thread, done on the caller's: `turn` is called again and again. What fails is said once and tried
again.
"""

import contextlib
import queue
import time
from collections.abc import Callable
from typing import Final

from edge_contract import topics
from edge_contract.errors import EdgewiseError
from edge_fleet.devices.watch import answer_need
from edge_fleet.link import Arrived
from edge_fleet.releases.publish import Publisher
from edge_mqtt import takeover

_RENEW_EVERY_S: Final = 3600.0  # metadata lives for days; an hour late is no loss
_RETRY_S: Final = 10.0  # after a broker did not take what it lacks
_WAITING: Final = 1000  # needs of devices, until they are answered
_RIVAL: Final = (
    "The broker ends this connection again and again: most likely another client comes with the same id; give what "
    "stays (`fleet serve`, `fleet heal --watch`) a certificate of its own (deploy/mosquitto/acl has its rules), or run "
    "one such command at a time."
)


class Healing:
    """One publisher's."""

    def __init__(self, publisher: Publisher, say: Callable[[str], None]) -> None:
        """Needs are subscribed to at once, so that one which was retained before is answered with what `begin` brings.

        Raises:
            EdgewiseError: the broker does not answer.
        """
        self._publisher, self._say = publisher, say
        self._needs = queue.Queue[Arrived](_WAITING)
        self._renewed, self._healed = time.monotonic(), publisher.link.connects
        self._retry, self._said = 0.0, ""
        publisher.link.subscribe(topics.all_devices("need"), self._keep)

    def begin(self) -> int:
        """Fill the broker, and answer what was asked meanwhile; how many messages were published.

        Raises:
            EdgewiseError: the broker or the folder refuses.
        """
        sent = self._publisher.heal()
        with contextlib.suppress(queue.Empty):
            while True:
                sent += answer_need(self._publisher, self._needs.get_nowait())
        return sent

    def turn(self, wait_s: float) -> None:
        """Answer the next need that comes within `wait_s` seconds, and heal and renew where that is due."""
        with contextlib.suppress(queue.Empty):
            arrived = self._needs.get(timeout=wait_s)
            self._tried(lambda: answer_need(self._publisher, arrived))
        link = self._publisher.link
        connects = link.connects
        due = connects != self._healed or time.monotonic() - self._renewed > _RENEW_EVERY_S
        if due and time.monotonic() >= self._retry:
            if connects != self._healed and link.losses >= takeover.SILENT_ENDS:
                self._say(_RIVAL)
            self._said = self._tried(self._renew)
            self._retry = time.monotonic() + (_RETRY_S if self._said else 0.0)
            if not self._said:
                self._renewed, self._healed = time.monotonic(), connects

    def _keep(self, arrived: Arrived) -> None:
        with contextlib.suppress(queue.Full):  # a device that is not answered asks again
            self._needs.put_nowait(arrived)

    def _renew(self) -> None:
        self._publisher.releases.repository.refresh(only_when_due=True)
        self._publisher.desired.renew()
        self._publisher.heal()

    def _tried(self, action: Callable[[], object]) -> str:
        """Why it failed, said unless it was before; empty when it did not."""
        try:
            action()
        except EdgewiseError as error:
            if str(error) != self._said:
                self._say(str(error))
            return str(error)
        return ""

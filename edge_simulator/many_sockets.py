"""More connections than `select` can name: paho waits with it, and it knows no descriptor from 1,024 on.

A device has one connection and never meets this. Here hundreds of them share a process, so paho is given a `select`
that asks `poll`, which knows them all.
"""

import select
from collections.abc import Sequence
from typing import Final, Protocol

from paho.mqtt import client as paho_client


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


_Waitable = int | _HasDescriptor


class _SelectByPoll:
    """What paho uses of the module `select`."""

    error: Final = select.error

    @staticmethod
    def select(
        reading: Sequence[_Waitable], writing: Sequence[_Waitable], _failing: Sequence[_Waitable], timeout: float
    ) -> tuple[list[_Waitable], list[_Waitable], list[_Waitable]]:
        """As `select.select`, in seconds; what hung up can be read and written, for both then say why."""
        poll = select.poll()
        events: dict[int, int] = {}
        for waitables, flag in ((reading, select.POLLIN), (writing, select.POLLOUT)):
            for waitable in waitables:
                descriptor = _descriptor(waitable)
                events[descriptor] = events.get(descriptor, 0) | flag
        for descriptor, flags in events.items():
            poll.register(descriptor, flags)
        ended = select.POLLHUP | select.POLLERR | select.POLLNVAL
        ready = dict(poll.poll(timeout * 1000))
        return (
            [each for each in reading if ready.get(_descriptor(each), 0) & (select.POLLIN | ended)],
            [each for each in writing if ready.get(_descriptor(each), 0) & (select.POLLOUT | ended)],
            [],
        )


def allow() -> None:
    """Let paho, in this process, wait for any descriptor."""
    setattr(paho_client, "select", _SelectByPoll)  # noqa: B010  # no typed way in


def _descriptor(waitable: _Waitable) -> int:
    descriptor = waitable if isinstance(waitable, int) else waitable.fileno()
    if descriptor < 0:
        raise ValueError("the connection was closed")  # as `select` says, and paho expects
    return descriptor

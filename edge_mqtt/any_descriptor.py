"""A `select` that knows every descriptor: paho waits with the real one, which knows none from 1,024 on.

A process that has more than that open, a bridge with many readers or a thousand simulated devices, would lose its
connection to the broker at once, and every later one again.
"""

import select
from collections.abc import Sequence
from typing import Final, Protocol


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


_Waitable = int | _HasDescriptor


class SelectByPoll:
    """What paho uses of the module `select`: give it to paho's client module in that one's place."""

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


def _descriptor(waitable: _Waitable) -> int:
    descriptor = waitable if isinstance(waitable, int) else waitable.fileno()
    if descriptor < 0:
        raise ValueError("the connection was closed")  # as `select` says, and paho expects
    return descriptor

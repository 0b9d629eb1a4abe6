"""The release side's link, counting what goes out."""

from collections.abc import Callable, Iterable

from edge_fleet.link import Arrived, Link
from edge_mqtt.address import BrokerAddress


class CountingLink(Link):
    """Counts messages and the bytes in them."""

    def __init__(self, address: BrokerAddress) -> None:
        super().__init__(address)
        self.bytes = self.messages = 0

    def publish(
        self, messages: Iterable[Arrived], done: Callable[[int], None] = lambda _: None, *, retain: bool = True
    ) -> int:
        """As `Link.publish`."""

        def counted() -> Iterable[Arrived]:
            for message in messages:
                self.bytes += len(message.payload)
                self.messages += 1
                yield message

        return super().publish(counted(), done, retain=retain)

"""A bad network: deliveries that get lost, and a line that carries so many bytes a second."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.mqtt.subscriptions import Handler
from edge_simulator.loop import Loop, LoopWorker
from edge_simulator.network import LoopNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Impairment:
    """What is wrong with one device's line."""

    loss: float = 0.0
    """Share of the deliveries of QoS 0 that do not arrive; of QoS 1 the broker sends what is lost again."""
    bytes_per_s: float = 0.0
    """What the line carries; 0 is as much as comes."""


class ImpairedLink(Link):
    """The agent's link behind a bad line, on the loop."""

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        *,
        loop: Loop,
        impairment: Impairment,
        chance: random.Random,
        will: tuple[str, bytes],
        on_connect: Callable[[], None],
    ) -> None:
        """`chance` says which deliveries are lost; the rest is as for `Link`."""
        self._line = LoopNetwork(loop)
        super().__init__(
            settings,
            client_id,
            clean_start=False,
            will=will,
            on_connect=on_connect,
            network=self._line,
            worker=lambda _name, _longest: LoopWorker(loop),
        )
        self._impairment, self._chance = impairment, chance

    def subscribe(self, topic_filter: str, handler: Handler, *, qos: Literal[0, 1] = 1) -> None:
        """As `Link.subscribe`, through the line."""
        loss, speed = self._impairment.loss, self._impairment.bytes_per_s

        def received(topic: str, payload: bytes) -> None:
            if speed:
                self._line.hold(len(payload) / speed)
            if qos or self._chance.random() >= loss:
                handler(topic, payload)

        super().subscribe(topic_filter, received, qos=qos)

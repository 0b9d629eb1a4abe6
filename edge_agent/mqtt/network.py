"""Who reads and writes on a client's connection: on a device, paho's own thread."""

from typing import Protocol

import paho.mqtt.client as mqtt


class Network(Protocol):
    """What carries the bytes of one client; a rehearsal of a fleet has one for all."""

    def begin(self, client: mqtt.Client) -> None:
        """Read and write on the connection that was just made; the client's callbacks are called from now on."""

    def end(self, client: mqtt.Client) -> None:
        """Send what waits, as far as the connection takes it, and end: no callback is called after this returned."""


class PahoThread:
    """A thread of paho's for each connection."""

    def begin(self, client: mqtt.Client) -> None:
        """As `Network.begin`."""
        client.loop_start()

    def end(self, client: mqtt.Client) -> None:
        """As `Network.end`."""
        client.loop_stop()

"""The whole of `/metrics` in the format that is asked for: the fleet, releases, loops, files, the bridge itself."""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from edge_bridge.fleet import record
from edge_bridge.fleet.state import FleetState
from edge_bridge.metrics import exposition, loops, released
from edge_bridge.metrics.expiry import Expiring
from edge_bridge.metrics.own import BridgeMetrics
from edge_bridge.metrics.text import OPENMETRICS, PLAIN

Further = Callable[[float, bool], str]
"""More families at a unix time, in OpenMetrics or not."""


class Page(NamedTuple):
    """What it is made of."""

    fleet: FleetState
    own: BridgeMetrics
    expiring: Expiring
    silent_after: float
    further: tuple[Further, ...] = ()

    def render(self, accept: str, now: float) -> tuple[bytes, str]:
        """The text at unix time `now` and its content type. `accept`: the header of that name, or nothing."""
        openmetrics = wants_openmetrics(accept)
        with self.own.scrape.time():
            fleet = self.fleet
            with fleet.lock:
                devices, newest = list(fleet.devices.values()), dict(fleet.newest)
                counted, sums = dict(fleet.counted), dict(fleet.counted_sums)
                groups, cards, standing = dict(fleet.groups), dict(fleet.cards), dict(fleet.loops)
            parts = [
                exposition.write(
                    devices, sums, now, self.silent_after, counted=counted, newest=newest, openmetrics=openmetrics
                ).encode()
            ]
            present = [each for each in devices if record.up(each, now, self.silent_after)]
            parts.append(released.write(present, groups, cards, openmetrics=openmetrics).encode())
            parts.append(loops.write(standing, openmetrics=openmetrics).encode())
            parts.append(self.expiring.write(openmetrics=openmetrics).encode())
            parts += [each(now, openmetrics).encode() for each in self.further]
        if openmetrics:
            parts.append(generate_openmetrics(self.own.registry))  # type: ignore[no-untyped-call]  # ends with `# EOF`
        else:
            parts.append(generate_latest(self.own.registry))
        return b"".join(parts), OPENMETRICS if openmetrics else PLAIN


def wants_openmetrics(accept: str) -> bool:
    """Whether who asks reads OpenMetrics 1.0: Prometheus names it first, a browser not at all."""
    for each in accept.split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        versions = [value for name, _, value in (part.partition("=") for part in parameters) if name == "version"]
        if kind == "application/openmetrics-text" and versions in ([], ["1.0.0"]) and "q=0" not in parameters:
            return True
    return False

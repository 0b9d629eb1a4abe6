"""A process that keeps and sends numbered predictions as the agent does, until it is killed. Run by test_delivery.

Prints each number once the spool holds its message: only then is it owed.
"""

import sys
import time
from pathlib import Path

from edge_agent.mqtt.link import Link
from edge_agent.mqtt.settings import BrokerSettings
from edge_agent.telemetry.delivery import Delivery
from edge_agent.telemetry.meter import Meter
from edge_agent.telemetry.settings import SpoolSettings
from edge_agent.telemetry.spool import Spool
from edge_contract.messages import ModelRef, PredictionBody


def main(state_dir: Path, port: int, session: int, first: int, last: int) -> None:
    """Send the numbers `first` to `last`, then wait to be killed."""
    settings = SpoolSettings(window=20, resend_s=0.3)
    link = Link(
        BrokerSettings(port=port),
        "d",
        clean_start=False,
        on_connect=lambda: delivery.connected(),  # noqa: PLW0108  # it does not exist yet
    )
    spool = Spool(state_dir / "spool.db", settings, time.time)
    delivery = Delivery(spool, link, "d", session=session, settings=settings, meter=Meter(), clock=time.monotonic)
    delivery.start()
    link.start()
    for number in range(first, last + 1):
        delivery.send(numbered(number))
        time.sleep(0.002)
    time.sleep(600)


def numbered(number: int) -> PredictionBody:
    """A prediction that carries a number as its track."""
    return PredictionBody(
        device="d",
        site="s",
        time=1.0,
        track=number,
        label="happy",
        confidence=0.5,
        probabilities=(0.5, 0.5),
        box=(0.0, 0.0, 1.0, 1.0),
        model=ModelRef(name="m", release=1, digest="0" * 64),
        latency=0.0,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:6]))

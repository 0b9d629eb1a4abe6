"""What the simulated devices are: a usual mix of boards and cameras, or that of a fleet as it is now."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edge_fleet.devices.view import Device
from edge_simulator.device import Site
from edge_simulator.impairment import Impairment
from edge_simulator.scenes import Begins, Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One sort of devices, and how many of a fleet are of it."""

    board: str
    runtime: str
    camera_kind: str
    weight: float
    reachable: float = 1.0
    """Share of them that is online."""


USUAL: Final[tuple[Sort, ...]] = (
    Sort(board="Raspberry Pi 4 Model B Rev 1.4", runtime="litert 2.3.0", camera_kind="v4l2", weight=5),
    Sort(board="Raspberry Pi 5 Model B Rev 1.0", runtime="litert 2.3.0", camera_kind="picamera", weight=3),
    Sort(board="Raspberry Pi Zero 2 W Rev 1.0", runtime="tflite-runtime 2.14.0", camera_kind="mjpeg", weight=2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with a fleet, mostly as shares of its devices."""

    offline: float = 0.0
    """Away at first."""
    slow: float = 0.0
    """Behind a line of `slow_bytes_per_s`."""
    kills: float = 0.0
    """Lose their power once, in the middle of an update."""
    loss: float = 0.0
    """Share of the deliveries of QoS 0 that no device gets."""
    slow_bytes_per_s: float = 200_000.0
    scenes: tuple[Spread, ...] = ()
    """What goes wrong before some cameras."""


SOUND: Final = Trouble()


def sites(
    count: int,
    group: str,
    *,
    prefix: str = "sim",
    first: int = 0,
    mix: Sequence[Sort] = USUAL,
    trouble: Trouble = SOUND,
    faces: float = 1.0,
    interval: float = 10.0,
    seed: int = 1,
) -> list[Site]:
    """So many devices, numbered from `first`; the same for the same seed. `faces` a second, windows of `interval` s."""
    weights = [sort.weight for sort in mix]
    made = []
    for number in range(first, first + count):
        chance = random.Random(f"{seed}/{number}")  # noqa: S311  # a rehearsal, not a secret
        (sort,) = chance.choices(mix, weights)
        slow = chance.random() < trouble.slow
        made.append(
            Site(
                id=f"{prefix}-{number:05}",
                groups=(group,),
                board=sort.board,
                runtime=sort.runtime,
                camera_kind=sort.camera_kind,
                away=chance.random() < max(trouble.offline, 1 - sort.reachable),
                killed=chance.random() < trouble.kills,
                faces_per_s=faces,
                interval_s=interval,
                impairment=Impairment(loss=trouble.loss, bytes_per_s=trouble.slow_bytes_per_s if slow else 0.0),
                scenes=tuple(_scenes(trouble.scenes, f"{seed}/{number}")),
            )
        )
    return made


def _scenes(spreads: Iterable[Spread], device: str) -> Iterator[Begins]:
    """Those of one device: drawn for each scene by itself, so that another scene beside it changes nothing."""
    for spread in spreads:
        if random.Random(f"{device}/{spread.scene}").random() < spread.share:  # noqa: S311
            yield Begins(spread.scene, spread.after_s)


def mix_of(devices: Iterable[Device]) -> tuple[Sort, ...]:
    """The mix of a fleet by what its devices report; empty where none says what it is."""
    counted: dict[tuple[str, str, str], list[bool]] = {}
    for device in devices:
        if (info := device.info) is not None:
            counted.setdefault((info.board, info.runtime, info.camera_kind), []).append(device.online)
    return tuple(
        Sort(
            board=board,
            runtime=runtime,
            camera_kind=camera,
            weight=len(online),
            reachable=sum(online) / len(online),
        )
        for (board, runtime, camera), online in sorted(counted.items())
    )

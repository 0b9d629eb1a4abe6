"""Places boxes in rows, highest floor on top, so that arrows point down and cross little. Pure, and the same each time.

The usual way in four steps (Sugiyama, Tagawa, Toda 1981): an arrow over several rows gets a waypoint in each between,
each row is ordered by the mean place of its neighbours, boxes move to where their arrows are short, and arrows leave
and reach a box side by side.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

_SWEEPS: Final = 24
WAYPOINT: Final = 10.0
"""Width kept free for an arrow that passes a row."""
_PORT: Final = 11.0
"""Between two arrows at one side of a box."""

_CORNER: Final = 10.0
"""At both ends of a side, free of arrows."""

Edge = tuple[str, str]


class Size(NamedTuple):
    """Of a box."""

    width: float
    height: float


class Point(NamedTuple):
    """Pixels from the left and from the top."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Placed:
    """Where everything is."""

    corners: Mapping[str, Point]
    """Upper left corner of each box."""
    ways: Mapping[Edge, tuple[Point, ...]]
    """Each arrow's points; those between first and last lie in pairs, above and below a row that is passed."""
    size: Size


def arrange(
    boxes: Mapping[str, Size], floors: Mapping[str, int], edges: Iterable[Edge], *, gap: Size, packed: bool = False
) -> Placed:
    """Place boxes whose arrows all lead to a lower floor.

    `gap`: free space between two boxes, and two rows; `packed`: boxes of a row stand side by side, each row centred.
    """
    chains = {edge: _chain(edge, floors) for edge in sorted(edges)}
    floor = dict(floors)
    for (_, last), chain in chains.items():
        floor |= {spot: floors[last] + up for up, spot in enumerate(reversed(chain))}
    width = {spot: boxes[spot].width if spot in boxes else WAYPOINT for spot in floor}
    links = [link for chain in chains.values() for link in pairwise(chain)]
    rows = [
        sorted(spot for spot in floor if floor[spot] == level) for level in sorted(set(floor.values()), reverse=True)
    ]
    rows = _ordered(rows, links)
    middle = _centred(rows, width, gap.width)
    if not packed:
        middle = _spread(rows, links, width, gap.width, middle)
    left = min((middle[spot] - width[spot] / 2 for spot in middle), default=0.0)
    right = max((middle[spot] + width[spot] / 2 for spot in middle), default=0.0)
    middle = {spot: x - left for spot, x in middle.items()}
    top, tops, heights = 0.0, {}, {}
    for row in rows:
        height = max((boxes[spot].height for spot in row if spot in boxes), default=0.0)
        for spot in row:
            tops[spot] = top + (height - boxes[spot].height) / 2 if spot in boxes else top
            heights[spot] = boxes[spot].height if spot in boxes else height
        top += height + gap.height
    leave, reach = _ports(chains, middle, width)
    ways = {}
    for edge, chain in chains.items():
        between = [Point(middle[spot], y) for spot in chain[1:-1] for y in (tops[spot], tops[spot] + heights[spot])]
        first, last = edge
        ways[edge] = (
            Point(leave[edge], tops[first] + heights[first]), *between, Point(reach[edge], tops[last])
        )  # fmt: skip
    corners = {spot: Point(middle[spot] - width[spot] / 2, tops[spot]) for spot in boxes}
    return Placed(corners, ways, Size(right - left, top - gap.height))


def _chain(edge: Edge, floors: Mapping[str, int]) -> list[str]:
    """From box to box by a waypoint on each floor between."""
    first, last = edge
    return [first, *(f"{first} {last} {level}" for level in range(floors[first] - 1, floors[last], -1)), last]


def _ordered(rows: Sequence[list[str]], links: Sequence[Edge]) -> list[list[str]]:
    """The order with the fewest crossings among those that sweeping down and up comes to."""
    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    current = [list(row) for row in rows]
    beside = _neighbours(links)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for index in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            fixed = {spot: place for place, spot in enumerate(current[index - 1 if down else index + 1])}
            share = len(current[index]) / max(1, len(fixed))
            mean = {}
            for place, spot in enumerate(current[index]):
                found = [fixed[other] for other in beside.get(spot, ()) if other in fixed]
                mean[spot] = sum(found) / len(found) * share if found else float(place)
            current[index].sort(key=lambda spot, mean=mean: (mean[spot], spot))  # type: ignore[misc]
        if (count := _crossings(current, links)) < fewest:
            best, fewest = [list(row) for row in current], count
    return best


def _neighbours(links: Iterable[Edge]) -> dict[str, list[str]]:
    """The neighbours of each spot, above and below."""
    found: dict[str, list[str]] = {}
    for first, last in links:
        found.setdefault(first, []).append(last)
        found.setdefault(last, []).append(first)
    return found


def _crossings(rows: Sequence[Sequence[str]], links: Sequence[Edge]) -> int:
    place = {spot: (level, index) for level, row in enumerate(rows) for index, spot in enumerate(row)}
    count = 0
    for number, (first, last) in enumerate(links):
        for other_first, other_last in links[:number]:
            if place[first][0] == place[other_first][0]:
                above = place[first][1] - place[other_first][1]
                count += above * (place[last][1] - place[other_last][1]) < 0
    return count


def _centred(rows: Sequence[Sequence[str]], width: Mapping[str, float], gap: float) -> dict[str, float]:
    """The middle of each spot: side by side, each row around 0."""
    middle: dict[str, float] = {}
    for row in rows:
        x = -(sum(width[spot] for spot in row) + gap * (len(row) - 1)) / 2
        for spot in row:
            middle[spot] = x + width[spot] / 2
            x += width[spot] + gap
    return middle


def _spread(
    rows: Sequence[Sequence[str]],
    links: Sequence[Edge],
    width: Mapping[str, float],
    gap: float,
    middle: Mapping[str, float],
) -> dict[str, float]:
    """The middle of each spot, moved near the mean of its neighbours, in the row's order and without overlap."""
    middle, beside = dict(middle), _neighbours(links)
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = []
            for spot in row:
                found = [middle[other] for other in beside.get(spot, ())]
                wanted.append(sum(found) / len(found) if found else middle[spot])
            middle |= zip(row, _apart(wanted, [width[spot] for spot in row], gap), strict=True)
    return middle


def _apart(wanted: Sequence[float], widths: Sequence[float], gap: float) -> list[float]:
    """The places nearest to those wanted, in order, that keep boxes apart (pooling adjacent violators)."""
    offsets = [0.0]
    for left, right in pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + gap)
    pools: list[tuple[float, int]] = []  # mean and number of boxes that touch
    for place, offset in zip(wanted, offsets, strict=True):
        mean, number = place - offset, 1
        while pools and pools[-1][0] >= mean:
            before, count = pools.pop()
            mean, number = (mean * number + before * count) / (number + count), number + count
        pools.append((mean, number))
    means = [mean for mean, number in pools for _ in range(number)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _ports(
    chains: Mapping[Edge, Sequence[str]], middle: Mapping[str, float], width: Mapping[str, float]
) -> tuple[dict[Edge, float], dict[Edge, float]]:
    """Where along its sides each arrow leaves and reaches its boxes: straight below the other end where that can be."""
    leave: dict[Edge, float] = {}
    reach: dict[Edge, float] = {}
    side = {
        spot: (middle[spot] - max(0.0, each / 2 - _CORNER), middle[spot] + max(0.0, each / 2 - _CORNER))
        for spot, each in width.items()
    }
    for found, own, beside in ((leave, 0, 1), (reach, -1, -2)):
        for box in sorted({chain[own] for chain in chains.values()}):
            least, most = side[box]
            wanted = {}
            for edge in (edge for edge, chain in chains.items() if chain[own] == box):
                other = chains[edge][beside]
                x = (max(side[other][0], least) + min(side[other][1], most)) / 2  # of the breadth that both share
                wanted[edge] = (min(max(x, least), most), middle[other])
            mine = sorted(wanted, key=lambda edge, wanted=wanted: (wanted[edge], edge))  # type: ignore[misc]
            step = min(_PORT, (most - least) / len(mine))
            for index, x in enumerate(_apart([wanted[edge][0] for edge in mine], [0.0] * len(mine), step)):
                found[mine[index]] = min(max(x, least + index * step), most - (len(mine) - 1 - index) * step)
    return leave, reach

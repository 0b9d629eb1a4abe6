"""What is drawn and how large: a room for each top-level folder, in rows by the rules between them. Pure.

Sub-folders are boxes of their own. Modules that lie directly in the room and stand on one floor share a box.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from docs.architecture.imports import Graph, Tree, essential, floors, grouped, place, restricted
from docs.architecture.layers import WAYPOINT, Edge, Placed, Size, arrange

WIDTH: Final = 1100.0
"""GitHub shows it nearly as large."""
MARGIN: Final = 24.0
PADDING: Final = 14.0
LINE: Final = 15.0
ROOM_GAP: Final = Size(16, 30)
_GAP: Final = Size(12, 22)
_FOLDER: Final = 28.0
_LETTER: Final = 6.7
"""Width of a letter of 12 pixels, on average and a little more; text is never measured."""
_BOLD: Final = 7.3
_HEADING: Final = 8.0
_SMALL: Final = 6.0
_NAMES: Final = 230.0
"""A list of modules is broken into lines of about this width."""


@dataclass(frozen=True, slots=True)
class Room:
    """A top-level folder with all that is drawn in it."""

    name: str
    purpose: str
    modules: Sequence[str]
    boxes: Mapping[str, Sequence[str]]
    """Dotted name of a sub-folder → nothing; or the first of modules that lie directly here → lines of their names.
    Empty where there are no sub-folders: then the modules' names stand without arrows."""
    sizes: Mapping[str, Size]
    placed: Placed
    counts: Mapping[str, int]
    """Modules by sub-folder."""
    circle: Sequence[Edge]
    """Arrows that cannot point down, for their ends import one another in a circle."""

    @property
    def width(self) -> float:
        """The least that it needs."""
        return max(self.placed.size.width, len(f"{self.name} {len(self.modules)} modules") * _HEADING) + 2 * PADDING

    def height(self, width: float) -> float:
        """What it needs at this width."""
        if self.boxes:
            return self.top(width) + self.placed.size.height + PADDING
        return self.top(width) + LINE * len(self.names(width)) + PADDING - 6

    def top(self, width: float) -> float:
        """What name and purpose take of its height."""
        return PADDING + 28 + LINE * len(self.lines(width))

    def lines(self, width: float) -> list[str]:
        """What it is for, in lines."""
        return _wrapped(self.purpose, (width - 2 * PADDING) / _SMALL)

    def names(self, width: float) -> list[str]:
        """Its modules, in lines."""
        return _lines([module.rpartition(".")[2] for module in self.modules], width - 2 * PADDING)


def furnish(tree: Tree, name: str) -> Room:
    """Lay out one room."""
    graph = tree.of(name)
    places = grouped(graph, {module: place(module) for module in graph})
    counts = {each: sum(place(module) == each for module in graph) for each in places}
    standing = floors(places)
    # Modules that lie directly in the room and on one floor share a box.
    strips: dict[str, list[str]] = {}
    owner = {each: each for each in places}
    for each in sorted(places.keys() - tree.folders):
        owner[each] = next((other for other in strips if standing[other] == standing[each]), each)
        strips.setdefault(owner[each], []).append(each)
    together = grouped(places, owner) if places.keys() & tree.folders else {}
    standing = floors(together)
    arrows = list(essential(together))
    boxes: dict[str, Sequence[str]] = {
        each: _lines([other.rpartition(".")[2] for other in strips[each]], _NAMES) if each in strips else ()
        for each in standing
    }
    sizes = {each: _box(each, lines, counts[each]) for each, lines in boxes.items()}
    placed = arrange(sizes, standing, [(a, b) for a, b in arrows if standing[a] > standing[b]], gap=_GAP)
    circle = [(a, b) for a, b in arrows if standing[a] == standing[b]]
    return Room(name, tree.purposes.get(name, "").replace("`", ""), sorted(graph), boxes, sizes, placed, counts, circle)


def fill(rooms: Mapping[str, Room], level: Mapping[str, int], roads: Sequence[Edge]) -> dict[str, Size]:
    """Rooms of one row as high as the highest, and as wide together as the page."""
    filled: dict[str, Size] = {}
    for floor in set(level.values()):
        row = [name for name in rooms if level[name] == floor]
        passing = sum(level[first] > floor > level[last] for first, last in roads)
        taken = sum(rooms[name].width for name in row) + passing * WAYPOINT
        spare = WIDTH - 2 * MARGIN - taken - (len(row) + passing - 1) * ROOM_GAP.width
        widths = {name: rooms[name].width + max(0.0, spare) / len(row) for name in row}
        height = max(rooms[name].height(widths[name]) for name in row)
        filled |= {name: Size(width, height) for name, width in widths.items()}
    return filled


def levels(between: Graph, storeys: Sequence[Sequence[str]], width: Mapping[str, float]) -> dict[str, int]:
    """The row of each room, 0 at the bottom. Storeys with no import between them share a row where that fits."""
    known = {name for storey in storeys for name in storey}
    rest = floors(restricted(between, between.keys() - known))
    above = [[name for name in sorted(rest) if rest[name] == floor] for floor in sorted(set(rest.values()))]
    rows: list[list[str]] = []
    for storey in [*reversed([[name for name in storey if name in between] for storey in storeys]), *above]:
        if not storey:
            continue
        row = rows[-1] if rows else []
        meets = any(between[name] & set(row) for name in storey)
        total = sum(width[name] + ROOM_GAP.width for name in (*row, *storey))
        if row and not meets and total <= WIDTH - 2 * MARGIN:
            row += storey
        else:
            rows.append(list(storey))
    return {name: level for level, row in enumerate(rows) for name in row}


def _box(name: str, lines: Sequence[str], count: int) -> Size:
    if lines:
        return Size(max(map(len, lines)) * _LETTER + 16, 10 + LINE * len(lines))
    return Size(len(f"{name.rpartition('.')[2]}/ {count}") * _BOLD + 20, _FOLDER)


def _lines(names: Iterable[str], width: float) -> list[str]:
    return _wrapped("  ".join(names), width / _LETTER, "  ")


def _wrapped(text: str, letters: float, space: str = " ") -> list[str]:
    lines: list[str] = []
    for word in text.split(space):
        if lines and len(lines[-1]) + len(space) + len(word) <= letters:
            lines[-1] += space + word
        elif word:
            lines.append(word)
    return lines

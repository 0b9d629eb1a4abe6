"""The tree as a picture (SVG): a room for each top-level folder, sub-folders in it, arrows where one imports another.

An arrow that a longer way implies is left out: what remains is what stands on what. One that cannot point down is red.
The same text every time.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from docs.architecture.imports import Tree, essential, grouped, place, room
from docs.architecture.layers import Edge, Point, Size, arrange
from docs.architecture.plan import LINE, MARGIN, PADDING, ROOM_GAP, Room, fill, furnish, levels

_HEADING: Final = 62.0
"""Height of the title."""
_HUES: Final = (212, 150, 28, 268, 340, 188, 95, 48, 304, 10)
_HEADS: Final = {"way": 6, "road": 9}
"""Length of an arrow's head."""
_STYLE: Final = """
text { font: 12px ui-sans-serif, system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 650 } .room { font-size: 14px; font-weight: 650 }
.folder { font-weight: 600; text-anchor: middle } .module { text-anchor: middle }
.small, .note { font-size: 11px; font-weight: 400; fill: #59636e } .page { fill: #ffffff; stroke: #d1d9e0 }
.way { fill: none; stroke: #8b949e; stroke-width: 1.1 } .way-head { fill: #8b949e }
.road { fill: none; stroke: #6e7781; stroke-width: 2.2 } .road-head { fill: #6e7781 }
.circle { fill: none; stroke: #cf222e; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small, .note { fill: #9198a1 } .page { fill: #0d1117; stroke: #3d444d }
.way { stroke: #7d8590 } .way-head { fill: #7d8590 } .road { stroke: #9198a1 } .road-head { fill: #9198a1 }
}
"""


def draw(tree: Tree, storeys: Sequence[Sequence[str]]) -> str:
    """The SVG. `storeys`: top-level folders, highest first, as the rules between them have it; others go on top."""
    names = sorted({room(module) for module in tree.modules})
    between = grouped(tree.modules, {module: room(module) for module in tree.modules})
    rooms = {name: furnish(tree, name) for name in names}
    level = levels(between, storeys, {name: rooms[name].width for name in names})
    roads = [edge for edge in essential(between) if level[edge[0]] > level[edge[1]]]
    sizes = fill(rooms, level, roads)
    plan = arrange(sizes, level, roads, gap=ROOM_GAP, packed=True)
    start = Point(MARGIN, _HEADING)
    page = Size(plan.size.width + 2 * MARGIN, plan.size.height + _HEADING + MARGIN)
    body = [_rectangle("page", Point(0.5, 0.5), Size(page.width - 1, page.height - 1), 10), *_heading(tree)]
    for edge in roads:
        body += _arrow([_moved(point, start) for point in plan.ways[edge]], "road", _title(tree, edge, room))
    for edge in essential(between):
        if edge not in plan.ways:
            ends = [_middle(_moved(plan.corners[name], start), sizes[name]) for name in edge]
            body += _arrow(ends, "circle", _title(tree, edge, room))
    for number, name in enumerate(names):
        body += _room(tree, rooms[name], number, _moved(plan.corners[name], start), sizes[name])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(page.width)} {_n(page.height)}" '
        f'width="{_n(page.width)}" height="{_n(page.height)}" role="img" aria-label="Folders and imports">\n'
        f"<style>{_STYLE}{_colours(len(names))}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _heading(tree: Tree) -> Iterator[str]:
    imports = sum(map(len, tree.modules.values()))
    yield _text(Point(MARGIN, 31), "Edgewise: what imports what", "title")
    explained = (
        f"{len(tree.modules)} modules and the {imports} imports between them. An arrow leads to what is imported; "
        "one that a longer way implies is left out."
    )
    yield _text(Point(MARGIN, 50), explained, "small")


def _room(tree: Tree, each: Room, number: int, at: Point, size: Size) -> Iterator[str]:
    yield _rectangle(f"r{number}", at, size, 9)
    count = len(each.modules)
    yield _text(_moved(at, Point(PADDING, 22)), each.name, "room", note=f"{count} module{'s' * (count != 1)}")
    for index, line in enumerate(each.lines(size.width)):
        yield _text(_moved(at, Point(PADDING, 39 + index * LINE)), line, "small")
    top = each.top(size.width)
    if not each.boxes:
        for index, line in enumerate(each.names(size.width)):
            yield _text(_moved(at, Point(PADDING, top + 8 + index * LINE)), line)
    start = _moved(at, Point((size.width - each.placed.size.width) / 2, top))
    for edge, way in each.placed.ways.items():
        yield from _arrow([_moved(point, start) for point in way], "way", _title(tree, edge, place))
    for edge in each.circle:
        ends = [_middle(_moved(each.placed.corners[box], start), each.sizes[box]) for box in edge]
        yield from _arrow(ends, "circle", _title(tree, edge, place))
    for box in each.boxes:
        yield from _box(each, box, number, _moved(each.placed.corners[box], start))


def _box(each: Room, box: str, number: int, at: Point) -> Iterator[str]:
    lines, size = each.boxes[box], each.sizes[box]
    yield _rectangle(f"{'m' if lines else 'f'}{number}", at, size, 6)
    middle = _moved(_middle(at, size), Point(0, 4))
    for index, line in enumerate(lines):
        yield _text(_moved(middle, Point(0, (index - (len(lines) - 1) / 2) * LINE)), line, "module")
    if not lines:
        yield _text(middle, f"{box.rpartition('.')[2]}/", "folder", note=str(each.counts[box]))


def _title(tree: Tree, edge: Edge, group: Callable[[str], str]) -> str:
    first, last = edge
    imports = sum(
        group(module) == first and group(other) == last for module in tree.modules for other in tree.modules[module]
    )
    return f"{first} → {last}: {imports} import{'s' * (imports != 1)}"


def _moved(point: Point, by: Point) -> Point:
    return Point(point.x + by.x, point.y + by.y)


def _middle(corner: Point, size: Size) -> Point:
    return Point(corner.x + size.width / 2, corner.y + size.height / 2)


def _rectangle(kind: str, at: Point, size: Size, radius: int) -> str:
    return (
        f'<rect class="{kind}" x="{_n(at.x)}" y="{_n(at.y)}" width="{_n(size.width)}" height="{_n(size.height)}" '
        f'rx="{radius}"/>'
    )


def _arrow(points: Sequence[Point], kind: str, title: str) -> Iterator[str]:
    """A line from the first point to the last, with a head where it has one."""
    head, end = _HEADS.get(kind, 0), points[-1]
    points = [*points[:-1], Point(end.x, end.y - max(0, head - 1))]
    path = f"M{_n(points[0].x)} {_n(points[0].y)}"
    for above, below in pairwise(points):
        half = (below.y - above.y) / 2
        path += f"C{_n(above.x)} {_n(above.y + half)} {_n(below.x)} {_n(below.y - half)} {_n(below.x)} {_n(below.y)}"
    yield f'<path class="{kind}" d="{path}"><title>{escape(title)}</title></path>'
    if head:
        yield f'<path class="{kind}-head" d="M{_n(end.x)} {_n(end.y)}l{_n(-head / 2)} {-head}h{_n(head)}z"/>'


def _text(at: Point, text: str, kind: str = "", *, note: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    kept = ' xml:space="preserve"' if "  " in text else ""
    noted = f'<tspan class="note" dx="7">{escape(note)}</tspan>' if note else ""
    return f'<text x="{_n(at.x)}" y="{_n(at.y)}"{named}{kept}>{escape(text)}{noted}</text>'


def _colours(rooms: int) -> str:
    light, dark = [], []
    for number in range(rooms):
        hue = _HUES[number % len(_HUES)]
        light += [
            f".r{number} {{ fill: hsl({hue} 60% 97%); stroke: hsl({hue} 40% 78%) }}",
            f".f{number} {{ fill: hsl({hue} 65% 88%); stroke: hsl({hue} 45% 62%) }}",
            f".m{number} {{ fill: hsl({hue} 60% 98.5%); stroke: hsl({hue} 35% 75%); stroke-dasharray: 3 2 }}",
        ]
        dark += [
            f".r{number} {{ fill: hsl({hue} 30% 11%); stroke: hsl({hue} 25% 30%) }}",
            f".f{number} {{ fill: hsl({hue} 35% 23%); stroke: hsl({hue} 35% 42%) }}",
            f".m{number} {{ fill: hsl({hue} 30% 13%); stroke: hsl({hue} 25% 35%) }}",
        ]
    return "\n".join([*light, "@media (prefers-color-scheme: dark) {", *dark, "}\n"])


def _n(number: float) -> str:
    """A coordinate; one decimal is more than eyes see and the same on every machine."""
    return f"{round(number, 1) + 0.0:g}"

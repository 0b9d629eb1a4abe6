"""Who imports whom, read from the source of a checkout: modules, the folders they lie in, and what follows from that.

Nothing is imported or executed, so that a checkout of any version can be read. Imports inside functions count as well.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Graph = Mapping[str, frozenset[str]]
"""Each node's successors."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout's modules by dotted name, and what each imports of the others."""

    modules: Graph
    folders: frozenset[str]
    """Dotted names of the folders that hold modules."""
    purposes: Mapping[str, str]
    """What each top-level folder says that it is: its docstring."""

    def of(self, folder: str) -> Graph:
        """The modules of a top-level folder and the imports between them."""
        return restricted(self.modules, (module for module in self.modules if room(module) == folder))


@dataclass(frozen=True, slots=True)
class Figures:
    """How a top-level folder is built."""

    folder: str
    modules: int
    floors: int
    """Modules in the longest chain of imports; modules that import one another in a circle are one floor."""
    arrows: int
    """Pairs of modules of which one imports the other."""
    circles: int
    places: int
    """What lies directly in the folder: sub-folders and modules."""
    place_floors: int
    place_arrows: int
    place_circles: int


def read(root: Path) -> Tree:
    """The packages that lie directly in `root`."""
    files = {
        ".".join(part for part in path.relative_to(root).with_suffix("").parts if part != "__init__"): path
        for package in sorted(root.iterdir())
        if (package / "__init__.py").is_file()
        for path in sorted(package.rglob("*.py"))
    }
    parsed = {name: ast.parse(path.read_text()) for name, path in files.items()}
    # A package's `__init__.py` with a docstring alone is no module that anybody must read.
    names = {name for name in files if files[name].name != "__init__.py" or len(parsed[name].body) > 1}
    return Tree(
        modules={
            name: frozenset(_imported(parsed[name], name, files[name].name == "__init__.py", names) - {name})
            for name in sorted(names)
        },
        folders=frozenset(name.rpartition(".")[0] for name in names) | {name for name in names if name not in files},
        purposes={
            name: (ast.get_docstring(parsed[name]) or "").partition("\n")[0] for name in files if "." not in name
        },
    )


def room(module: str) -> str:
    """The top-level folder of a module."""
    return module.partition(".")[0]


def place(module: str) -> str:
    """What lies directly in the top-level folder and is or holds this module."""
    return ".".join(module.split(".")[:2])


def grouped(graph: Graph, name: Mapping[str, str]) -> Graph:
    """The graph of groups of nodes, each named by `name`: what one group's nodes say of another's."""
    found: dict[str, set[str]] = {name[node]: set() for node in graph}
    for node, successors in graph.items():
        found[name[node]] |= {name[other] for other in successors if name[other] != name[node]}
    return {group: frozenset(successors) for group, successors in found.items()}


def restricted(graph: Graph, nodes: Iterable[str]) -> Graph:
    """Some of the nodes and what stands between them."""
    kept = set(nodes)
    return {node: graph[node] & kept for node in graph if node in kept}


def reach(graph: Graph) -> Graph:
    """All that can be come to from each node."""
    found: dict[str, frozenset[str]] = {}
    for node in graph:
        seen: set[str] = set()
        waiting = list(graph[node])
        while waiting:
            if (other := waiting.pop()) not in seen:
                seen.add(other)
                waiting += graph[other]
        found[node] = frozenset(seen)
    return found


def circles(graph: Graph) -> set[frozenset[str]]:
    """The largest groups of nodes of which each can be come to from each."""
    far = reach(graph)
    return {frozenset(other for other in far[node] if node in far[other]) for node in graph if node in far[node]}


def floors(graph: Graph) -> dict[str, int]:
    """On which floor each node stands: 0 when it leads nowhere, else one above the highest that it leads to."""
    group = {node: frozenset({node}) for node in graph} | {node: ring for ring in circles(graph) for node in ring}

    @cache
    def height(ring: frozenset[str]) -> int:
        return max((height(group[other]) + 1 for node in ring for other in graph[node] - ring), default=0)

    return {node: height(group[node]) for node in graph}


def essential(graph: Graph) -> Iterator[tuple[str, str]]:
    """The arrows that no longer way implies; within a circle all of them."""
    far = reach(graph)
    for node in sorted(graph):
        for other in sorted(graph[node]):
            way = (between for between in graph[node] - {other} if other in far[between] and node not in far[between])
            if node in far[other] or not any(way):
                yield node, other


def figures(tree: Tree) -> list[Figures]:
    """One line for each top-level folder."""
    lines = []
    for folder in sorted({room(module) for module in tree.modules}):
        modules = tree.of(folder)
        places = grouped(modules, {module: place(module) for module in modules})
        lines.append(Figures(folder, *_counted(modules), *_counted(places)))
    return lines


def _counted(graph: Graph) -> tuple[int, int, int, int]:
    highest = max(floors(graph).values(), default=-1)
    return len(graph), highest + 1, sum(map(len, graph.values())), len(circles(graph))


def _imported(source: ast.Module, module: str, is_package: bool, modules: set[str]) -> set[str]:
    found: set[str] = set()
    for node in _statements(source.body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {name if (name := f"{base}.{alias.name}") in modules else base for alias in node.names}
    return found & modules


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Those of a body and of all bodies in it; imports stand nowhere else, and expressions are most of a module."""
    for node in body:
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, field, ()))

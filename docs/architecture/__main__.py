"""Draws `docs/images/architecture.svg` from the imports and prints how each folder is built: `make architecture`.

`--tree DIR` prints the same table for another checkout and draws nothing.
"""

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from docs.architecture.drawing import draw
from docs.architecture.imports import Figures, figures, read

ROOT: Final = Path(__file__).resolve().parents[2]
PICTURE: Final = ROOT / "docs" / "images" / "architecture.svg"
_HEADINGS: Final = ("folder", "modules", "floors", "arrows", "circles", "places", "floors", "arrows", "circles")


def picture(root: Path = ROOT) -> str:
    """The picture of a checkout."""
    return draw(read(root), storeys(root))


def storeys(root: Path) -> list[list[str]]:
    """The rule between the top-level folders that import-linter holds, highest first."""
    rules = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(rule["layers"] for rule in rules if rule["type"] == "layers" and "containers" not in rule)
    return [[name.strip() for name in layer.replace(":", "|").split("|")] for layer in layers]


def table(lines: Sequence[Figures]) -> str:
    """For people: modules with the longest chain of imports between them; then the same for what lies in the folder."""
    rows = [_HEADINGS, *(tuple(str(getattr(line, field)) for field in Figures.__slots__) for line in lines)]
    wide = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "".join(
        "  ".join(
            text.ljust(wide[column]) if column == 0 else text.rjust(wide[column]) for column, text in enumerate(row)
        )
        + "\n"
        for row in rows
    )


def main() -> None:
    """Draw, and print the table."""
    parser = argparse.ArgumentParser(prog="make architecture", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tree", type=Path, help="Another checkout: its table alone, and nothing is drawn.")
    tree: Path | None = parser.parse_args().tree
    if tree is None:
        PICTURE.write_text(picture())
    sys.stdout.write(table(figures(read(tree or ROOT))))


if __name__ == "__main__":
    main()

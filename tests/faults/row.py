"""One row of `make test-faults`: what was done, how often, and what went wrong; a table of them, and their JSON."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

_EXAMPLES = 5


@dataclass
class Row:
    """A kind of fault."""

    name: str
    figures: dict[str, int | float] = field(default_factory=dict)
    """Counts by what they are of."""
    found: list[str] = field(default_factory=list)
    """What must not be: a sentence for each case."""
    seconds: float = 0.0

    @property
    def invalid(self) -> int:
        """How many cases went wrong."""
        return len(self.found)

    def count(self, what: str, number: int = 1) -> None:
        """Add to a figure."""
        self.figures[what] = self.figures.get(what, 0) + number

    @contextmanager
    def timed(self) -> Iterator["Row"]:
        """What this takes is part of the row's seconds."""
        began = time.monotonic()
        try:
            yield self
        finally:
            self.seconds += time.monotonic() - began

    def as_json(self) -> dict[str, object]:
        """For the results file."""
        return {**self.figures, "invalid": self.invalid, "seconds": round(self.seconds, 1)}


def print_table(rows: list[Row]) -> None:
    """One row a kind of fault."""
    table = Table("fault", "done", "invalid", "seconds", title="Faults")
    for row in rows:
        done = ", ".join(f"{value:g} {what.replace('_', ' ')}" for what, value in row.figures.items())
        table.add_row(row.name, done, str(row.invalid), f"{row.seconds:.0f}")
    Console(width=160).print(table)
    for row in rows:
        for sentence in row.found[:_EXAMPLES]:
            print(f"{row.name}: {sentence}")

"""Bars for long work: one for a whole training with a line an epoch that stays, one for any loop."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn, track
from rich.progress import Progress as Bar

ItemT = TypeVar("ItemT")


class Progress:
    """Shows a bar on a terminal and plain lines in a log."""

    def __init__(self, epochs: int, pictures: int) -> None:
        self.epochs, self.pictures = epochs, pictures
        self.console = Console()
        self.bar = Bar(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]} pictures/s"),
            TimeRemainingColumn(), console=self.console, transient=True, disable=not self.console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("training", total=epochs * pictures, rate="-")

    def __enter__(self) -> Self:
        """Start drawing."""
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self.bar.stop()

    def step(self, epoch: int, pictures: int) -> None:
        """So many pictures of this epoch are done."""
        speed = self.bar.tasks[0].speed
        self.bar.update(
            self.task, completed=epoch * self.pictures + pictures, description=f"epoch {epoch + 1}/{self.epochs}",
            rate=f"{speed:,.0f}" if speed else "-",
        )  # fmt: skip

    def epoch(self, row: dict[str, float]) -> None:
        """One line that stays on the screen."""
        left = (self.epochs - row["epoch"]) * row["seconds"]
        self.console.print(
            f"epoch {row['epoch']:.0f}/{self.epochs}  loss {row['loss']:.4f}  "
            f"selection {row['selection_accuracy']:.2%}  learning rate {row['learning_rate']:.2e}  "
            f"{row['images_per_second']:,.0f} pictures/s  {row['seconds']:.0f} s, {left / 60:.0f} min left",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def steps(items: Iterable[ItemT], description: str, total: int | None = None) -> Iterator[ItemT]:
    """Go through `items` with a bar on a terminal's standard error; without a terminal, silently."""
    console = Console(stderr=True)
    yield from track(items, description, total=total, console=console, transient=True, disable=not console.is_terminal)

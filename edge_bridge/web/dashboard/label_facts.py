"""What the labelling page shows and what its keys mean. Pure: no browser, no database.

`1` to `9` are the model's labels in its order, `0` is no face, `s` cannot tell, `z` takes the last answer back, `m`
shows what the model answered.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from edge_bridge.labels.accuracy import Accuracy
from edge_bridge.labels.annotations import Progress
from edge_bridge.labels.answers import Answer
from edge_bridge.labels.desk import Shown
from edge_bridge.web.dashboard.words import counted
from edge_contract.visible import visible

NAME: Final = 64
"""The longest name of a person."""
_KEYS: Final = 9

Command = Literal["undo", "model"]


class Choice(NamedTuple):
    """A button, and the key that presses it; a label past the ninth has none."""

    key: str
    text: str
    answer: Answer


def choices(labels: Sequence[str]) -> list[Choice]:
    """Those of a crop."""
    found = [
        Choice(str(number) if number <= _KEYS else "", visible(label), Answer("label", label))
        for number, label in enumerate(labels, 1)
    ]
    return [
        *found, Choice("0", "not a face", Answer("not-a-face")), Choice("s", "cannot tell", Answer("cannot-tell"))
    ]  # fmt: skip


def pressed(key: str, labels: Sequence[str]) -> Answer | Command | None:
    """What a key means; None where it means nothing here."""
    match key.lower():
        case "z":
            return "undo"
        case "m":
            return "model"
        case other:
            return next((each.answer for each in choices(labels) if each.key and each.key == other), None)


def name_of(text: str) -> str:
    """A person's name as it is kept: one line, no control characters; empty where it is none."""
    return " ".join(visible(text).split())[:NAME]


def guess_lines(shown: Shown) -> list[str]:
    """What the models answered, a sentence each."""
    return [f"{model} answered {visible(answer)}, {share:.0%}." for model, answer, share in shown.guesses]


def progress_line(found: Progress) -> str:
    """How far it has come."""
    return f"{found.answered:,} of {counted(found.crops, 'crop')} answered, {found.mine:,} by you."


def accuracy_lines(accuracy: Mapping[str, Accuracy]) -> list[str]:
    """How right each model was by labels, a sentence each, the one with most labels first."""
    ordered = sorted(accuracy.items(), key=lambda each: (-each[1].crops, each[0]))
    return [
        f"{visible(model)} was right on {each.share:.1%} [{each.low:.1%}, {each.high:.1%}] of faces in the field, "
        f"by {counted(each.crops, 'labelled face')} of the random stratum."
        for model, each in ordered
    ]

"""An error's sentence and its remedy, and that the source gives every remedy as one."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from edge_contract.errors import EdgewiseError, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
HELD = (
    "edge_contract", "edge_mqtt", "edge_vision", "edge_agent", "edge_fleet", "edge_bridge", "train", "convert", "demo",
)  # fmt: skip
"""Where the rule holds."""


def test_the_sentence_is_problem_and_remedy_and_each_is_an_attribute() -> None:
    error = UsageError("the ledger is gone; so is its copy", remedy="restore it")
    assert str(error) == "the ledger is gone; so is its copy; restore it."
    assert (error.problem, error.remedy) == ("the ledger is gone; so is its copy", "restore it")
    assert (str(EdgewiseError("it failed.")), EdgewiseError("it failed.").remedy) == ("it failed.", "")


def test_no_sentence_hides_its_remedy_behind_a_semicolon() -> None:
    hidden = [
        f"{path}:{call.lineno}"
        for path, call in raised()
        if not any(keyword.arg == "remedy" for keyword in call.keywords)
        if any("; " in text for argument in call.args[:1] for text in literals(argument))
    ]
    assert hidden == [], "give what stands behind '; ' as remedy="


def test_neither_a_problem_with_a_remedy_nor_the_remedy_ends_in_a_full_stop() -> None:
    wrong = [
        f"{path}:{call.lineno}"
        for path, call in raised()
        for remedy in (keyword.value for keyword in call.keywords if keyword.arg == "remedy")
        if any(ast.unparse(part).rstrip("'\"").endswith(".") for part in (*call.args[:1], remedy))
    ]
    assert wrong == [], "EdgewiseError writes the semicolon and the full stop"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise UsageError("it is gone; restore it.")', 1),
        ('raise SourceError(f"{name} is gone; " "restore it.") from error', 1),
        ('raise UsageError("it is gone" if gone else "it is late; wait")', 1),
        ('raise UsageError("it is gone", remedy="restore it")', 0),
        ("raise UsageError(f\"refused ({'; '.join(reasons)})\")", 0),
        ('raise ValueError("not ours; not held")', 0),
    ],
)
def test_the_rule_itself_sees_every_form_of_a_sentence(source: str, found: int) -> None:
    family = {"UsageError", "SourceError"}
    calls = [call for call in calls_raised(ast.parse(source), family) if not call.keywords]
    assert sum(any("; " in text for text in literals(call.args[0])) for call in calls) == found


@cache
def raised() -> list[tuple[Path, ast.Call]]:
    """Every call of an error of ours that is raised where the rule holds, by file."""
    trees = {path.relative_to(REPOSITORY): ast.parse(path.read_text()) for path in sources()}
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    family = {"EdgewiseError"}
    while more := {one.name for one in classes if {ast.unparse(base) for base in one.bases} & family} - family:
        family |= more
    return [(path, call) for path, tree in trees.items() for call in calls_raised(tree, family)]


def calls_raised(tree: ast.AST, family: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        match node:
            case ast.Raise(exc=ast.Call(func=error) as call) if ast.unparse(error).rpartition(".")[2] in family:
                yield call


def sources() -> list[Path]:
    found = [path for held in HELD for path in (REPOSITORY / held).rglob("*.py")]
    found += [REPOSITORY / held for held in HELD if held.endswith(".py")]
    assert len(found) > 60
    return sorted(found)


def literals(node: ast.expr) -> list[str]:
    """The literal texts of a sentence, in order; what is formatted into it is not its own."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return [text for value in values for text in literals(value)]
        case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=one, right=other):
            return literals(one) + literals(other)
    return []

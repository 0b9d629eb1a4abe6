"""The map for newcomers is the tree's own: its picture comes from the imports, and every file it names is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.architecture.__main__ import PICTURE, ROOT, picture
from docs.architecture.drawing import draw
from docs.architecture.imports import essential, figures, floors, read

PAGE = ROOT / "docs" / "architecture.md"


def missing(page: str) -> list[str]:
    """Files and folders that a page of docs/ links to under a name that is not theirs, or that are not there."""
    found = []
    for label, target in re.findall(r"\[`([^`]+)`\]\(([^)#]+)\)", page):
        path = (PAGE.parent / target).resolve()
        named = f"/{path.with_suffix('') if path.suffix else path}".endswith(f"/{label}")
        if not path.exists() or not named:
            found.append(f"{label} ({target})")
    return found


def test_the_picture_is_that_of_the_imports() -> None:
    assert PICTURE.read_text() == picture(), "imports between folders changed: run `make architecture`"


def test_every_file_named_on_the_page_is_there() -> None:
    page = PAGE.read_text()
    assert page.count("](../") > 80
    assert missing(page) == []


def test_a_named_file_that_is_gone_or_has_another_name_is_found() -> None:
    there = "[`camera/mailbox`](../edge_agent/camera/mailbox.py)"
    gone, renamed = there.replace("mailbox", "letterbox"), there.replace("`camera/mailbox`", "`camera/letterbox`")
    assert missing(there) == []
    assert len(missing(gone)) == len(missing(renamed)) == 1


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two roles: `top` with a circle and a chain, and `low` that it imports."""
    files = {
        "top/__init__.py": '"""The higher one."""\n',
        "top/cli.py": "def main():\n    from top.wing import first\n",
        "top/wing/__init__.py": '"""A folder."""\n',
        "top/wing/first.py": "import top.wing.second\nimport low.only\n",
        "top/wing/second.py": "from . import third\nimport os\n",
        "top/wing/third.py": "from low import only\n",
        "top/ring/__init__.py": "",
        "top/ring/one.py": "from top.ring import two\n",
        "top/ring/two.py": "from .one import anything\n",
        "low/__init__.py": '"""The lower one."""\n',
        "low/only.py": "anything = 1\n",
        "pyproject.toml": '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["top", "low"]\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_modules_floors_arrows_and_circles_are_counted(small: Path) -> None:
    low, top = figures(read(small))
    assert (low.folder, low.modules, low.floors, low.arrows) == ("low", 1, 1, 0)
    assert (top.modules, top.floors, top.arrows, top.circles) == (6, 4, 5, 1)  # cli, first, second, third
    assert (top.places, top.place_floors, top.place_arrows, top.place_circles) == (3, 2, 1, 0)


def test_the_table_of_another_checkout_is_printed_and_nothing_is_drawn(small: Path) -> None:
    before = PICTURE.stat().st_mtime_ns
    command = [sys.executable, "-m", "docs.architecture", "--tree", str(small)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["low", *"11001100"],
        ["top", *"64513210"],
    ]
    assert PICTURE.stat().st_mtime_ns == before


def test_a_new_import_between_folders_changes_the_picture(small: Path) -> None:
    before = draw(read(small), [["top"], ["low"]])
    (small / "top" / "ring" / "one.py").write_text("from top.ring import two\nimport top.wing.third\n")
    after = draw(read(small), [["top"], ["low"]])
    assert "top.ring → top.wing" not in before
    assert "top.ring → top.wing: 1 import" in after


def test_an_arrow_that_a_longer_way_implies_is_left_out_and_one_that_cannot_point_down_is_red(small: Path) -> None:
    graph = {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset[str]()}
    assert list(essential(graph)) == [("a", "b"), ("b", "c")]
    assert floors(graph) == {"a": 2, "b": 1, "c": 0}
    assert 'class="circle"' not in draw(read(small), [["top"], ["low"]])
    (small / "low" / "only.py").write_text("import top.cli\n")
    assert draw(read(small), [["top"], ["low"]]).count('class="circle"') >= 1

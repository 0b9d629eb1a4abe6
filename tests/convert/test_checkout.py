"""Why git knows no commit of a checkout: each cause has its own sentence, and its own remedy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convert.checkout import trouble


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, with none of this machine's settings of git."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "checkout").mkdir()
    return tmp_path / "checkout"


def run(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def said(folder: Path) -> str:
    return str(trouble(folder))


def test_a_repository_with_a_commit_is_well_and_so_is_a_worktree_of_it(git: Path) -> None:
    assert said(git) == f"{git} is no git repository; run `git init`, then commit."
    run(git, "init")
    assert said(git) == f"the git repository {git} has no commit yet; commit its files."
    run(git, "commit", "--allow-empty", "-m", "a")
    assert trouble(git) is None
    run(git, "worktree", "add", str(git.parent / "beside"))
    assert trouble(git.parent / "beside") is None


def test_a_bare_repository_has_no_files(git: Path) -> None:
    run(git, "init", "--bare")
    assert said(git) == f"{git} is a bare repository, without files; clone it, and work there."


def test_git_that_is_not_installed_is_named(git: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(git))
    assert said(git) == "git is not installed; run `sudo apt-get install git`."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_checkout_of_another_user_is_not_taken_for_no_repository(git: Path) -> None:
    run(git, "init")
    run(git, "commit", "--allow-empty", "-m", "a")
    for path in (git, *git.rglob("*")):
        os.chown(path, 54321, 54321)
    assert said(git).startswith(f"the checkout {git} belongs to another user, and git does not work in it; ")
    remedy = trouble(git).remedy  # type: ignore[union-attr]
    command = remedy.removeprefix("run `").removesuffix("`").split()
    subprocess.run(command, check=True)
    assert trouble(git) is None


def test_the_command_says_it_in_one_line(git: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "convert.checkout"], cwd=git, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{git} is no git repository, and `make pipeline` needs git; run `git init`, then commit.\n"

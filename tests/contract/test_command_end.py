"""However a command ends, it ends with its status and at most one sentence; only a mistake of ours is a traceback."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edge_contract.command_end import command, explained
from edge_contract.errors import EdgewiseError, ExitCode, TrustError


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (TrustError("it is forged", remedy="ask its sender"), 4, "it is forged; ask its sender."),
        (EdgewiseError("two\nlines \x1b[2J", remedy="look"), 1, "two\\nlines \\x1b[2J; look."),
        (KeyboardInterrupt(), 130, "interrupted."),
        (PermissionError(errno.EACCES, "Permission denied", "/k"), 1, "/k: permission denied; run this as the user"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "the disk is full; free some space, or name a folder"),
        (OSError(errno.EROFS, "Read-only", "/a", None, "/b"), 1, "/a and /b: the disk is read-only; name a folder"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/d"), 1, "/d: it is a folder; name a file."),
        (OSError(errno.ECONNREFUSED, "Connection refused"), 1, "Connection refused; "),
        (sqlite3.OperationalError("attempt to write a readonly database"), 1, "a database cannot be used (attempt to"),
        (sqlite3.OperationalError("database or disk is full"), 1, "a database cannot be written: the disk is full;"),
        (MemoryError(), 1, "there is not enough memory; "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_a_user_can_mend_is_one_line_with_a_remedy(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @command("tool")
    def main() -> int:
        raise error

    assert main() == status
    printed = capsys.readouterr().err
    assert printed.startswith(f"tool: {said}")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("ours"), OSError("no number")])
def test_a_mistake_of_ours_stays_one(error: Exception) -> None:
    @command()
    def main() -> int:
        raise error

    assert explained(error) is None
    with pytest.raises(type(error)):
        main()


def ended(code: str, redirection: str) -> subprocess.CompletedProcess[str]:
    """A command of its own process whose `main` is `code`, its streams as the shell has them."""
    source = (
        "import os, signal, sys\nfrom edge_contract.command_end import command\n"
        f"@command('tool')\ndef main():\n {code}\nsys.exit(main())"
    )
    shell = ["bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, source]
    return subprocess.run(shell, capture_output=True, text=True, check=False, env=os.environ)


def test_a_reader_that_has_seen_enough_is_no_error_to_speak_of() -> None:
    done = ended("print('x\\n' * 200000); return 0", "| head -1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.ERROR, "x\n", "")


def test_output_onto_a_full_disk_is_an_error_in_one_line() -> None:
    done = ended("print('x'); return 0", ">/dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (ExitCode.ERROR, 1)
    assert done.stderr.startswith("tool: the disk is full; ")


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", ">&- 2>&- <&-"])
def test_closed_streams_hear_nothing_and_change_no_status(redirection: str) -> None:
    assert ended("print('x'); sys.stderr.write('y'); return 3", redirection).returncode == 3


def test_a_pipe_that_breaks_elsewhere_is_not_taken_for_output() -> None:
    done = ended("raise BrokenPipeError(32, 'Broken pipe')", "")
    assert (done.returncode, done.stderr.partition(";")[0]) == (1, "tool: Broken pipe")


@pytest.mark.parametrize(
    "code",
    [
        # A library that makes another error of it, and one that loses it in a finalizer.
        "\n try: os.kill(os.getpid(), 2)\n except KeyboardInterrupt: raise ImportError('numpy failed')",
        "\n class X:\n  def __del__(self): os.kill(os.getpid(), 2)\n X()\n import time; time.sleep(30); return 0",
    ],
    ids=["made another error", "lost in a finalizer"],
)
def test_control_c_that_a_library_swallows_still_ends_the_command(code: str) -> None:
    done = ended(code, "")
    assert (done.returncode, done.stderr) == (ExitCode.INTERRUPTED, "tool: interrupted.\n")


MODULES = ("train", "convert", "demo", "edge_vision", "edge_agent", "edge_fleet", "edge_bridge", "edge_serve")


@pytest.mark.parametrize("package", MODULES)
def test_control_c_while_a_command_imports_ends_it_as_later(package: str, tmp_path: Path) -> None:
    """A real SIGINT in the middle of a module's import, after the package's own: as TensorFlow's seconds are."""
    slow = tmp_path / "slow.py"
    slow.write_text("import os, time\nos.kill(os.getpid(), 2)\ntime.sleep(30)\n")
    # The package of this checkout, with one more module in it.
    start = (
        f"import sys; sys.argv[0] = '-m'; import {package}; sys.argv[0] = 'slow'; "
        f"{package}.__path__.append({str(tmp_path)!r}); import {package}.slow"
    )
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (ExitCode.INTERRUPTED, "interrupted.\n")


def test_every_command_is_of_a_package_that_guards_its_imports() -> None:
    root = Path(__file__).resolve().parents[2]
    started = {
        path.relative_to(root).parts[0]
        for path in root.glob("[!.]*/**/*.py")
        if path.relative_to(root).parts[0]
        # `build` holds emulated devices; `deploy` is a folder, and its one command imports for half a second
        not in {"tests", "benchmarks", "docs", "build", "deploy"}
        and "from edge_contract.command_end import command" in path.read_text()
    }
    assert started <= {*MODULES}


def test_control_c_is_one_line_and_the_status_of_shells() -> None:
    done = ended(f"os.kill(os.getpid(), {int(signal.SIGINT)}); return 0", "")
    assert (done.returncode, done.stderr) == (ExitCode.INTERRUPTED, "tool: interrupted.\n")

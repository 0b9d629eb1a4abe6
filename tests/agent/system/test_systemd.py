"""The systemd unit: what systemd says of it, and the real agent under the restrictions that can be tried here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_simulator.broker import Broker
from tests.agent.agent_process import FIXTURES, REPOSITORY, AgentProcess, render_clip

UNIT = REPOSITORY / "deploy" / "systemd" / "edgewise-agent.service"
HIGHEST_EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    render_clip(path, 1.0)
    return path


@needs_systemd
def test_systemd_finds_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    """`verify` exits 0 on an unknown key, so its silence is what counts. The executable need not be installed here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/edgewise/bin/edgewise-agent", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


@needs_systemd
def test_the_sandbox_leaves_little_exposed() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Overall exposure level.*?: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout[-500:]
    assert float(found.group(1)) <= HIGHEST_EXPOSURE


@needs_systemd
def test_the_agent_and_its_selftest_make_no_system_call_that_the_unit_forbids(
    broker: Broker, tmp_path: Path, clip: Path
) -> None:
    """Every system call of a real run, by every thread and child, against the sets that systemd expands."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace, which lists the agent's system calls, is not installed")
    allowed = _expanded("@system-service") - _expanded("@privileged")
    agent = AgentProcess(tmp_path, broker.port, clip, extra='pace = "fast"\n')
    trace = tmp_path / "trace"
    script = (
        "import sys; from edge_agent.cli import main\n"
        f"assert main(['run', '--config', {str(agent.config)!r}]) == 0\n"
        f"assert main(['selftest', '--package', {str(FIXTURES / 'tiny-1.ewm')!r}]) == 0\n"
    )
    done = subprocess.run(
        [strace, "-f", "-qq", "-o", str(trace), sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("this machine does not let strace trace")
    assert done.returncode == 0, done.stderr
    used = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z0-9_]+)(?:\(| resumed)", trace.read_text(), re.MULTILINE))
    assert {"openat", "connect", "clone3"} & used  # the trace is of the agent indeed
    if os.geteuid() == 0:
        used.discard("fchown")  # SQLite keeps a file's owner, and only root can have to
    assert used - allowed == set()


def test_the_agent_looks_and_classifies_where_no_memory_may_become_executable(clip: Path) -> None:
    """`MemoryDenyWriteExecute=` by the kernel's own means: detector, interpreter and delegate run without it."""
    script = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.prctl(65, 1, 0, 0, 0): sys.exit(77)\n"  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
        "from edge_agent.cli import main\n"
        f"sys.exit(main(['look', {str(clip)!r}, '--package', {str(FIXTURES / 'tiny-1.ewm')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("this kernel cannot forbid executable memory by prctl (Linux 6.3 can)")
    assert done.returncode == 0, done.stderr
    assert "frames 30," in done.stdout
    assert "errors 0" in done.stdout


def _expanded(name: str) -> set[str]:
    """The system calls of a set and of the sets in it."""
    done = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True
    )
    words = {line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and not line.strip().startswith("#")}
    plain = {word for word in words if not word.startswith("@")}
    return plain.union(*(_expanded(word) for word in words if word.startswith("@")))

"""Commands of the roles where a machine is not as usual: no name, no home, no permission, a read-only or full disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "models" / "emotion-5.ewm"
KEEPING = ("--inh-caps=+dac_override,+dac_read_search", "--ambient-caps=+dac_override,+dac_read_search")
NOBODY = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", *KEEPING)
"""A user without a name, who can read this checkout all the same."""
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Root, whom permissions hold back as they do everyone else."""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can become another user, with setpriv"
)

FLEET = "import sys; from edge_fleet.cli import main; main()"
AGENT = "import sys; from edge_agent.cli import main; sys.exit(main())"
BRIDGE = "import sys; from edge_bridge.cli import main; sys.exit(main())"


def run(folder: Path, code: str, *arguments: object, via: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME", "USERNAME")}
    return subprocess.run(
        [*via, sys.executable, "-c", code, *map(str, arguments)], cwd=folder, capture_output=True, text=True,
        check=False, env={**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def test_a_user_without_name_and_home_makes_keys_and_is_told_what_the_agent_lacks(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    made = run(tmp_path, FLEET, "keys", "init", via=NOBODY)
    assert made.returncode == 0, made.stderr
    (tmp_path / "agent.toml").write_text("")
    said = run(tmp_path, AGENT, "status", "--config", "agent.toml", via=NOBODY)
    assert (said.returncode, said.stderr) == (
        2,
        "edgewise-agent: there is no such home directory; "
        "set device.state_dir in the settings, or the variable HOME.\n",
    )


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (FLEET, ("keys", "init", "--repository", "closed/fleet")),
        (FLEET, ("package", "inspect", "secret")),
        (AGENT, ("status", "--config", "secret")),
        (AGENT, ("look", "x.png", "--package", "secret")),
        (BRIDGE, ("run", "--config", "secret")),
        (BRIDGE, ("run", "--database", "sqlite:///closed/x.db")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_one_may_not_read_or_write_is_one_sentence(tmp_path: Path, code: str, arguments: tuple[str, ...]) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0)
    (tmp_path / "closed").mkdir(mode=0o500)
    done = run(tmp_path, code, *arguments, via=BOUND)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert arguments[-1].removeprefix("sqlite:///") in done.stderr or "closed" in done.stderr
    assert list((tmp_path / "closed").iterdir()) == []

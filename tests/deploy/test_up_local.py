"""`make up-local` as a command: it says where everything is, ends all on Ctrl-C, and names what is missing or taken."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from demo.steps import Steps
from demo.watching import PARTS, Watching, parts
from edge_contract.errors import EdgewiseError, ExitCode, UsageError
from edge_simulator.broker import free_port
from tests.eventually import eventually

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "demo.up_local"]
pytestmark = pytest.mark.xdist_group("watching")


def _needs(*found: str) -> dict[str, int]:
    ports = {part: free_port() for part in (*found, "broker", "bridge")}
    try:
        Watching(Path(), Steps(), ports=ports).check()
    except EdgewiseError as error:
        pytest.skip(str(error))
    return ports


def _run(folder: Path, ports: dict[str, int], *arguments: str) -> "subprocess.Popen[str]":
    given = [f"--port={part}={port}" for part, port in ports.items()]
    without = [f"--without={part}" for part in PARTS if part not in ports]
    return subprocess.Popen(
        [*COMMAND, "--folder", str(folder), *given, *without, *arguments], cwd=REPOSITORY, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def _children(folder: Path) -> list[str]:
    """Processes whose command line names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line and "demo.up_local" not in line:
            found.append(line)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_part_of_it_answers_at_the_address_that_is_printed(tmp_path: Path) -> None:
    ports = {**_needs("prometheus", "alertmanager"), "alerts": free_port(), "mlflow": free_port()}
    running = _run(tmp_path / "up", ports)
    assert running.stdout is not None
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line)
        if "Press Ctrl-C" in line:
            break
    said = "".join(lines)
    for url in set(re.findall(r"http://127.0.0.1:\d+/", said)):
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310  # 127.0.0.1
            assert response.status == 200, url
    assert said.count("http://") == 8  # a step's line and one at the end
    assert any("Watchdog" in line for line in running.stdout)  # Alertmanager waits a while for others to group with it
    os.kill(running.pid, signal.SIGTERM)
    _, errors = running.communicate(timeout=100)
    assert (running.returncode, errors) == (ExitCode.OK, "")
    assert _children(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc to see processes in")
def test_ctrl_c_ends_all_of_it_in_order(tmp_path: Path) -> None:
    running = _run(tmp_path / "up", _needs())
    try:
        assert running.stdout is not None
        assert any("Press Ctrl-C" in line for line in running.stdout)
        assert len(_children(tmp_path)) == 2
        os.kill(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, errors) == (ExitCode.OK, "")
    eventually(lambda: _children(tmp_path) == [])


def test_a_port_that_is_taken_is_one_sentence_and_nothing_is_started(tmp_path: Path) -> None:
    ports = _needs()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports["bridge"]))
        holder.listen()
        running = _run(tmp_path / "up", ports)
        said, errors = running.communicate(timeout=60)
    assert running.returncode == ExitCode.ERROR
    assert said == ""
    assert errors == (
        f"edgewise: port {ports['bridge']} of 127.0.0.1, which bridge is to have, is in use; "
        f"end what uses it, or give another: make up-local PORTS=bridge={ports['bridge'] + 1}.\n"
    )


def test_programs_that_are_missing_are_named_with_the_line_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.watching._SEARCH", str(tmp_path))
    with pytest.raises(EdgewiseError) as missing:
        Watching(tmp_path, Steps(), ports=parts({})).check()
    assert str(missing.value) == (
        "mosquitto and prometheus-alertmanager and prometheus are not installed; run "
        "`sudo apt-get install --no-install-recommends mosquitto prometheus-alertmanager prometheus`."
    )


@pytest.mark.parametrize(
    ("given", "without", "said"),
    [
        ({"grafana": 3000}, (), "no part 'grafana'"),
        ({}, ("broker",), "the broker is what the other parts watch"),
        ({"bridge": 0}, (), "0 is no port for bridge"),
    ],
)
def test_parts_that_there_are_not_are_one_sentence(given: dict[str, int], without: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parts(given, without)


def test_the_token_is_made_once_and_only_its_user_reads_it(tmp_path: Path) -> None:
    made = Watching(tmp_path, Steps(), ports=parts({}))
    assert len(made.token()) > 30
    assert made.token() == made.token()
    assert (tmp_path / "alertmanager" / "webhook-token").stat().st_mode & 0o777 == 0o600

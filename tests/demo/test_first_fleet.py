"""The walkthrough of docs/first-fleet.md, run to its end as it stands on the page."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_simulator.broker import Broker, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
UNTIL_BACK = """
for attempt in $(seq 60); do
  edgewise fleet ls --json > fleet.json
  if grep -q rolled-back fleet.json; then break; fi
  sleep 0.5
done
"""


def script(page: str, *, broker: int, dashboard: int) -> str:
    """The page's commands with ports of this test, a folder for the camera, and an end to what they start."""
    block = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    lines = [line for line in block[1].splitlines() if "/usr/sbin/mosquitto" not in line]
    commands = "\n".join(lines).replace("models/", f"{REPOSITORY}/models/")
    for written, here in (
        ('url = "0"', 'url = "pictures"\nloop = true'),
        ("[source]", f"[broker]\nport = {broker}\n\n[source]"),
        (
            "edgewise-bridge run",
            f"edgewise-bridge run --broker mqtt://127.0.0.1:{broker} --listen 127.0.0.1:{dashboard}",
        ),
    ):
        assert commands.count(written) == 1
        commands = commands.replace(written, here)
    return f"set -e\ntrap 'kill $(jobs -p); wait' EXIT\n{commands}\n{UNTIL_BACK}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_machine_becomes_a_fleet_of_one_by_the_commands_of_the_page(
    broker: Broker, portrait: NDArray[np.uint8], tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "portrait.png"), portrait)
    commands = script((REPOSITORY / "docs" / "first-fleet.md").read_text(), broker=broker.port, dashboard=free_port())
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "EDGEWISE_BROKER": f"mqtt://127.0.0.1:{broker.port}",
    }
    done = subprocess.run(
        ["bash", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    logs = "".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
    assert done.returncode == 0, (done.stdout, done.stderr, logs)
    assert done.stdout.count("1 device runs it.") == 2
    assert "kitchen: going back to the model before" in done.stdout
    (kitchen,) = json.loads((tmp_path / "fleet.json").read_text())["devices"]
    reported = kitchen["reported"]
    assert (kitchen["device"], reported["state"], reported["active"]["release"]) == ("kitchen", "rolled-back", 1)
    assert reported["target"]["release"] == 5

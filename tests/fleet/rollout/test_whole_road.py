"""The whole road by the command line: an agent with a camera, `fleet serve`, a rollout through shadow to everyone."""

import json
from pathlib import Path

import pytest

from edge_simulator.broker import Broker
from tests.agent.agent_process import REPOSITORY, AgentProcess, render_clip
from tests.bridge.process import BridgeProcess
from tests.fleet.commands.test_rollout import Side
from tests.fleet.rollout.scripted import eventually

PLAN = """
waves = ["100%"]
behaves = false
[shadow]
faces = 30
agreement = 0.0
shift = 1.0
less_sure = 1.0
swapped = 1.0
contradicted = 1.0
slower = 1.0
failures = 1.0
[shadow.terms]
spacing = "0.2s"
[installed]
minimum = 1
[healthy]
soak = "1s"
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_release_is_compared_on_a_cameras_faces_then_answers_and_is_everyones(tmp_path: Path, broker: Broker) -> None:
    side = Side(tmp_path, broker.port, group="shop")
    side.plan.write_text(PLAN)
    for release in (1, 5):
        side("release", str(REPOSITORY / "models" / f"emotion-{release}.ewm"))
    side("push", "emotion", "1", "--group", "shop")
    clip = tmp_path / "clip.avi"
    render_clip(clip, 2.0)
    extra = "loop = true\n[telemetry]\ninterval_s = 1.0\n"
    model = f"trust_root = {json.dumps(str(side.directory / 'root.json'))}"
    with (
        BridgeProcess(tmp_path, broker.port),  # a device sends on only what is acknowledged
        AgentProcess(tmp_path, broker.port, clip, extra=extra, model=model) as agent,
        side.served(),
    ):
        eventually(lambda: '"state": "committed"' in side("fleet", "ls", "--json"), "emotion 1 runs")
        side("rollout", "start", "emotion", "5", "--group", "shop", "--plan", str(side.plan))
        side("rollout", "status", "--wait")
        shown = side.status()
        eventually(lambda: "emotion 5" in side("why", "cam-1") and "as it is to" in side("why", "cam-1"), agent.log)
        assert shown["phase"] == "completed", side("rollout", "history")
    ledger = json.loads(side("rollout", "history", "--json"))["ledger"]
    assert [line["action"] for line in ledger] == ["start", "begin", "pass", "begin", "pass", "complete"]
    assert "faces" in ledger[2]["text"]

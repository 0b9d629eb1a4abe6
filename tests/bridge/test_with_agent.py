"""The real agent beside the real bridge: what one says it saw, the other has, once."""

import json
import subprocess
import sys
from pathlib import Path

from edge_bridge.storage.store import Store
from edge_simulator.broker import Broker
from tests.bridge.process import REPOSITORY, BridgeProcess

_SETTINGS = """
[device]
id = "cam-1"
site = "lab"
state_dir = "{state}"
[broker]
port = {port}
[source]
url = "{data}/two_faces_boxes_drawn.gif"
loop = true
[model]
factory = "{repository}/models/emotion-5.ewm"
face_detector = "{data}/face_detection_yunet_2023mar.onnx"
[telemetry]
interval_s = 1.0
[spool]
resend_s = 1.0
[log]
format = "json"
"""


def test_every_prediction_of_a_real_agent_is_stored_once_though_the_bridge_was_killed(
    broker: Broker, bridge: BridgeProcess, tmp_path: Path, shared_data: Path
) -> None:
    config, log = tmp_path / "agent.toml", tmp_path / "agent.log"
    config.write_text(
        _SETTINGS.format(state=tmp_path / "state", port=broker.port, data=shared_data, repository=REPOSITORY)
    )
    with log.open("wb") as output:
        agent = subprocess.Popen(
            [Path(sys.executable).with_name("edgewise-agent"), "run", "--config", config],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        labels = 'site="lab",device="cam-1"'
        bridge.wait_for("/metrics", f'edgewise_device_model_info{{{labels},model="emotion-5"')
        bridge.wait_for("/metrics", f'edgewise_classified_faces_total{{{labels},model="emotion-5",emotion="')
        bridge.kill()
        bridge.start()
        bridge.wait_for("/metrics", f"edgewise_spool_messages{{{labels}}} 0.0")
        agent.terminate()
        assert agent.wait(30) == 0, log.read_text()
    finally:
        agent.kill()
    bridge.wait_for("/metrics", f"edgewise_up{{{labels}}} 0")
    assert bridge.stop() == 0  # what it took in is committed
    summary = json.loads(log.read_text().splitlines()[-1])
    store = Store(bridge.database)
    stored = [(each.message.session, each.message.sequence) for each in store.recent(10_000)]
    store.close()
    assert summary["predictions"] > 0
    assert len(stored) == len(set(stored)) == summary["predictions"]

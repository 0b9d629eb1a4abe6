"""The whole way, nothing simulated: an agent with a consent, a broker, a bridge; and one whose key is another."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from edge_bridge.labels import key as labelling_key
from edge_bridge.labels.database import LabelDatabase
from edge_bridge.labels.desk import Desk
from edge_simulator.broker import Broker
from tests.agent.agent_process import AgentProcess, render_clip
from tests.bridge.labels.faces import KEY, key_file
from tests.bridge.process import BridgeProcess
from tests.eventually import eventually

CONFIG = '[labels]\nkey = "labelling.pem"\ndatabase = "labels.db"\n'
SAMPLING = """loop = true
[sampling]
key = "{key}"
share = 1.0
per_minute = 600
per_hour = 9999
per_day = 9999
[sampling.consent]
by = "Ada"
given = 2020-01-01
until = 2090-01-01
purpose = "to count smiles"
"""


@pytest.mark.slow
def test_what_an_agent_samples_is_labelled_and_what_it_sealed_to_another_key_is_refused_and_dropped(
    broker: Broker, tmp_path: Path
) -> None:
    for folder in ("bridge", "agent"):
        (tmp_path / folder).mkdir()
    file = key_file(tmp_path / "bridge")
    (tmp_path / "agent" / "right.pub").write_bytes(
        KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    labelling_key.make(tmp_path / "agent" / "wrong")
    clip = tmp_path / "clip.avi"
    render_clip(clip, 2.0)
    with BridgeProcess(tmp_path / "bridge", broker.port, config=CONFIG) as bridge:
        with AgentProcess(tmp_path / "agent", broker.port, clip, extra=SAMPLING.format(key="wrong.pub")) as agent:
            bridge.wait_for("/metrics", 'edgewise_label_crops_refused_total{reason="key"}')
            eventually(lambda: "sealed to another key" in agent.log, lambda: agent.log)
            agent.stop()
        with AgentProcess(tmp_path / "agent", broker.port, clip, extra=SAMPLING.format(key="right.pub")) as agent:
            bridge.wait_for("/metrics", "edgewise_label_crops_stored_total")
            eventually(lambda: 'edgewise_label_crops{stratum="random"} 0' not in bridge.metrics(), lambda: agent.log)
            agent.stop()
    database = LabelDatabase(file.with_name("labels.db"))
    desk = Desk(database, KEY, 0.2, lambda: 0.0)
    shown = desk.next("ann")
    assert shown is not None
    assert len(shown.labels) == 7
    assert (desk.picture(shown.id) or b"").startswith(b"\x89PNG")
    database.close()

"""Home Assistant's discovery message, read the way Home Assistant reads it."""

import json
from pathlib import Path

import jinja2
import pytest

from edge_agent.mqtt.home_assistant import discovery, retained
from edge_agent.mqtt.settings import HomeAssistantSettings
from edge_contract import topics
from edge_contract.messages import Info, ModelRef, Reported, encode

INFO = Info(
    device="cam-1", site="hall", groups=("g",), session=1, agent="0.1", board="Pi 4", os="Debian", python="3.11",
    runtime="litert", camera="0", started=1.0,
)  # fmt: skip


def render(template: str, message: bytes) -> str:
    """As Home Assistant does it."""
    return jinja2.Environment().from_string(template).render(value_json=json.loads(message))  # noqa: S701  # no HTML


@pytest.mark.parametrize(
    ("state", "target", "latest", "in_progress", "percentage"),
    [
        ("idle", None, "tiny 1", False, None),
        ("downloading", 2, "tiny 2", True, 50),
        ("committed", 1, "tiny 1", False, None),
        ("rejected", 2, "tiny 2", False, None),
    ],
)
def test_home_assistants_update_entity_reads_the_reported_state(
    *, state: str, target: int | None, latest: str, in_progress: bool, percentage: int | None
) -> None:
    topic, payload = discovery(INFO, "homeassistant")
    assert topic == "homeassistant/device/edgewise-cam-1/config"
    config = json.loads(payload)
    update = config["components"]["model"]
    assert update["state_topic"] == topics.device("cam-1", "reported")
    one = ModelRef(name="tiny", release=1, digest="0" * 64)
    reported = Reported(
        device="cam-1", session=1, active=one, state=state, progress=0.5, time=1.0,  # type: ignore[arg-type]
        target=ModelRef(name="tiny", release=target, digest="1" * 64) if target else None,
    )  # fmt: skip
    entity = json.loads(render(update["value_template"], encode(reported)))
    assert entity["installed_version"] == "tiny 1"
    assert entity["latest_version"] == latest
    assert entity["in_progress"] is in_progress
    assert entity["update_percentage"] == percentage


def test_discovery_has_ids_of_its_own_and_no_way_to_command_the_device() -> None:
    config = json.loads(discovery(INFO, "homeassistant")[1])
    ids = [component["unique_id"] for component in config["components"].values()]
    assert len(ids) == len(set(ids))
    assert "command_topic" not in json.dumps(config)
    online = render(config["availability"][0]["value_template"], b'{"state": "stopped"}')
    assert online == "offline"


def test_a_device_that_is_no_longer_announced_leaves_home_assistant(tmp_path: Path) -> None:
    on, off = HomeAssistantSettings(enabled=True), HomeAssistantSettings()
    assert retained(INFO, off, tmp_path) == {}  # where it never was, nothing is said
    (announced,) = retained(INFO, on, tmp_path)
    assert retained(INFO, off, tmp_path) == {announced: b""}
    moved = retained(INFO, HomeAssistantSettings(enabled=True, prefix="ha"), tmp_path)
    assert moved[announced] == b""
    assert moved["ha/device/edgewise-cam-1/config"].startswith(b"{")
    assert retained(INFO, off, tmp_path) == dict.fromkeys(moved, b"")
    (tmp_path / "home-assistant.txt").write_bytes(b"\xff\x00#/config\n+/device/edgewise-cam-1/config\n")
    assert retained(INFO, off, tmp_path) == {}

"""Home Assistant finds this device by one retained message on the same broker: MQTT device discovery.

The message only points at topics that the agent publishes anyway; Home Assistant's templates pick the values out.
See https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (Home Assistant 2024.11 or newer).
Names, units and states are the contract's. Nothing can be commanded from there: releases are signed, and Home Assistant
has no key.
"""

import contextlib
import json
import re
from pathlib import Path
from typing import Any, Final

from edge_agent.mqtt.settings import HomeAssistantSettings
from edge_contract import limits, topics
from edge_contract.bounded_read import read_text
from edge_contract.durable import write_file
from edge_contract.messages import Info
from edge_contract.metrics import DeviceGauge
from edge_contract.throttling import NOW
from edge_contract.update_state import SETTLED, UpdateState

_FILE: Final = "home-assistant.txt"
_PREFIXES: Final = 16  # remembered; a device changes its prefix once or twice
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,64}/device/edgewise-[a-z0-9-]{1,64}/config")

_QUIET: Final = SETTLED | {UpdateState.SHADOWING}
"""Nothing is being installed. A release may run in shadow for days."""
_UPDATE: Final = (
    "{{ {'installed_version': (value_json.active.name ~ ' ' ~ value_json.active.release) if value_json.active else '-',"
    " 'latest_version': (value_json.target.name ~ ' ' ~ value_json.target.release) if value_json.target else"
    " ((value_json.active.name ~ ' ' ~ value_json.active.release) if value_json.active else '-'),"
    f" 'in_progress': value_json.state not in {sorted(map(str, _QUIET))},"
    " 'update_percentage': (100 * value_json.progress) | round"
    f" if value_json.state == '{UpdateState.DOWNLOADING}' else none,"
    " 'release_summary': value_json.reason[:255]} | tojson }}"
)
_THROTTLED: Final = f"value_json.gauges.{DeviceGauge.THROTTLED}"
_SLOWED: Final = (
    # The templates know no bits: what the lowest four of them hold is the rest of a division by 16.
    f"{{{{ none if {_THROTTLED} is not defined else 'ON' if {_THROTTLED} | int % {NOW + 1} > 0 else 'OFF' }}}}"
)


def discovery(info: Info, prefix: str) -> tuple[str, bytes]:
    """Topic and payload of the discovery message. `prefix`: Home Assistant's own, normally `homeassistant`."""
    device = info.device
    telemetry, prediction = topics.device(device, "telemetry"), topics.device(device, "prediction")
    components: dict[str, dict[str, Any]] = {
        "emotion": {
            "platform": "sensor",
            "name": "Emotion",
            "icon": "mdi:emoticon-outline",
            "state_topic": prediction,
            "value_template": "{{ value_json.label }}",
        },
        "confidence": {
            "platform": "sensor",
            "name": "Confidence",
            "state_topic": prediction,
            "value_template": "{{ (100 * value_json.confidence) | round(1) }}",
            "unit_of_measurement": "%",
        },
        "fps": {
            "platform": "sensor",
            "name": "Frame rate",
            "state_topic": telemetry,
            "value_template": f"{{{{ value_json.gauges.{DeviceGauge.FPS} | round(1) }}}}",
            "unit_of_measurement": DeviceGauge.FPS.unit,
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
        "temperature": {
            "platform": "sensor",
            "name": "Temperature",
            "device_class": "temperature",
            "state_topic": telemetry,
            "value_template": f"{{{{ value_json.gauges.{DeviceGauge.TEMPERATURE_CELSIUS} | default(none) }}}}",
            "unit_of_measurement": DeviceGauge.TEMPERATURE_CELSIUS.unit,
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
        "throttled": {
            "platform": "binary_sensor",
            "name": "Slowed down",
            "device_class": "problem",
            "state_topic": telemetry,
            "value_template": _SLOWED,
            "entity_category": "diagnostic",
        },
        "model": {
            "platform": "update",
            "name": "Model",
            "title": "Edgewise model",
            "state_topic": topics.device(device, "reported"),
            "value_template": _UPDATE,
            "entity_category": "diagnostic",
        },
    }
    for name, component in components.items():
        component["unique_id"] = f"edgewise-{device}-{name}"
    payload = {
        "device": {
            "identifiers": [f"edgewise-{device}"],
            "name": device,
            "manufacturer": "Edgewise",
            "model": info.board,
            "sw_version": info.agent,
            "suggested_area": info.site,
        },
        "origin": {"name": "edgewise-agent", "sw_version": info.agent},
        "availability": [
            {
                "topic": topics.device(device, "availability"),
                "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
            }
        ],
        "components": components,
    }
    return f"{prefix}/device/edgewise-{device}/config", json.dumps(payload, ensure_ascii=False).encode()


def retained(info: Info, settings: HomeAssistantSettings, state_dir: Path) -> dict[str, bytes]:
    """What is to be retained for Home Assistant, by topic: the discovery, and nothing where one was before.

    A file remembers the topics under which this device was ever announced, so that one that is no longer enabled, or
    enabled under another prefix, leaves Home Assistant; where it was never announced, nothing is published.
    """
    path = state_dir / _FILE
    known: list[str] = []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        known = [
            line for line in read_text(path, limits.MESSAGE_BYTES).splitlines()[:_PREFIXES] if _TOPIC.fullmatch(line)
        ]
    messages = dict.fromkeys(known, b"")
    if settings.enabled:
        where, payload = discovery(info, settings.prefix)
        messages[where] = payload
        if where not in known:
            write_file(path, "".join(f"{each}\n" for each in messages).encode())
    return messages

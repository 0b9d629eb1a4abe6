"""What version 0.1.0 left of a device, its broker and its bridge, for tests to go on from: see the fixture's README."""

import json
import shutil
import sqlite3
from base64 import b64decode
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt import publish
from paho.mqtt.enums import MQTTProtocolVersion

FOLDER = Path(__file__).parent / "fixtures" / "0.1.0-device"
ROOT = FOLDER / "root.json"
DEVICE, SITE = "cam-1", "default"


class Spooled(NamedTuple):
    """A message that the device had not been told to be stored."""

    session: int
    sequence: int
    kind: str
    body: dict[str, Any]


def copy_state(folder: Path) -> Path:
    """The state directory, for this test alone."""
    return shutil.copytree(FOLDER / "state", folder / "state", symlinks=True)


def retained() -> dict[str, bytes]:
    """The broker's retained messages by topic."""
    return {topic: b64decode(payload) for topic, payload in json.loads((FOLDER / "retained.json").read_text()).items()}


def retained_json(topic: str) -> dict[str, Any]:
    """A retained message that people can read."""
    message: dict[str, Any] = json.loads(retained()[f"edgewise/v1/{topic}"])
    return message


def signed_later(what: str) -> dict[str, bytes]:
    """What the release side signed after the device had ended, by topic."""
    message = json.loads((FOLDER / "signed-later.json").read_text())[what]
    return {message["topic"]: b64decode(message["payload"])}


def publish_all(port: int, messages: Mapping[str, bytes], *, retain: bool = True) -> None:
    """Hand messages to a broker on this machine."""
    publish.multiple(
        [{"topic": topic, "payload": payload, "qos": 1, "retain": retain} for topic, payload in messages.items()],
        hostname="127.0.0.1",
        port=port,
        protocol=MQTTProtocolVersion.MQTTv5,
    )


def spooled() -> list[Spooled]:
    """What the device still has to send, in order."""
    with closing(sqlite3.connect(f"file:{FOLDER / 'state' / 'spool.db'}?mode=ro&immutable=1", uri=True)) as database:
        rows = database.execute("SELECT session, sequence, kind, body FROM message ORDER BY sequence").fetchall()
    return [Spooled(session, sequence, kind, json.loads(body)) for session, sequence, kind, body in rows]


def stored() -> set[tuple[int, int]]:
    """Session and sequence of the predictions that the bridge had stored."""
    with closing(sqlite3.connect(f"file:{FOLDER / 'predictions.db'}?mode=ro&immutable=1", uri=True)) as database:
        return set(database.execute("SELECT session, sequence FROM predictions").fetchall())

"""The MQTT topic tree: one function a topic, and one parser for what a subscription delivers.

Ids are `[a-z0-9-]{1,64}`, so no id can hold a `/`, `+` or `#` and widen what its owner may read or write.
"""

import re
from typing import Final, Literal, NamedTuple

from edge_contract.errors import UsageError

PREFIX: Final = "edgewise/v1"
ID_PATTERN: Final = r"^[a-z0-9-]{1,64}\Z"
SHA256_PATTERN: Final = r"^[0-9a-f]{64}\Z"

_ID = re.compile(ID_PATTERN)
_SHA256 = re.compile(SHA256_PATTERN)
# TUF's own file names: index.json, timestamp.json, 3.root.json, 12.snapshot.json, 12.targets.json
_TRUST_FILE = re.compile(r"^(index|timestamp|[1-9][0-9]{0,8}\.(root|snapshot|targets))\.json$")

DeviceLeaf = Literal[
    "desired", "availability", "info", "reported", "telemetry", "prediction", "ack", "need", "crop", "crop-ack",
    "command", "result",
]  # fmt: skip
_PLAIN_LEAVES: Final = frozenset(
    {"desired", "availability", "info", "reported", "telemetry", "prediction", "ack", "need", "crop", "crop-ack"}
)


class DeviceTopic(NamedTuple):
    """`device/<device>/<leaf>`, and for commands and their results also the command's id."""

    device: str
    leaf: DeviceLeaf
    command: str | None = None


class GroupTopic(NamedTuple):
    """`group/<group>/desired`."""

    group: str


class GroupStatusTopic(NamedTuple):
    """`group/<group>/status`."""

    group: str


class ReleaseCardTopic(NamedTuple):
    """`release/<sha256>`: what a release is, by its model's digest."""

    sha256: str


class LoopStatusTopic(NamedTuple):
    """`loop/<model>/status`."""

    model: str


class TrustTopic(NamedTuple):
    """`trust/<file>`: one TUF metadata file, or the index."""

    file: str


class BlobTopic(NamedTuple):
    """`blob/<sha256>/<chunk>`: one chunk of a model file or of a release file."""

    sha256: str
    chunk: int


def checked_id(value: str, what: str) -> str:
    """Return `value` if it can stand in a topic; `what` names it in the error.

    Raises:
        UsageError: the id is empty, too long or has other characters than a-z, 0-9 and "-".
    """
    if not _ID.fullmatch(value):
        raise UsageError(f"{what} {value!r} is not usable", remedy="give 1 to 64 of the characters a-z, 0-9 and '-'")
    return value


def device(device_id: str, leaf: DeviceLeaf) -> str:
    """`edgewise/v1/device/<id>/<leaf>`."""
    return f"{PREFIX}/device/{checked_id(device_id, 'device id')}/{leaf}"


def command(device_id: str, command_id: str) -> str:
    """Where the release side asks a device for something."""
    return f"{device(device_id, 'command')}/{checked_id(command_id, 'command id')}"


def command_result(device_id: str, command_id: str) -> str:
    """Where the device answers a command."""
    return f"{command(device_id, command_id)}/result"


def group_desired(group: str) -> str:
    """The signed desired state of a whole group."""
    return f"{PREFIX}/group/{checked_id(group, 'group')}/desired"


def group_status(group: str) -> str:
    """How a group's rollout and its devices stand, as `edgewise fleet serve` sees it; unsigned, for people."""
    return f"{PREFIX}/group/{checked_id(group, 'group')}/status"


def release_card(sha256: str) -> str:
    """What the release with this digest is: accuracy, reference, lineage; unsigned, for people."""
    if not _SHA256.fullmatch(sha256):
        raise UsageError(f"{sha256!r} is not a SHA-256 digest of 64 hexadecimal digits.")
    return f"{PREFIX}/release/{sha256}"


def loop_status(model: str) -> str:
    """How the retraining loop of a model stands; unsigned, for people."""
    return f"{PREFIX}/loop/{checked_id(model, 'model')}/status"


def trust(file: str) -> str:
    """One TUF metadata file; `trust/index.json` is an untrusted hint of the newest versions.

    Raises:
        UsageError: `file` is not the name of a metadata file.
    """
    if not _TRUST_FILE.fullmatch(file):
        raise UsageError(f"{file!r} is not the name of a metadata file, such as timestamp.json or 2.root.json.")
    return f"{PREFIX}/trust/{file}"


def blob(sha256: str, chunk: int) -> str:
    """One chunk, counted from 0, of the model file or release file with this digest."""
    if not _SHA256.fullmatch(sha256):
        raise UsageError(f"{sha256!r} is not a SHA-256 digest of 64 hexadecimal digits.")
    return f"{PREFIX}/blob/{sha256}/{chunk}"


def all_chunks(sha256: str) -> str:
    """A filter that matches every chunk of one file."""
    return blob(sha256, 0).removesuffix("0") + "+"


def all_devices(leaf: DeviceLeaf) -> str:
    """A filter that matches one leaf of every device."""
    return f"{PREFIX}/device/+/{leaf}"


Topic = DeviceTopic | GroupTopic | GroupStatusTopic | ReleaseCardTopic | LoopStatusTopic | TrustTopic | BlobTopic


def parse(topic: str) -> Topic | None:
    """Read a topic back into its parts; None for anything that is not ours or is malformed."""
    if not topic.startswith(PREFIX + "/"):
        return None
    match topic[len(PREFIX) + 1 :].split("/"):
        case ["device", device_id, leaf] if _ID.fullmatch(device_id) and leaf in _PLAIN_LEAVES:
            return DeviceTopic(device_id, leaf)  # type: ignore[arg-type]  # the guard narrows what mypy cannot
        case ["device", device_id, "command", command_id] if _ID.fullmatch(device_id) and _ID.fullmatch(command_id):
            return DeviceTopic(device_id, "command", command_id)
        case ["device", device_id, "command", command_id, "result"] if _ID.fullmatch(device_id) and _ID.fullmatch(
            command_id
        ):
            return DeviceTopic(device_id, "result", command_id)
        case ["group", group, "desired"] if _ID.fullmatch(group):
            return GroupTopic(group)
        case ["group", group, "status"] if _ID.fullmatch(group):
            return GroupStatusTopic(group)
        case ["loop", model, "status"] if _ID.fullmatch(model):
            return LoopStatusTopic(model)
        case ["release", sha256] if _SHA256.fullmatch(sha256):
            return ReleaseCardTopic(sha256)
        case ["trust", file] if _TRUST_FILE.fullmatch(file):
            return TrustTopic(file)
        case ["blob", sha256, chunk] if _SHA256.fullmatch(sha256) and re.fullmatch(r"0|[1-9][0-9]{0,5}", chunk):
            return BlobTopic(sha256, int(chunk))
    return None

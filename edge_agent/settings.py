"""The agent's settings: frozen dataclasses, every default and its reason. `settings_file` fills them from TOML.

Each section of the file is one dataclass here; camera and pipeline sections live with what they configure.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from edge_agent.camera.source import SourceSettings
from edge_agent.inference.pipeline import PipelineSettings
from edge_contract.topics import ID_PATTERN
from edge_vision.faces import YUNET_SHA256

Port = Annotated[int, Meta(ge=1, le=65535)]
Id = Annotated[str, Meta(pattern=ID_PATTERN)]

RELOADABLE: Final = frozenset(
    {
        "log.level",
        "pipeline.consensus.evidence",
        "pipeline.consensus.hold",
        "pipeline.consensus.margin",
        "pipeline.consensus.relook",
        "pipeline.consensus.repeat",
        "pipeline.consensus.threshold",
        "pipeline.consensus.window",
        "telemetry.interval_s",
        "telemetry.predictions_per_minute",
    }
)
"""Keys that may change while the agent runs (SIGHUP, signed `set-config`): none of them can widen what it can reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """Who this device is and where it keeps its state."""

    id: Id = ""
    """Stands in every topic; the host's name when absent."""
    site: Id = "default"
    groups: Annotated[tuple[Id, ...], Meta(max_length=16)] = ("default",)
    state_dir: Path = Path()
    """Models, metadata and spool: $STATE_DIRECTORY under systemd, else ~/.local/state/edgewise-agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker is and who this device is to it."""

    host: str = "127.0.0.1"
    port: Port = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    """Never in the file: from $EDGEWISE_BROKER_PASSWORD or the systemd credential `broker-password`."""
    tls: bool = False
    ca: Path | None = None
    """Certificates that vouch for the broker; the system's own when absent."""
    certificate: Path | None = None
    key: Path | None = None
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    """The broker calls the device offline after one and a half of these."""
    session_expiry_s: Annotated[int, Meta(ge=0, le=2**32 - 2)] = 7 * 86400
    """For how long the broker keeps commands for a device that is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Which models may run here, and what finds the faces."""

    trust_root: Path | None = None
    """The release side's root metadata (`fleet/root.json`); without it no release is ever accepted."""
    factory: Path | None = None
    """A `.ewm` that runs until the first release is pushed."""
    threads: Annotated[int, Meta(ge=1, le=16)] = 1
    """Of the interpreter: two contend with the capture and cost more than they gain."""
    face_detector: Path | None = None
    """YuNet's ONNX file (`make face-detector`); OpenCV's Haar cascade when absent."""
    face_detector_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] = YUNET_SHA256


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """What is kept for a broker or bridge that is away."""

    max_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 34)] = 64 << 20
    """Of messages held on disk; then the oldest telemetry goes first, and is counted."""
    max_age_s: Annotated[float, Meta(ge=60)] = 7 * 86400.0
    window: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Messages sent and not yet acknowledged by the bridge."""
    resend_s: Annotated[float, Meta(ge=0.1, le=3600)] = 20.0
    """Without an acknowledgement for so long, the window is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """How often the device speaks."""

    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """Length of a telemetry window."""
    predictions_per_minute: Annotated[int, Meta(ge=1, le=6000)] = 120
    """More are counted as `predictions_capped` and not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewSettings:
    """The live picture with boxes, for whoever is on this very machine; off unless asked for."""

    enabled: bool = False
    port: Port = 8081
    fps: Annotated[float, Meta(gt=0, le=30)] = 5.0
    """Pictures a second are encoded while somebody looks, and none while nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantSettings:
    """Discovery by Home Assistant through the same broker."""

    enabled: bool = False
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")] = "homeassistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How the agent logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    """auto: one JSON object a line unless a person reads along on a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything; read once at start by `settings_file.load`."""

    device: DeviceSettings = field(default_factory=DeviceSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    source: SourceSettings = field(default_factory=SourceSettings)
    pipeline: PipelineSettings = field(default_factory=PipelineSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    preview: PreviewSettings = field(default_factory=PreviewSettings)
    home_assistant: HomeAssistantSettings = field(default_factory=HomeAssistantSettings)
    log: LogSettings = field(default_factory=LogSettings)

"""The agent's settings: one section a field, each with its defaults and their reasons. Loads no part that works.

The sections of a wing of the agent stand in its own `settings`; those of no wing stand here. `settings_file` fills them
from TOML.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from edge_agent.camera.settings import SourceSettings
from edge_agent.inference.settings import PipelineSettings
from edge_agent.mqtt.settings import BrokerSettings, HomeAssistantSettings
from edge_agent.sampling.settings import SamplingSettings
from edge_agent.system.settings import LogSettings
from edge_agent.telemetry.settings import SpoolSettings, TelemetrySettings
from edge_agent.update.settings import HoursSettings
from edge_contract.setting_types import Id
from edge_contract.topics import SHA256_PATTERN
from edge_mqtt.address import Port
from edge_vision.detector_file import YUNET_SHA256

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
"""Keys that may change while the agent runs (SIGHUP, signed `set-config`): none of them can widen what it can reach.

What a reload of the file ends beside these is sampling: see `sampling.settings.narrowed`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """Which device this is and where it keeps its state."""

    id: Id = ""
    """Stands in every topic; the host's name when absent."""
    site: Id = "default"
    groups: Annotated[tuple[Id, ...], Meta(max_length=16)] = ("default",)
    state_dir: Path = Path()
    """Models, metadata and spool: $STATE_DIRECTORY under systemd, else ~/.local/state/edgewise-agent."""


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
    face_detector_sha256: Annotated[
        str, Meta(pattern=SHA256_PATTERN, description="a SHA-256 of 64 digits 0-9 and a-f")
    ] = YUNET_SHA256


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewSettings:
    """The live picture with boxes, for browsers on this very machine; off unless asked for."""

    enabled: bool = False
    port: Port = 8081
    fps: Annotated[float, Meta(gt=0, le=30)] = 5.0
    """Pictures encoded a second while a browser shows them; none otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of it; read once at start by `settings_file.load`."""

    device: DeviceSettings = field(default_factory=DeviceSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    source: SourceSettings = field(default_factory=SourceSettings)
    pipeline: PipelineSettings = field(default_factory=PipelineSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    update: HoursSettings = field(default_factory=HoursSettings)
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    preview: PreviewSettings = field(default_factory=PreviewSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    home_assistant: HomeAssistantSettings = field(default_factory=HomeAssistantSettings)
    log: LogSettings = field(default_factory=LogSettings)

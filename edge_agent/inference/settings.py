"""`[pipeline]`: how faces are found, followed and classified, and how much evidence a label needs."""

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectIntervalSettings:
    """`[pipeline.locate.cadence]`: the detector runs on every k-th frame; bounds of k, and a frame's time."""

    detect_every: Annotated[int, Meta(ge=1, le=10_000)] = 5
    """Smallest k: at 30 frames a second a new face is found within a sixth of a second."""
    detect_at_least_every: Annotated[int, Meta(ge=1, le=10_000)] = 30
    """Largest k."""
    budget: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Share of the time between two frames that one frame's work may take on average, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocateSettings:
    """`[pipeline.locate]`: when the detector runs."""

    motion: Annotated[float, Meta(ge=0, le=255)] = 3.0
    """Mean difference of a block of the frame, in grey levels, that counts as motion; 0: every frame does."""
    still_detect: Annotated[float, Meta(ge=0, le=86400)] = 2.0
    """Seconds between detections while nothing moves."""
    cadence: DetectIntervalSettings = field(default_factory=DetectIntervalSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusSettings:
    """`[pipeline.consensus]`: how much evidence a published label needs."""

    window: Annotated[float, Meta(ge=0, le=3600)] = 0.8
    """Age in seconds at which evidence weighs 1/e of new evidence; 0: each frame stands alone."""
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.3
    """Least mean probability of a label that is published, 0 to 1."""
    margin: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """How far a new label's mean probability must lead the published one's."""
    evidence: Annotated[int, Meta(ge=1, le=10_000)] = 3
    """Fewest classified frames before a face gets its first label."""
    hold: Annotated[float, Meta(ge=0, le=3600)] = 0.4
    """Seconds a new label must have led before it replaces the published one."""
    repeat: Annotated[float, Meta(ge=0, le=86400)] = 10.0
    """An unchanged label is published again after this many seconds; 0: every frame is classified and published."""
    relook: Annotated[float, Meta(ge=0, le=60)] = 0.06
    """Least seconds between two classifications of a settled face: every second frame of 30 a second, for neighbouring
    frames are much the same. Other faces are classified on every frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """From frames to labels."""

    max_faces: Annotated[int, Meta(ge=1, le=64)] = 4
    """Faces classified in a frame, the largest first."""
    locate: LocateSettings = field(default_factory=LocateSettings)
    consensus: ConsensusSettings = field(default_factory=ConsensusSettings)

"""What updates need to know of this device and installation; filled by `model_source`, not by a section of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.models.selftest import COMMAND
from edge_agent.trust.verifier import COMMAND as VERIFY_COMMAND
from edge_agent.update.probation import ANSWERS


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSettings:
    """Whose releases are accepted here, for what, and how they are tested."""

    device: str
    groups: Sequence[str]
    root: bytes
    """The release side's first root metadata."""
    runtime: str
    """What runs models here, such as "litert 2.3.0": a failure is remembered for it."""
    factory: Path | None = None
    """A `.ewm` that runs until a release is pushed."""
    window: str = ""
    """Hours at which a new model may be run; see `hours.HoursSettings`."""
    probation_answers: int = ANSWERS
    """Faces that a new model must answer before it is committed."""
    selftest_command: Sequence[str] = COMMAND
    """What tests a slot, which is appended."""
    verify_command: Sequence[str] = VERIFY_COMMAND
    """What checks signatures."""

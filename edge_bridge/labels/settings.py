"""Labels: where crops are collected, for how long, and whose they are with the broker."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from edge_contract.errors import UsageError
from edge_contract.setting_types import Id
from edge_contract.settings_file import Secret

PASSWORD: Final = Secret("EDGEWISE_LABELS_PASSWORD", "labels-password")
"""The broker's password of `labels.username`."""
_LINE: Final = r"^[^\x00-\x1f\x7f\ud800-\udfff]{1,1024}\Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings:
    """`[labels]`: crops of faces collected for people to label, off without a key; docs/labelling.md."""

    key: Path | None = None
    """The labelling key's private half, which `edgewise-bridge labels key` makes; readable by its owner alone."""
    database: Path = Path("labels.db")
    """A SQLite file of its own, apart from the prediction log."""
    client_id: Id = "edgewise-labels"
    """Of the collector's own session with the broker."""
    username: Annotated[str, Meta(pattern=_LINE, description="one line of 1 to 1024 characters")] | None = None
    """The broker's user that may read crops; without one, and without a certificate, that of [broker]."""
    password: Annotated[str, Meta(pattern=_LINE, description="one line of 1 to 1024 characters")] | None = field(
        default=None, repr=False
    )
    """From the environment or a credential."""
    certificate: Path | None = None
    """Where the broker knows its clients by certificates: that of `edgewise-labels`."""
    certificate_key: Path | None = None
    device_crops: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Of one device, at most; further ones are refused, and the device is told."""
    device_mb: Annotated[int, Meta(ge=1, le=100_000)] = 100
    crops: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    """Of all devices."""
    mb: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    retention_days: Annotated[float, Meta(gt=0, le=3650)] = 90.0
    """After it crops and what people said of them are deleted; what was exported is another matter."""
    second_share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """Of crops that are shown to a second person, to measure how far people agree."""

    def __post_init__(self) -> None:
        """Hold the rules that a type cannot say.

        Raises:
            UsageError: half of a certificate's pair is missing.
        """
        if (self.certificate is None) != (self.certificate_key is None):
            raise UsageError(
                "labels.certificate and labels.certificate_key belong together", remedy="give both or neither"
            )

    @property
    def key_file(self) -> Path:
        """The key's file.

        Raises:
            UsageError: none is named.
        """
        if self.key is None:
            raise UsageError(
                "labels are not collected here, for labels.key names no key",
                remedy="make one with `edgewise-bridge labels key FILE` and name it as key in [labels]",
            )
        return self.key

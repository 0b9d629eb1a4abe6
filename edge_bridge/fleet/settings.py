"""The fleet: how many label values are kept, and which devices are shown one by one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from edge_contract.setting_types import Id


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`[limits]`: how many different label values are kept; what passes a limit is counted and not kept."""

    devices: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Messages of further devices are neither stored nor acknowledged: they wait in the devices' spools."""
    series_groups: Annotated[int, Meta(ge=1, le=100_000)] = 500
    """(site, model) pairs with histograms of their own; further ones share the pair (other, other)."""
    emotions: Annotated[int, Meta(ge=1, le=1000)] = 64
    """Labels counted per device and model; further ones are counted as `other`."""
    counters: Annotated[int, Meta(ge=1, le=1000)] = 64
    """Names of counters per device, and names of gauges beside those of the table; further ones are left out."""
    sites: Annotated[int, Meta(ge=1, le=1000)] = 8
    """Sites that one device may have been at; at further ones it is shown as `other`."""
    groups_per_device: Annotated[int, Meta(ge=1, le=100_000)] = 32
    """(site, model) pairs of which one device was the first; further ones of it share the pair (other, other)."""
    label_changes: Annotated[int, Meta(ge=1, le=3600)] = 20
    """New models and changes of the inventory per device and hour, all at once if need be; a further one waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """`[metrics]`: what `/metrics` shows besides the fleet's sums."""

    per_device: tuple[Id, ...] = ()
    """Devices whose latency histograms are shown one by one: 120 series each. `all` names every device."""
    expiring: Annotated[tuple[Path, ...], Meta(max_length=64)] = ()
    """PEM files of certificates and revocation lists on this machine, whose ends are shown by their names."""
    silent_after_s: Annotated[float, Meta(ge=10, le=86400)] = 180.0
    """An online device that has sent nothing for so long is not up."""

"""One device as drift knows it: a frozen record, kept in the database as it is after a block of tracks was judged.

What came since then is not lost with a bridge that is killed: tracks are counted cumulatively, so the next window
brings the difference.
"""

from typing import Final

from msgspec import Struct

from edge_bridge.drift.baseline import Baseline
from edge_bridge.drift.block import GAUGES, Block
from edge_bridge.drift.evidence import Evidence
from edge_bridge.drift.packed import zeros
from edge_bridge.drift.view import Cause, ReferenceKind
from edge_contract.messages import Count, Id, Label, ModelRef, Seconds, TrackCounts

PICTURE: Final = 4
"""Numbers a gauge: weight, what it showed, what is usual at these hours, and how far that scatters."""


class DriftState(Struct, frozen=True, kw_only=True):
    """See the module. A model that is changed begins anew."""

    device: Id
    site: str
    model: ModelRef
    labels: tuple[Label, ...] = ()
    session: Count = 0
    sequence: Count = 0
    counted: TrackCounts | None = None
    """Of the last window of that session."""
    block: Block = Block()
    judged: Seconds = 0.0
    """When the last block ended."""
    baseline: Baseline = Baseline()
    evidence: dict[ReferenceKind, Evidence] = {}
    causes: dict[ReferenceKind, Cause] = {}
    """Of the alarms that hold."""
    recent: bytes = b""
    """[labels, buckets of confidence] tracks, the older ones counting less."""
    recent_sure: float = 0.0
    pictures: bytes = zeros(PICTURE * len(GAUGES))
    """[gauges, `PICTURE`] of lately."""

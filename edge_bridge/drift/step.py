"""One device, one window further: `step(state, window)`. Pure, and cheap where no track was counted.

Rules:
- A window without a new track counts nothing. One of the session that is on, at most as new as the last, is left out;
  windows of sessions that are over are the caller's to leave out.
- Windows follow one another within seconds and counts are cumulative, so one in `every_s` says all.
- The first window of a session counts all it has; one with more tracks than a window of people can have is where
  counting goes on from.
- A block is judged before it is learned, so nothing is compared with itself.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import json
from msgspec.structs import replace

from edge_bridge.drift import baseline as baselines
from edge_bridge.drift import block as blocks
from edge_bridge.drift.baseline import Baseline
from edge_bridge.drift.block import GAUGES, Block
from edge_bridge.drift.cause import Picture, of_change
from edge_bridge.drift.evidence import UNSURE, Evidence, Row, finding, with_block
from edge_bridge.drift.packed import pack, unpack, zeros
from edge_bridge.drift.settings import DriftSettings
from edge_bridge.drift.state import PICTURE, DriftState
from edge_bridge.drift.tracks import BUCKETS, Cells, gained, judged, known_labels
from edge_bridge.drift.unsure import Unsure, unsure
from edge_bridge.drift.view import REFERENCES, Cause, ReferenceKind
from edge_contract.messages import Telemetry, TrackCounts

WIDTH: Final = 1.0
"""Standard errors to each side of a baseline's share that are no change."""
TEST_PICTURES: Final = 0.15
"""By how much a good camera's answers may be less sure than those to test pictures: it is another kind of picture."""
PEERS: Final = 0.05
"""The same among devices of a group, beside what they differ by anyway."""
RECENT: Final = 200.0
"""Tracks after which a track counts half in estimates and in what peers are compared by."""
NOW: Final = 16.0
"""The same in what the pictures are like: they change at once, and an alarm is to name its cause when it begins."""
LONGEST_S: Final = 86400.0


class Peers(NamedTuple):
    """How unsure the other devices of a group are, and by how much they differ."""

    reference: Unsure
    spread: float


class References(NamedTuple):
    """What a device is compared with besides itself; None where there is none."""

    manifest: Unsure | None = None
    peers: Peers | None = None


def step(
    state: DriftState | None, window: Telemetry, references: References, settings: DriftSettings
) -> DriftState | None:
    """The device after a window of telemetry; None for one that has not counted a track yet."""
    tracks = window.tracks
    if tracks is None:
        return state
    if state is None or state.model != tracks.model:
        state = DriftState(device=window.device, model=tracks.model)
    same = state.session == window.session
    if same and (window.sequence <= state.sequence or 0 <= window.end - state.taken < settings.every_s):
        return state
    labels = known_labels(state.labels, tracks)
    tracks = judged(tracks, labels)
    counted_now = json.encode(tracks)
    if same and counted_now == state.counted:
        return replace(state, sequence=window.sequence, taken=window.end)
    before = json.decode(state.counted, type=TrackCounts) if same and state.counted else None
    cells = gained(before, tracks, labels)
    sure = tracks.sure - (before.sure if before is not None else 0)
    state = replace(
        state, session=window.session, sequence=window.sequence, counted=counted_now, labels=labels, taken=window.end
    )
    if not cells:
        return state
    return counted(state, window.end, cells, sure, window.gauges, references, settings)


def counted(
    state: DriftState,
    time: float,
    cells: Cells,
    sure: int,
    gauges: Mapping[str, float],
    references: References,
    settings: DriftSettings,
) -> DriftState:
    """The device with tracks that ended by `time`: gathered, and judged where that fills a block."""
    if not state.block.takes(time):
        state = replace(_judged(state, references, settings), block=Block())
    sure = min(max(sure, 0), len(cells))
    state = replace(state, block=blocks.with_tracks(state.block, time, cells, sure, gauges))
    if len(state.block.cells) >= blocks.TRACKS:
        state = replace(_judged(state, references, settings), block=Block())
    return state


def relearned(state: DriftState) -> DriftState:
    """The device as if it had been put there now: what it is comes first, what it counted stays counted."""
    return DriftState(
        device=state.device, model=state.model, labels=state.labels, session=state.session, sequence=state.sequence,
        counted=state.counted, taken=state.taken,
    )  # fmt: skip


def _judged(state: DriftState, references: References, settings: DriftSettings) -> DriftState:
    block, labels = state.block, state.labels
    own = baselines.grown(state.baseline, len(labels))
    elapsed = min(max(block.end - state.judged, 0.0), LONGEST_S) if state.judged else 0.0
    evidence = dict(state.evidence)
    for kind, rows in _rows(own, block, labels, references).items():
        evidence[kind] = with_block(
            evidence.get(kind, Evidence()),
            rows,
            tracks=len(block.cells),
            time=block.end,
            elapsed=elapsed,
            threshold=len(REFERENCES) / settings.false_alarms_per_month,
            least=settings.least_effect,
        )
    own_pictures = _pictures(state.pictures, own, block)
    causes = _causes(evidence, own_pictures)
    if not own.frozen:
        own = baselines.learned(own, block, settings.commission_tracks, settings.commission_hours)
    elif not causes:
        own = baselines.filled(own, block, settings.commission_tracks)
    recent = unpack(state.recent + zeros(len(labels) * BUCKETS - len(state.recent) // 4))
    kept = 0.5 ** (len(block.cells) / RECENT)
    recent = [each * kept for each in recent]
    for cell in block.cells:
        recent[cell] += 1
    return replace(
        state,
        judged=block.end,
        baseline=own,
        evidence=evidence,
        causes=causes,
        recent=pack(recent),
        recent_sure=state.recent_sure * kept + block.sure,
        pictures=own_pictures,
    )


def _rows(own: Baseline, block: Block, labels: Sequence[str], references: References) -> dict[ReferenceKind, list[Row]]:
    """What each reference expects of the block's shares."""
    tracks = len(block.cells)
    worth = own.confidence.worth(tracks)
    rows: dict[ReferenceKind, list[Row]] = {}
    if references.manifest is not None:
        share = references.manifest.expected(block.cells, labels)
        observed = references.manifest.observed(block.cells)
        # Surer than on test pictures is no fault: faces straight before a camera are easier than those of the web.
        rows["manifest"] = [Row(observed, share, 0.0, share + TEST_PICTURES, worth)]
    if references.peers is not None:
        share = references.peers.reference.expected(block.cells, labels)
        observed, room = references.peers.reference.observed(block.cells), 2 * references.peers.spread + PEERS
        rows["peers"] = [Row(observed, share, share - room, share + room, worth)]
    table = unpack(own.table)
    names = {label: table[at * BUCKETS : (at + 1) * BUCKETS] for at, label in enumerate(labels)}
    if own.frozen and (usual := unsure(names)) is not None:
        share = usual.expected(block.cells, labels)
        room = WIDTH * math.sqrt(share * (1 - share) * (own.scatter / usual.answers + baselines.DAYS))
        found = [Row(usual.observed(block.cells), share, share - room, share + room, worth)]
        shares, errors = baselines.expected(own, block.part)
        worth = own.answers.worth(tracks)
        for count, share, error in zip(block.counts(len(labels)), shares, errors, strict=True):
            found.append(Row(count / tracks, share, share - WIDTH * error, share + WIDTH * error, worth))
        rows["baseline"] = found
    return rows


def _pictures(lately: bytes, own: Baseline, block: Block) -> bytes:
    """What the gauges showed lately, and what is usual at the same hours, weighted alike."""
    rows = unpack(lately)
    kept = 0.5 ** (len(block.cells) / NOW)
    for place, (value, usual) in enumerate(zip(block.shown(), baselines.usual_pictures(own, block.part), strict=True)):
        at = place * PICTURE
        rows[at : at + PICTURE] = [each * kept for each in rows[at : at + PICTURE]]
        if value is not None and usual is not None:
            for offset, each in enumerate((1.0, value, *usual)):
                rows[at + offset] += each * len(block.cells)
    return pack(rows)


def pictures_of(state_pictures: bytes) -> list[Picture | None]:
    """The means of what `DriftState.pictures` adds up, in the order of `GAUGES`."""
    rows = unpack(state_pictures)
    found: list[Picture | None] = []
    for place in range(len(GAUGES)):
        weight, now, usual, spread = rows[place * PICTURE : (place + 1) * PICTURE]
        found.append(Picture(now / weight, usual / weight, spread / weight) if weight >= 1 else None)
    return found


def _causes(evidence: dict[ReferenceKind, Evidence], pictures: bytes) -> dict[ReferenceKind, Cause]:
    causes: dict[ReferenceKind, Cause] = {}
    for kind, each in evidence.items():
        if each.since and (found := finding(each)) is not None:
            causes[kind] = of_change(pictures_of(pictures), answers=found.row != UNSURE)
    return causes

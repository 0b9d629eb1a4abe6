"""What the agent's benchmark found: one dictionary, a table, a picture."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.agent_run import Run

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything of one benchmark."""

    clip_frames: int
    baseline: dict[str, Any] | None
    fer: dict[str, Any] | None
    plain: Run
    """Default settings, in real time."""
    haar: Run | None
    every: Run
    """Every classified face published, in real time."""
    day: Run
    """In real time for minutes."""
    kept: Run
    """For a moment, with what starting touched kept in memory."""
    long: Run
    """As fast as possible for many frames."""
    long_frames: int
    flips: dict[str, float] | None


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    ordered = sorted(values)
    return {
        f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 2) for share in (50, 95, 99)
    }


def rows(found: Measured) -> list[Row]:
    """CPU seconds per 1,000 frames and latency of each contender."""
    peers = {name: peer for name, peer in (("baseline", found.baseline), ("fer", found.fer)) if peer is not None}
    table = [
        {"name": name, "cpu": round(peer["cpu_s_per_1000"], 2), **percentiles(peer["ms"])}
        for name, peer in peers.items()
    ]
    if found.haar is not None:
        summary = found.haar.summary
        table.append(
            {"name": "ours, Haar", "cpu": _cpu(found.haar), **{f"p{q}": summary[f"p{q}_ms"] for q in (50, 95, 99)}}
        )
    published = percentiles([1000 * latency for latency in found.every.latencies])
    return [*table, {"name": "ours", "cpu": _cpu(found.plain), **published}]


def result(found: Measured, table: list[Row]) -> dict[str, Any]:
    """The JSON of the benchmark; memory in megabytes of a million bytes."""
    by_name = {row["name"]: row for row in table}
    ours = by_name["ours"]

    def ratio(peer: str) -> float | None:
        return round(by_name[peer]["cpu"] / ours["cpu"], 1) if peer in by_name else None

    first = found.plain.first_prediction_s
    return {
        "cpu_ratio": ratio("baseline"),
        "cpu_ratio_fer": ratio("fer"),
        "cpu_s_per_1000_frames": {row["name"]: row["cpu"] for row in table},
        **{f"{q}_ms": ours[q] for q in ("p50", "p95", "p99")},
        "published": len(found.every.latencies),
        "frame_ms": {row["name"]: {q: row[q] for q in ("p50", "p95", "p99")} for row in table},
        "agent_whole_ms": {q: found.plain.summary[f"{q}_ms"] for q in ("p50", "p95", "p99")},
        "uncounted_drops": sum(
            found.clip_frames - run.summary["frames"] - run.summary["dropped"] for run in (found.plain, found.every)
        ),
        "dropped": found.plain.summary["dropped"] + found.every.summary["dropped"],
        **found.day.memory.at_end(),
        "rss_mb_start_up_kept": found.kept.memory.at_end()["rss_mb"],
        "rss_growth_mb": found.long.memory.growth_by_frames(found.long_frames),
        "memory_run_frames": found.long.summary["frames"],
        "memory_run_s": found.long.summary["seconds"],
        "clock_run_s": found.day.summary["seconds"],
        "clock_run_frames": found.day.summary["frames"],
        "clock_run_dropped": found.day.summary["dropped"],
        "clock_run_growth_mb": found.day.memory.growth_by_time(found.day.summary["seconds"]),
        "clock_run_cpu_share": round(found.day.cpu_s / found.day.summary["seconds"], 4),
        "first_prediction_s": None if first is None else round(first, 2),
        "flips_per_minute": found.flips,
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "detector": "yunet" if found.haar is not None else "haar",
    }


def show(console: Console, found: Measured, table: list[Row], figures: dict[str, Any]) -> None:
    """The table for people."""
    shown = Table(title=f"{found.clip_frames} frames of 640x480 with one to three faces")
    for heading in ("", "CPU s / 1,000 frames", "p50 ms", "p95 ms", "p99 ms"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for row in table:
        shown.add_row(row["name"], *(f"{row[key]:.2f}" for key in ("cpu", "p50", "p95", "p99")))
    Console().print(shown)
    console.print(
        "Peers: from frame decoded to answer printed. Ours: from frame in memory to received from the broker; with "
        "Haar to handed over."
    )
    console.print(
        f"Resident after {figures['clock_run_s']:.0f} s at 30 frames a second: {figures['rss_mb']} MB, growth "
        f"{figures['clock_run_growth_mb']} MB; growth over {found.long_frames} frames {figures['rss_growth_mb']} MB."
    )


def picture(path: Path, table: list[Row]) -> None:
    """CPU and latency of each, as bars."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 2.6), layout="constrained")
    for axis, key, title in ((axes[0], "cpu", "CPU seconds per 1,000 frames"), (axes[1], "p95", "p95 of a frame, ms")):
        drawn = [row for row in table if row[key] is not None]
        bars = axis.barh([row["name"] for row in drawn], [row[key] for row in drawn], color="#3a6ea5")
        axis.bar_label(bars, fmt="%.3g", padding=3)
        axis.margins(x=0.2)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _cpu(run: Run) -> float:
    return round(run.cpu_s / int(run.summary["frames"]) * 1000, 2)

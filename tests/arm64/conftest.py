"""Counts that the tests of the emulated devices leave behind: printed at the end, and kept as JSON for benchmarks."""

import json
from pathlib import Path
from typing import Any

import pytest

Counts = dict[tuple[str, str], dict[str, Any]]

COUNTS = pytest.StashKey[Counts]()
RESULT = Path(__file__).resolve().parents[2] / "build" / "arm64" / "instructions.json"
STAGES = ("capture", "detect", "preprocess", "invoke", "rest", "whole")


@pytest.fixture(scope="session")
def counts(pytestconfig: pytest.Config) -> Counts:
    """(processor, runtime) → what was counted there; fill it in."""
    return pytestconfig.stash.setdefault(COUNTS, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One table of instructions, in millions, and the same as the last line in JSON."""
    found = config.stash.get(COUNTS, {})
    if not found:
        return
    write = terminalreporter.write_line
    write("")
    write("Arm instructions in millions, counted under emulation: exact counts, and no statement about milliseconds")
    for (processor, runtime), count in sorted(found.items()):
        invocations = "   ".join(f"{model} {number / 1e6:.3f}" for model, number in count["invoke"].items())
        write(f"  {processor}  {runtime:<21s} one inference   {invocations}")
    for (processor, runtime), count in sorted(found.items()):
        if "per_frame" in count:
            stages = "   ".join(f"{stage} {count['per_frame'].get(stage, 0) / 1e6:.2f}" for stage in STAGES)
            write(f"  {processor}  {runtime:<21s} one frame       {stages}")
            runs = "   ".join(f"{stage} {count['per_run'].get(stage, 0) / 1e6:.2f}" for stage in STAGES[:-2])
            times = ", ".join(f"{stage} {count['runs'].get(stage, 0)}" for stage in STAGES[:-2])
            write(f"  {'':<10s}  {'':<21s} one run of it   {runs}   (runs in {count['frames']} frames: {times})")
        if "agent_per_frame" in count:
            agent = count["agent_per_frame"] / 1e6
            write(f"  {'':<10s}  {'':<21s} whole agent     {agent:.2f} a frame, with spool, MQTT and a window a second")
    result = json.dumps({f"{processor}/{runtime}": count for (processor, runtime), count in sorted(found.items())})
    RESULT.write_text(result + "\n")
    write(result)

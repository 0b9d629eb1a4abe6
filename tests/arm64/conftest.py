"""Counts that the tests of the emulated devices leave behind: printed at the end, and kept as JSON for benchmarks."""

import fcntl
import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.arm64.processors import CORTEX_A72, CORTEX_A76
from tests.arm64.emulated import BUILD, RUNTIMES, EmulatedDevice

Counts = dict[tuple[str, str], dict[str, Any]]

COUNTS = pytest.StashKey[Counts]()
RESULT = BUILD / "instructions.json"
STAGES = ("capture", "detect", "preprocess", "invoke", "rest", "whole")


@pytest.fixture(scope="session")
def counts(pytestconfig: pytest.Config) -> Counts:
    """(processor, runtime) → what was counted there; fill it in."""
    return pytestconfig.stash.setdefault(COUNTS, {})


@pytest.fixture(
    params=[(runtime, processor) for processor in (CORTEX_A72, CORTEX_A76) for runtime in RUNTIMES],
    ids=lambda which: f"{which[1].name}-{which[0]}",
)
def device(request: pytest.FixtureRequest) -> Iterator[EmulatedDevice]:
    """One processor with one runtime, for this test alone; skips, saying why, where it cannot be made."""
    runtime, processor = request.param
    if reason := EmulatedDevice.missing(runtime):
        pytest.skip(reason)
    with (BUILD / f"device-{runtime}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the suite may be at work in it
        yield EmulatedDevice(runtime, processor)


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

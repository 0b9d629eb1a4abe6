"""`python -m demo`: the main job on one machine, with real parts.

Synthetic faces → training → int8 → gate → package → registry; then broker, bridge and agent; then one shipped model is
pushed while the agent looks at a face, two more agents join, and the next model is rolled out to all three: in shadow
beside the one that answers, then, if the verdict is good, in its place. The last line printed is JSON with what was
measured.
"""

import argparse
import json
import sys
from pathlib import Path

from demo.fleet import Fleet, measured
from demo.pipeline import Pipeline
from demo.processes import end_as_by_ctrl_c
from demo.steps import Steps
from edge_contract.command_end import command
from edge_contract.errors import ExitCode

FOLDER = Path(".demo")
MODELS = Path("models")


@command("edgewise")
def main() -> int:
    """Run it all; return the exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="The main job, end to end, on this machine.")
    parser.add_argument("--seconds", type=float, help="end by itself after watching for so long; else until Ctrl-C")
    parser.add_argument("--camera", help="a camera's index, path or URL instead of the generated clip")
    given = parser.parse_args()
    end_as_by_ctrl_c()
    steps = Steps()
    Pipeline(FOLDER, steps).train_and_register()
    with Fleet(FOLDER, steps, camera=given.camera) as fleet:
        fleet.start()
        before = fleet.push(MODELS / "emotion-1.ewm")
        fleet.watch(given.seconds / 2 if given.seconds else 15.0)
        fleet.join()
        rollout = fleet.roll_out(MODELS / "emotion-5.ewm")
        fleet.watch(given.seconds / 2 if given.seconds else None)
        result = measured(fleet, before, rollout)
    sys.stdout.write(json.dumps(result) + "\n")
    return int(ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m deploy.grafana`: write the three dashboards as the JSON that Grafana is provisioned with."""

import json
import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import device, fleet, rollout

FOLDER: Final = Path(__file__).resolve().parent / "dashboards"


def written() -> dict[Path, str]:
    """Each dashboard's file and its text."""
    boards = {"fleet": fleet.dashboard(), "device": device.dashboard(), "rollout": rollout.dashboard()}
    return {
        FOLDER / f"{name}.json": json.dumps(each, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
        for name, each in boards.items()
    }


def main() -> int:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in written().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Labels for the road's crops, from the record of who stood before which camera when: so they are true.

It stands in for the page `/label` alone; answers go in and labels come out by the commands that a team would use.
"""

import csv
import time
from pathlib import Path
from typing import Final

from demo.road.room import HALL, Room
from edge_bridge.labels import reading
from edge_bridge.labels.database import LabelDatabase

ANNOTATOR: Final = "who was there"


def label(room: Room, since: float, wanted: int) -> int:
    """Label what the hall's cameras sent since then (seconds since 1970) and export the folder, once it is enough.

    Returns:
        How many were labelled; 0 where fewer than `wanted` are there yet.
    """
    file = room.folder / "labels.db"
    if not file.exists():
        return 0
    database = LabelDatabase(file)
    try:
        with database.reading() as connection:
            facts = reading.every_crop(connection).facts
    finally:
        database.close()
    known = [
        (each.name, truth)
        for each in facts
        if each.device in HALL and each.taken >= since and (truth := room.cameras.truth(each.device, each.taken))
    ]
    if len(known) < wanted:
        return 0
    answers = room.folder / "answers.csv"
    _write(answers, known)
    room.labels("import", "--csv", str(answers))
    room.labels("export", "--folder", str(room.field))
    return len(known)


def _write(file: Path, known: list[tuple[str, str]]) -> None:
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("crop", "annotator", "kind", "label", "time"))
        writer.writerows((name, ANNOTATOR, "label", truth, repr(time.time())) for name, truth in known)

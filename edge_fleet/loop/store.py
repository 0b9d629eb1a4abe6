"""`loop.db`: the loops of a repository, one a model, and the alerts that fire.

A transition is one transaction: it reads the state, steps, writes it, and appends to the ledger. So it does not matter
who steps, the loop's process or a person's command: each event meets the state that is there, once, in order. Alerts
are kept before their webhook is answered: a kill loses none.

What is damaged is put aside (`edge_fleet.database`). Of a whole database the loop then begins anew: what runs on
devices, and what rollouts do, stands elsewhere. A training that began before is not known any more, and its folder is
left.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from edge_fleet.database import UNREADABLE, Database
from edge_fleet.loop import machine
from edge_fleet.loop.alerts import ALERTS, Alert
from edge_fleet.loop.events import Entry, Event
from edge_fleet.loop.state import OPEN, State

FILE: Final = "loop.db"
"""In the release side's folder."""
FORGET_S: Final = 7 * 86400.0
"""An alert that was not repeated for so long has ended, whatever became of the message that said so."""

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS loop (model TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS alert (
    model TEXT NOT NULL, fingerprint TEXT NOT NULL, alert BLOB NOT NULL, received REAL NOT NULL, seen REAL NOT NULL,
    by_hand INTEGER NOT NULL, PRIMARY KEY (model, fingerprint)
) STRICT;
CREATE TABLE IF NOT EXISTS ledger (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, model TEXT NOT NULL, run TEXT NOT NULL,
    who TEXT NOT NULL, action TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
"""


class Line(NamedTuple):
    """One line of the ledger."""

    time: float
    model: str
    run: str
    who: str
    action: str
    text: str


class Firing(NamedTuple):
    """An alert that fires."""

    alert: Alert
    received: float
    """When it was told of first."""
    by_hand: bool


class LoopStore(Database):
    """The database."""

    def __init__(self, directory: Path) -> None:
        """Open it in the release side's folder, or begin it.

        Raises:
            EdgewiseError: a newer version wrote it, or the disk refuses.
        """
        super().__init__(directory / FILE, _SCHEMA, _VERSION)

    def state(self, model: str) -> State:
        """A model's loop as it stands; a new one where there is none."""
        row = self._row("SELECT state FROM loop WHERE model = ?", model)
        if row is None:
            return State(model=model)
        try:
            found = msgspec.json.decode(row[0], type=State)
            if found.model != model:
                raise ValueError(f"it is of {found.model}")
            if found.current is not None and found.current.phase not in OPEN:
                raise ValueError(f"its run is {found.current.phase}")
        except UNREADABLE as error:
            self._put_aside(f"loop/{model}", row[0], str(error))
            self._run("DELETE FROM loop WHERE model = ?", model)
            return State(model=model)
        return found

    def transition(self, model: str, event: Event, now: float) -> tuple[State, tuple[Entry, ...]]:
        """Step a model's loop; its state afterwards, and what was written into the ledger."""
        with self.transaction():
            state = self.state(model)
            after, entries = machine.step(state, event)
            if after != state:
                self._run("INSERT OR REPLACE INTO loop VALUES (?, ?)", model, msgspec.json.encode(after))
            for entry in entries:
                self._append(model, entry, now)
            return after, entries

    def take(
        self, model: str, firing: Iterable[Alert], resolved: Iterable[Alert], now: float, *, by_hand: bool = False
    ) -> int:
        """Keep which alerts fire; how many there was no room for."""
        with self.transaction():
            for alert in resolved:
                self._run("DELETE FROM alert WHERE model = ? AND fingerprint = ?", model, alert.fingerprint)
            ((count,),) = self._rows("SELECT count(*) FROM alert WHERE model = ?", model)
            left_out = 0
            for alert in firing:
                data = msgspec.json.encode(alert)
                known = self._run(
                    "UPDATE alert SET alert = ?, seen = ? WHERE model = ? AND fingerprint = ?",
                    data, now, model, alert.fingerprint,
                )  # fmt: skip
                if known:
                    continue
                if count >= ALERTS:
                    left_out += 1
                    continue
                count += 1
                self._run(
                    "INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?)", model, alert.fingerprint, data, now, now, by_hand
                )
            return left_out

    def firing(self, model: str, now: float) -> list[Firing]:
        """Alerts that fire, the first received first; what was not repeated for long is forgotten."""
        with self.transaction():
            self._run("DELETE FROM alert WHERE model = ? AND seen < ?", model, now - FORGET_S)
            rows = self._rows(
                "SELECT fingerprint, alert, received, by_hand FROM alert WHERE model = ? "
                "ORDER BY received, fingerprint",
                model,
            )
            found = []
            for fingerprint, data, received, by_hand in rows:
                try:
                    found.append(Firing(msgspec.json.decode(data, type=Alert), received, bool(by_hand)))
                except UNREADABLE as error:
                    self._put_aside(f"alert/{model}/{fingerprint}", data, str(error))
                    self._run("DELETE FROM alert WHERE model = ? AND fingerprint = ?", model, fingerprint)
            return found

    def forget(self, model: str, fingerprints: Iterable[str]) -> None:
        """These alerts fire no more."""
        with self.transaction():
            for each in fingerprints:
                self._run("DELETE FROM alert WHERE model = ? AND fingerprint = ?", model, each)

    def ledger(self, model: str, run: str = "") -> list[Line]:
        """A model's ledger, or that of one run, oldest first."""
        found = self._rows(
            "SELECT time, model, run, who, action, text FROM ledger WHERE model = ? AND ? IN (run, '') "
            "ORDER BY sequence",
            model, run,
        )  # fmt: skip
        return [Line(*row) for row in found]

    def _append(self, model: str, entry: Entry, now: float) -> None:
        self._run(
            "INSERT INTO ledger (time, model, run, who, action, text) VALUES (?, ?, ?, ?, ?, ?)",
            now, model, entry.run, entry.by, entry.action, entry.text,
        )  # fmt: skip

"""`rollouts.db`: every rollout of a repository.

A transition is one transaction: it reads the state, steps, writes it, and appends to the ledger. So it does not matter
who steps first, the controller or a person's command: each event meets the state that is there, once, in order.

What is damaged is put aside (`edge_fleet.database`). What devices run stands in signed desired states and not here:
none of them changes by that.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from edge_contract.errors import UsageError
from edge_fleet.database import UNREADABLE, Database
from edge_fleet.rollout import machine
from edge_fleet.rollout.events import Entry, Event
from edge_fleet.rollout.machine import State

FILE: Final = "rollouts.db"
"""In the release side's folder."""

_T = TypeVar("_T")
Part = Literal["evidence", "sighting"]
"""What is kept of a device: what its telemetry showed, and when it was seen how far."""

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rollout (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
    running INTEGER NOT NULL, open INTEGER NOT NULL, state BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_a_group ON rollout (scope) WHERE running = 1;
CREATE TABLE IF NOT EXISTS ledger (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, rollout TEXT NOT NULL, who TEXT NOT NULL,
    action TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS device (
    rollout TEXT NOT NULL, device TEXT NOT NULL, part TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (rollout, device, part)
) STRICT;
CREATE TABLE IF NOT EXISTS followed (
    model TEXT NOT NULL, scope TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (model, scope)
) STRICT;
"""


class Line(NamedTuple):
    """One line of the ledger."""

    time: float
    rollout: str
    who: str
    action: str
    text: str


class Followed(NamedTuple):
    """The champion of a model that was last dealt with for a group."""

    version: str
    """The registry's own number."""
    digest: str
    time: float


class RolloutStore(Database):
    """The database."""

    def __init__(self, directory: Path) -> None:
        """Open it in the release side's folder, or begin it.

        Raises:
            EdgewiseError: a newer version wrote it, or the disk refuses.
        """
        super().__init__(directory / FILE, _SCHEMA, _VERSION)

    def begin(self, group: str, make: Callable[[str], State], now: float) -> State:
        """Keep a new rollout; `make` gives its first state for its id.

        Raises:
            UsageError: one runs in this group.
        """
        with self.transaction():
            if (running := self.running(group)) is not None:
                raise UsageError(
                    f"the rollout {running.id} of {running.release.name} {running.release.release} runs in group "
                    f"{group} already",
                    remedy=f"wait for it (`edgewise rollout status {running.id}`), abort it, or give --supersede",
                )
            row = self._row("SELECT max(sequence) FROM rollout")
            gone = self._row("SELECT seq FROM sqlite_sequence WHERE name = 'rollout'")
            sequence = max((row and row[0]) or 0, gone[0] if gone else 0) + 1
            state = make(f"{group[:48]}-{sequence}")
            self._run(
                "INSERT INTO rollout (sequence, id, scope, running, open, state) VALUES (?, ?, ?, 1, 1, ?)",
                sequence, state.id, group, msgspec.json.encode(state),
            )  # fmt: skip
            waves = ", ".join(str(stage) for stage in state.stages)
            text = (
                f"{state.release.name} {state.release.release} in place of {state.rest.name} {state.rest.release} for "
                f"group {group}: {waves}."
            )
            self._append(state.id, Entry("start", text, state.by), now)
            return state

    def transition(self, rollout: str, event: Event, now: float) -> State | None:
        """Step a rollout; its state afterwards, or None where there is none with this id (or it is damaged)."""
        with self.transaction():
            state = self.get(rollout)
            if state is None:
                return None
            after, entries = machine.step(state, event)
            if after != state:
                running, open_ = after.phase not in machine.ENDED, machine.is_open(after)
                self._run(
                    "UPDATE rollout SET running = ?, open = ?, state = ? WHERE id = ?",
                    running, open_, msgspec.json.encode(after), rollout,
                )  # fmt: skip
            for entry in entries:
                self._append(rollout, entry, now)
            return after

    def get(self, rollout: str) -> State | None:
        """One rollout's state."""
        return next(iter(self._states("id = ?", rollout)), None)

    def running(self, group: str) -> State | None:
        """The rollout that runs in a group."""
        return next(iter(self._states("scope = ? AND running = 1", group)), None)

    def open(self) -> list[State]:
        """Those for which something is to be done, oldest first."""
        return self._states("open = 1")

    def all(self) -> list[State]:
        """Every rollout, oldest first."""
        return self._states("1 = 1")

    def ledger(self, rollout: str | None = None) -> list[Line]:
        """The ledger of one rollout or of all, oldest first."""
        found = self._rows(
            "SELECT time, rollout, who, action, text FROM ledger WHERE ? IN (rollout, '') ORDER BY sequence",
            rollout or "",
        )
        return [Line(*row) for row in found]

    def note(self, rollout: str, entry: Entry, now: float) -> None:
        """Append to the ledger what changes no state."""
        with self.transaction():
            self._append(rollout, entry, now)

    def devices(self, rollout: str, part: Part, read: Callable[[bytes], _T]) -> dict[str, _T]:
        """What is kept of the devices of a rollout, by device; a row that `read` refuses is as if it had never been."""
        found = {}
        for device, value in self._rows(
            "SELECT device, value FROM device WHERE rollout = ? AND part = ?", rollout, part
        ):
            try:
                found[device] = read(value)
            except UNREADABLE as error:
                self._put_aside(f"{rollout}/{device}/{part}", value, str(error))
                self._run("DELETE FROM device WHERE rollout = ? AND device = ? AND part = ?", rollout, device, part)
        return found

    def save_devices(self, rollout: str, part: Part, values: Mapping[str, bytes]) -> None:
        """Keep what changed, by device."""
        if not values:
            return
        with self.transaction():
            for device, value in values.items():
                self._run("INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?)", rollout, device, part, value)

    def followed(self, model: str, group: str) -> Followed | None:
        """The champion of a model that was last dealt with for a group."""
        row = self._row("SELECT version, digest, time FROM followed WHERE model = ? AND scope = ?", model, group)
        return None if row is None else Followed(*row)

    def follow(self, model: str, group: str, followed: Followed) -> None:
        """Keep which champion was dealt with."""
        self._run("INSERT OR REPLACE INTO followed VALUES (?, ?, ?, ?, ?)", model, group, *followed)

    def _states(self, where: str, *values: object) -> list[State]:
        query = f"SELECT id, state FROM rollout WHERE {where} ORDER BY sequence"  # noqa: S608  # our own words
        found = []
        for rollout, value in self._rows(query, *values):
            try:
                state = msgspec.json.decode(value, type=State)
                if state.id != rollout:
                    raise ValueError(f"it is of {state.id}")
                found.append(state)
            except UNREADABLE as error:
                self._put_aside(rollout, value, str(error))
                self._run("DELETE FROM rollout WHERE id = ?", rollout)
        return found

    def _append(self, rollout: str, entry: Entry, now: float) -> None:
        self._run(
            "INSERT INTO ledger (time, rollout, who, action, text) VALUES (?, ?, ?, ?, ?)",
            now, rollout, entry.by, entry.action, entry.text,
        )  # fmt: skip

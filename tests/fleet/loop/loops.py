"""Loops for the tests of this folder."""

from dataclasses import dataclass, field

from edge_contract.messages import ModelRef
from edge_fleet.loop.alerts import Alert
from edge_fleet.loop.decide import Labels
from edge_fleet.loop.events import Accepted, Checked, Entry, Event, Looked, Terms, Trained
from edge_fleet.loop.machine import step
from edge_fleet.loop.state import Run, State
from tests.fleet.loop.test_diagnose import alert

NEW = ModelRef(name="emotion", release=6, digest="6" * 64)
HOUR = 3600.0
DAY = 24 * HOUR
TERMS = Terms(trainings_per_week=2, cooldown=DAY, lasting=HOUR)
LESS_RIGHT = Labels(counted=200, wanted=200, low=0.5, high=0.6, expected=0.7)
ANSWERS = alert(cause="answers")


@dataclass
class Loop:
    """A loop that is stepped by hand."""

    state: State = field(default_factory=lambda: State(model="emotion"))
    now: float = 10 * DAY
    entries: list[Entry] = field(default_factory=list)

    def step(self, event: Event) -> tuple[Entry, ...]:
        self.state, entries = step(self.state, event)
        self.entries += entries
        return entries

    def look(self, *alerts: Alert, labels: Labels = LESS_RIGHT, terms: Terms = TERMS) -> tuple[Entry, ...]:
        known = {each.model for each in alerts}
        return self.step(Looked(alerts, dict.fromkeys(known, labels), terms, self.now))

    def accept(self, device: str = "cam-1", cause: str = "dark") -> None:
        self.step(Accepted(device, cause, "maria", self.now))

    def to_rolling_out(self) -> None:
        """From a training that is under way."""
        self.step(Trained(self.run.id, "/made.ewm", NEW, {}, self.now))
        self.step(Checked(self.run.id, self.now))

    @property
    def run(self) -> Run:
        found = self.state.current
        assert found is not None
        return found

    @property
    def last(self) -> Run:
        return self.state.recent[0]

    def phases(self) -> list[str]:
        return [each.action for each in self.entries]

"""What of an update's way is worth a message: each state, and of a download's progress what somebody can follow."""

from edge_agent.update.events import Target
from edge_agent.update.machine import Phase, State
from edge_agent.update.report import UpdateReport
from edge_contract.messages import Reported
from tests.agent.update.update_bench import tiny


class Said:
    """A report with a clock of its own, and what it said."""

    def __init__(self) -> None:
        self.now, self.said = 100.0, list[Reported]()
        self._report = UpdateReport("cam", 1, self.said.append, lambda: self.now)

    def at(self, now: float, phase: Phase, downloaded: float = 0.0) -> None:
        self.now = now
        state = State(phase=phase, target=Target(model=tiny(1).manifest.ref, scope="device/cam", revision=1))
        self._report.publish(state, active=None, downloaded=downloaded, revision=1, since=100.0, notices=())

    @property
    def progress(self) -> list[float]:
        return [reported.progress for reported in self.said]


def test_a_file_that_comes_in_a_moment_is_no_dozen_messages() -> None:
    said = Said()
    for number in range(14):
        said.at(100.0 + number * 0.01, Phase.DOWNLOADING, number / 14)
    assert said.progress == [0.0]
    said.at(100.2, Phase.VERIFYING)
    assert said.progress == [0.0, 1.0]


def test_progress_over_minutes_is_told_in_steps_of_five_hundredths() -> None:
    said = Said()
    for second in range(200):
        said.at(100.0 + second, Phase.DOWNLOADING, second / 200)
    assert len(said.progress) == 20
    assert said.progress == sorted(said.progress)


def test_progress_that_came_too_soon_for_a_message_is_told_a_second_later() -> None:
    said = Said()
    said.at(100.0, Phase.DOWNLOADING, 0.1)
    said.at(100.5, Phase.DOWNLOADING, 0.5)
    said.at(101.1, Phase.DOWNLOADING, 0.5)
    assert said.progress == [0.1, 0.5]


def test_a_clock_that_was_set_back_holds_no_progress_back() -> None:
    said = Said()
    said.at(100.0, Phase.DOWNLOADING, 0.1)
    said.at(50.0, Phase.DOWNLOADING, 0.5)
    assert said.progress == [0.1, 0.5]

"""When a crop may be kept: the record, the trusted time, and what ends it for good."""

from edge_agent.sampling.consent import Permission, mark
from edge_agent.sampling.settings import NO_CONSENT, ConsentSettings
from edge_contract.crop import Consent

CONSENT = Consent(by="Ada", given=100.0, until=1000.0, purpose="x")
AS_READ = ConsentSettings(by="Ada", given=100.0, until=1000.0, purpose="x")


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_it_is_in_force_from_its_first_moment_to_before_its_last() -> None:
    clock = Clock(99.0)
    permission = Permission(CONSENT, clock)
    assert (permission.standing(), permission.take()) == ("not yet", None)
    clock.now = 100.0
    assert (permission.standing(), permission.take()) == ("in force", 100.0)
    clock.now = 1000.0
    assert (permission.standing(), permission.take()) == ("over", None)
    assert permission.over == "it has expired"


def test_over_stays_over_when_the_clock_is_set_back() -> None:
    clock = Clock(1000.0)
    permission = Permission(CONSENT, clock)
    assert permission.over
    clock.now = 500.0
    assert (permission.standing(), permission.take()) == ("over", None)


def test_a_withdrawal_and_a_shorter_end_count_at_once() -> None:
    permission = Permission(CONSENT, lambda: 500.0)
    permission.reloaded(ConsentSettings(by="Ada", given=100.0, until=500.0, purpose="x"))
    assert permission.over == "it has expired"
    permission = Permission(CONSENT, lambda: 500.0)
    permission.reloaded(NO_CONSENT)
    assert permission.over == "it was withdrawn"
    permission.reloaded(AS_READ)
    assert permission.standing() == "over"


def test_while_the_settings_cannot_be_read_nothing_is_kept_and_nothing_is_deleted() -> None:
    permission = Permission(CONSENT, lambda: 500.0)
    permission.reloaded(None)
    assert (permission.standing(), permission.take(), permission.over) == ("unknown", None, "")
    permission.reloaded(AS_READ)
    assert permission.take() == 500.0


def test_a_later_end_is_the_same_consent_and_anything_else_is_another() -> None:
    first = mark(CONSENT)
    assert mark(Consent(by="Ada", given=100.0, until=2000.0, purpose="x")) == first
    others = [
        Consent(by="Bob", given=100.0, until=1000.0, purpose="x"),
        Consent(by="Ada", given=101.0, until=1000.0, purpose="x"),
        Consent(by="Ada", given=100.0, until=1000.0, purpose="y"),
    ]
    assert first not in map(mark, others)

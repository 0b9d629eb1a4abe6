"""The sending window, as a table of what may be sent when."""

from edge_agent.telemetry.send_window import LONGEST_RESEND_S, PROBE, Window
from edge_agent.telemetry.token_bucket import TokenBucket

EMPTY = Window(size=3, resend_s=10.0)


def test_no_more_than_the_window_is_on_the_wire() -> None:
    window = EMPTY.sent(1, 0.0).sent(2, 0.1)
    assert window.room == 1
    assert window.sent(3, 0.2).room == 0


def test_an_acknowledgement_makes_room_and_begins_the_wait_anew() -> None:
    window = EMPTY.sent(1, 0.0).sent(2, 0.0).sent(3, 0.0).acknowledged(1, 9.0)
    assert window.room == 2
    assert not window.overdue(18.9)
    assert window.overdue(19.0)


def test_an_unanswered_window_is_overdue_and_begins_again_at_the_start() -> None:
    window = EMPTY.sent(5, 100.0).sent(6, 109.0)
    assert not window.overdue(109.9)
    assert window.overdue(110.0)
    again = window.missed()
    assert (again.sent_to, again.room) == (0, 3)


def test_while_nobody_answers_less_is_sent_and_less_often_until_somebody_does() -> None:
    window = Window(size=100, resend_s=20.0)
    waits, rooms = [], []
    for _ in range(6):
        waits.append(window.wait)
        rooms.append(window.room)
        window = window.sent(1, 0.0).missed()
    assert waits == [20.0, 40.0, 80.0, LONGEST_RESEND_S, LONGEST_RESEND_S, LONGEST_RESEND_S]
    assert rooms == [100, PROBE, PROBE, PROBE, PROBE, PROBE]
    answered = window.sent(1, 0.0).acknowledged(0, 1.0)
    assert (answered.wait, answered.room) == (20.0, 100)
    assert window.restarted().room == 100


def test_a_resend_time_longer_than_the_longest_wait_is_kept() -> None:
    assert Window(size=1, resend_s=500.0, misses=3).wait == 500.0


def test_nothing_on_the_wire_is_never_overdue() -> None:
    assert not EMPTY.overdue(1e9)
    assert EMPTY.sent(1, 0.0).acknowledged(0, 1.0).overdue(1e9) is False


def test_the_next_check_is_when_the_wait_ends() -> None:
    assert EMPTY.sent(1, 5.0).next_check(7.0) == 8.0
    assert EMPTY.sent(1, 5.0).next_check(99.0) == 0.0


def test_the_rate_cap_grants_a_burst_then_the_average_and_rests_to_no_more_than_a_burst() -> None:
    bucket = TokenBucket.full(per_minute=120, now=0.0)
    granted = 0
    for _ in range(100):
        bucket, ok = bucket.take(0.0)
        granted += ok
    assert granted == 30
    for second in range(1, 11):
        for _ in range(5):
            bucket, ok = bucket.take(float(second))
            granted += ok
    assert granted == 30 + 10 * 2
    rested = 0
    for _ in range(100):
        bucket, ok = bucket.take(1e6)
        rested += ok
    assert rested == 30

"""How many crops are on the wire: a bounded number, each until it is answered, and few while nobody answers."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sampling.window import LONGEST_RESEND_S, PROBE, RESEND_S, SIZE, Window
from edge_contract.crop import CropName


def sent(count: int, now: float = 0.0, window: Window | None = None) -> Window:
    window = window or Window()
    for number in range(count):
        window = window.one_more(CropName(1, number + 1), now)
    return window


def test_an_answer_makes_room_whichever_it_is_for_and_one_for_nothing_sent_makes_none() -> None:
    window = sent(SIZE)
    assert window.room == 0
    assert window.answered(CropName(1, 5), 1.0).room == 1
    assert window.answered(CropName(2, 5), 1.0).room == 0


def test_without_an_answer_all_is_sent_again_a_few_at_a_time_and_ever_more_seldom() -> None:
    window, waits = sent(SIZE), list[float]()
    for _ in range(8):
        waits.append(window.wait)
        assert window.overdue(window.wait)
        assert not window.overdue(window.wait - 0.1)
        window = sent(PROBE, window=window.missed())
        assert window.room == 0
    assert waits[:3] == [RESEND_S, 2 * RESEND_S, 4 * RESEND_S]
    assert max(waits) == LONGEST_RESEND_S
    assert window.answered(CropName(1, 1), 1.0).room == SIZE - PROBE + 1


@given(st.lists(st.tuples(st.sampled_from(["send", "answer", "miss", "restart"]), st.integers(1, 12))))
def test_never_more_than_the_window_is_on_the_wire(events: list[tuple[str, int]]) -> None:
    window = Window()
    for kind, number in events:
        name = CropName(1, number)
        match kind:
            case "send" if window.room and name not in window.sent:
                window = window.one_more(name, 0.0)
            case "answer":
                window = window.answered(name, 0.0)
            case "miss":
                window = window.missed()
            case "restart":
                window = window.restarted()
        assert len(window.sent) <= SIZE

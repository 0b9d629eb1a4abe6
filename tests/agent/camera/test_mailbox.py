"""One frame of room: the newest wins and every loss is counted, or each frame is handed over."""

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.mailbox import Frame, Mailbox


def frame(number: int) -> Frame:
    return Frame(np.zeros((1, 1), np.uint8), float(number), 0.0, float(number), gray=True)


@given(st.lists(st.booleans(), max_size=50))
def test_every_frame_put_is_taken_or_counted(puts: list[bool]) -> None:
    """True puts the next frame, False takes one."""
    mailbox, put, seen = Mailbox(), 0, 0
    for is_put in [*puts, False]:
        if is_put:
            mailbox.put(frame(put))
            put += 1
        elif (taken := mailbox.take(0.0)) is not None:
            seen += 1 + taken.dropped_before
            assert taken.frame.captured == put - 1, "the newest wins"
    assert seen == put


def test_frames_handed_over_are_all_taken_in_order() -> None:
    mailbox, given_up = Mailbox(), threading.Event()
    giver = threading.Thread(target=lambda: [mailbox.hand_over(frame(number), given_up) for number in range(200)])
    giver.start()
    taken = [mailbox.take(5.0) for _ in range(200)]
    giver.join()
    assert [(one.frame.captured, one.dropped_before) for one in taken if one] == [(n, 0) for n in range(200)]


def test_a_giver_that_is_told_to_give_up_leaves_nothing_more() -> None:
    mailbox, given_up = Mailbox(), threading.Event()
    mailbox.hand_over(frame(0), given_up)
    giver = threading.Thread(target=mailbox.hand_over, args=(frame(1), given_up))
    giver.start()
    given_up.set()
    giver.join()
    assert mailbox.take(0.0) is not None
    assert mailbox.take(0.0) is None


def test_an_empty_mailbox_gives_nothing_after_its_wait() -> None:
    assert Mailbox().take(0.01) is None

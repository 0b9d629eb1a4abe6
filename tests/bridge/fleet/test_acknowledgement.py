"""What may be acknowledged: never a message that may still come and is not stored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_bridge.fleet.acknowledgement import AHEAD, Progress, advance
from edge_contract.messages import Key


def _after(*messages: tuple[Key, Key]) -> Progress:
    progress = Progress()
    for key, oldest in messages:
        progress = advance(progress, key, oldest)
    return progress


@pytest.mark.parametrize(
    ("what", "messages", "mark"),
    [
        ("the first message says where the spool begins", [((5, 1), (5, 1))], (5, 1)),
        ("a bridge that is new begins at the oldest", [((5, 40), (5, 40))], (5, 40)),
        ("messages in order", [((5, 1), (5, 1)), ((5, 2), (5, 1)), ((5, 3), (5, 1))], (5, 3)),
        ("a gap holds the mark", [((5, 1), (5, 1)), ((5, 3), (5, 1)), ((5, 4), (5, 1))], (5, 1)),
        ("a gap that is filled lets it go on", [((5, 1), (5, 1)), ((5, 3), (5, 1)), ((5, 2), (5, 1))], (5, 3)),
        ("a gap the device gave up", [((5, 1), (5, 1)), ((5, 3), (5, 1)), ((5, 4), (5, 3))], (5, 4)),
        ("the sequence goes on over sessions", [((5, 9), (5, 9)), ((6, 10), (5, 9))], (6, 10)),
        ("a gap over sessions", [((5, 9), (5, 9)), ((6, 11), (5, 9))], (5, 9)),
        ("a spool that begins anew", [((5, 9), (5, 9)), ((6, 1), (6, 1))], (6, 1)),
        ("a new spool seen late", [((5, 9), (5, 9)), ((6, 10), (6, 1))], (6, 0)),
        ("a repeated message", [((5, 1), (5, 1)), ((5, 2), (5, 1)), ((5, 1), (5, 1))], (5, 2)),
        ("a repeated message of the last session", [((5, 1), (5, 1)), ((6, 2), (5, 1)), ((5, 1), (5, 1))], (6, 2)),
        ("a wiped device whose clock is behind", [((900, 50), (900, 50)), ((3, 2), (3, 1))], (3, 0)),
        (
            "a device that lost its sessions after its clock was ahead, and kept its spool",
            [((900, 50), (900, 50)), ((3, 52), (900, 51)), ((900, 51), (900, 51)), ((3, 52), (3, 52))],
            (3, 52),
        ),
        ("and goes on", [((900, 50), (900, 50)), ((3, 51), (3, 51)), ((3, 52), (3, 51)), ((3, 53), (3, 52))], (3, 53)),
        ("and then all of it", [((900, 50), (900, 50)), ((3, 2), (3, 1)), ((3, 1), (3, 1))], (3, 2)),
    ],
)
def test_mark(what: str, messages: list[tuple[Key, Key]], mark: Key) -> None:
    assert _after(*messages).mark == mark, what


def test_what_lies_past_a_gap_is_bounded() -> None:
    progress = _after(((1, 1), (1, 1)))
    for sequence in range(3, AHEAD + 100):
        progress = advance(progress, (1, sequence), (1, 1))
    assert len(progress.ahead) == AHEAD
    assert advance(progress, (1, 2), (1, 1)).mark == (1, AHEAD + 2)


@settings(max_examples=200)
@given(data=st.data())
def test_a_device_that_deletes_what_is_acknowledged_loses_nothing(data: st.DataObject) -> None:
    """A device sends, repeats, restarts, is wiped and drops its oldest; messages are lost, acknowledgements late."""
    held: dict[int, int] = {}  # sequence → session, what the device still holds
    stored: set[Key] = set()
    progress, session, sequence, late = Progress(), data.draw(st.integers(50, 60)), 0, Progress().mark
    for step in data.draw(st.lists(st.sampled_from("nnnsssslLrdw"), max_size=60)):
        match step:
            case "n":
                sequence += 1
                held[sequence] = session
            case "s" | "l" | "L" if held:
                each = data.draw(st.sampled_from(sorted(held)))
                first = min(held)
                if step == "s":
                    key = (held[each], each)
                    progress = advance(progress, key, (held[first], first))
                    stored.add(key)
                    late = progress.mark
                # An acknowledgement reaches the device; "L": one that was under way stays under way.
                if step != "L":
                    for gone in [n for n, s in held.items() if (s, n) <= late]:
                        assert (held[gone], gone) in stored
                        del held[gone]
            case "r":
                session += 1
            case "d" if held:
                del held[min(held)]  # a full spool lets its oldest go
            case "w":
                held, sequence, late = {}, 0, (0, 0)
                session = data.draw(st.integers(1, 49)) if session > 60 else session + 1

"""When a camera is tried, abandoned and tried again: the decisions, by tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera import reconnect
from edge_agent.camera.reconnect import (
    Abandon,
    Arrived,
    Command,
    Connect,
    Ended,
    Event,
    Finished,
    Lost,
    Open,
    State,
    Tick,
    Waiting,
)
from edge_agent.camera.settings import SourceSettings

SETTINGS = SourceSettings(read_timeout=5, open_timeout=15, frozen_after=10, first_wait=1, longest_wait=60)


def step(state: State, event: Event, *, camera: bool = True, jitter: float = 1.0) -> tuple[State, Command]:
    return reconnect.step(state, event, SETTINGS, camera=camera, jitter=jitter)


@pytest.mark.parametrize(
    ("state", "event", "following", "command"),
    [
        (Waiting(5.0), Tick(4.9), Waiting(5.0), None),
        (Waiting(5.0, 2), Tick(5.0), Open(5.0, 2, 5.0), Connect()),
        (Open(0.0, 0, 0.0), Tick(14.9, 0.0), Open(0.0, 0, 0.0), None),
        (Open(0.0, 0, 0.0, 3), Tick(4.9, 0.0), Open(0.0, 0, 0.0, 3), None),
        (Open(0.0, 0, 0.0, 3), Tick(9.9, None), Open(0.0, 0, 0.0, 3), None),
        (Open(0.0, 1, 0.0, 3), Arrived(2.0, changed=True), Open(0.0, 1, 2.0, 4), None),
        (Open(0.0, 1, 0.0, 3), Arrived(2.0, changed=False), Open(0.0, 1, 0.0, 4), None),
        (Open(0.0, 4, 0.0, 3), Arrived(30.0, changed=True), Open(0.0, 0, 30.0, 4), None),
        (Open(0.0, 0, 0.0, 3), Finished(), Ended(), None),
        (Ended(), Tick(99.0), Ended(), None),
        (Waiting(9.0), Arrived(2.0, changed=True), Waiting(9.0), None),
        (Waiting(9.0), Lost(2.0, "late"), Waiting(9.0), None),
        (Ended(), Finished(), Ended(), None),
    ],
    ids=[
        "waits", "then connects", "opening takes long", "reading in time", "a busy pipeline is no hang", "a frame",
        "the same frame", "steady: the next wait is short again", "a file is over", "over is over",
        "a late frame of an abandoned reader", "its late error", "said twice",
    ],
)  # fmt: skip
def test_what_follows(state: State, event: Event, following: State, command: Command) -> None:
    assert step(state, event) == (following, command)


@pytest.mark.parametrize(
    ("state", "event", "says"),
    [
        (Open(0.0, 0, 0.0), Tick(15.0, 0.0), "no connection within 15 s"),
        (Open(0.0, 0, 0.0, 3), Tick(8.0, 3.0), "no frame within 5 s"),
        (Open(0.0, 0, 1.0, 3), Tick(11.0, 10.9), "has not changed in a single bit for 10 s"),
        (Open(0.0, 0, 0.0, 3), Lost(1.0, "unplugged"), "unplugged"),
    ],
    ids=["opening hangs", "reading hangs", "frozen", "lost"],
)
def test_every_failure_abandons_the_reader_and_waits(state: State, event: Event, says: str) -> None:
    following, command = step(state, event)
    assert isinstance(following, Waiting)
    assert following.failures == 1
    assert isinstance(command, Abandon)
    assert says in command.reason


def test_waits_double_up_to_the_longest() -> None:
    waits = []
    for failures in range(9):
        following, _ = step(Open(0.0, failures, 0.0, 1), Lost(0.0, "gone"))
        assert isinstance(following, Waiting)
        waits.append(following.until)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_jitter_spreads_waits_over_their_upper_half() -> None:
    ends = [step(Open(0.0, 2, 0.0, 1), Lost(0.0, "gone"), jitter=jitter)[0] for jitter in (0.0, 0.5, 1.0)]
    assert [end.until for end in ends if isinstance(end, Waiting)] == [2.0, 3.0, 4.0]


def test_a_file_that_cannot_be_read_is_not_tried_again() -> None:
    assert step(Open(0.0, 0, 0.0), Lost(1.0, "no video"), camera=False)[0] == Ended("no video")


def test_a_still_file_is_not_frozen() -> None:
    state = Open(0.0, 0, 0.0, 3)
    assert step(state, Tick(1000.0), camera=False) == (state, None)


EVENTS = st.one_of(
    st.builds(Tick, st.floats(0, 1e6), st.none() | st.floats(0, 1e6)),
    st.builds(Arrived, st.floats(0, 1e6), st.booleans()),
    st.builds(Lost, st.floats(0, 1e6), st.just("lost")),
    st.just(Finished()),
)


@given(st.lists(EVENTS, max_size=60), st.booleans())
def test_a_reader_is_started_only_when_there_is_none_and_abandoned_only_when_there_is_one(
    events: list[Event], camera: bool
) -> None:
    state: State = Waiting(0.0)
    reading = False
    for event in events:
        state, command = step(state, event, camera=camera, jitter=0.5)
        if isinstance(command, Connect):
            assert not reading
            reading = True
        elif isinstance(command, Abandon):
            assert reading
            reading = False
        assert isinstance(state, Open) == reading or isinstance(state, Ended)

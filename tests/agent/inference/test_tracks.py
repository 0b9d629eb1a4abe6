"""Which face is which, from detection to detection: tables, and what holds over any history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inference.tracks import Detected, Event, Followed, SceneChanged, Tracks, overlap, step
from edge_vision.faces import Face
from edge_vision.picture import Box

LEFT, RIGHT = Box(10, 10, 40, 40), Box(200, 10, 30, 30)


def sure(*boxes: Box) -> Detected:
    return Detected([Face(box, 0.9) for box in boxes])


def doubtful(*boxes: Box) -> Detected:
    return Detected([Face(box, 0.6) for box in boxes])


def after(*events: Event) -> Tracks:
    state = Tracks()
    for event in events:
        state = step(state, event)
    return state


def numbers(state: Tracks) -> list[int]:
    return [track.number for track in state.confirmed]


@pytest.mark.parametrize(
    ("events", "confirmed"),
    [
        ([sure(LEFT)], [1]),
        ([sure(LEFT, RIGHT)], [1, 2]),
        ([sure(LEFT), sure(LEFT._replace(left=20))], [1]),
        ([sure(LEFT), sure(RIGHT, LEFT)], [1, 2]),
        ([sure(LEFT), sure()], []),
        ([sure(LEFT), sure(), sure(LEFT)], [1]),
        ([sure(LEFT), sure(), sure(), sure(LEFT)], [2]),
        ([doubtful(LEFT)], []),
        ([doubtful(LEFT), doubtful(LEFT)], [1]),
        ([doubtful(LEFT), sure(), doubtful(LEFT)], []),
        ([sure(LEFT), Followed({1: RIGHT}), sure(RIGHT)], [1]),
        ([sure(LEFT), Followed({})], []),
        ([sure(LEFT), Followed({}), sure(LEFT)], [1]),
        ([sure(LEFT), SceneChanged(), sure(LEFT)], [2]),
        ([sure(RIGHT, LEFT)], [2, 1]),
    ],
    ids=[
        "a sure face counts at once", "each its number", "it moved a little", "another joined", "missed once: not now",
        "and found again", "missed twice: another face", "a doubtful face waits", "for a second sighting",
        "or is dropped", "followed far", "lost while followed", "found again", "a cut", "largest first",
    ],
)  # fmt: skip
def test_faces_keep_their_numbers(events: list[Event], confirmed: list[int]) -> None:
    assert numbers(after(*events)) == confirmed


def test_two_faces_that_come_close_are_joined_to_their_best_match() -> None:
    one, other = Box(0, 0, 40, 40), Box(30, 0, 40, 40)
    state = after(sure(one, other), sure(Box(28, 0, 40, 40), Box(4, 0, 40, 40)))
    assert {track.number: track.box.left for track in state.known} == {1: 4, 2: 28}


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (LEFT, LEFT, 1.0),
        (LEFT, RIGHT, 0.0),
        (Box(0, 0, 2, 2), Box(1, 0, 2, 2), 1 / 3),
        (Box(0, 0, 2, 2), Box(2, 0, 2, 2), 0.0),
        (Box(0, 0, 4, 4), Box(1, 1, 2, 2), 0.25),
    ],
)
def test_overlap_is_intersection_over_union(one: Box, other: Box, shared: float) -> None:
    assert overlap(one, other) == overlap(other, one) == pytest.approx(shared)


BOXES = st.builds(Box, st.floats(-50, 300), st.floats(-50, 300), st.floats(1, 100), st.floats(1, 100))
EVENTS = st.one_of(
    st.lists(st.builds(Face, BOXES, st.floats(0, 1)), max_size=5).map(Detected),
    st.dictionaries(st.integers(1, 12), BOXES, max_size=6).map(Followed),
    st.just(SceneChanged()),
)


@given(st.lists(EVENTS, max_size=25))
def test_numbers_are_never_given_twice_and_confirmed_faces_are_known(events: list[Event]) -> None:
    state, gone, alive = Tracks(), set[int](), set[int]()
    for event in events:
        state = step(state, event)
        now = [track.number for track in state.known]
        assert len(now) == len(set(now))
        gone |= alive - set(now)
        alive = set(now)
        assert not gone & alive
        assert set(numbers(state)) <= alive
        assert all(number < state.next_number for number in alive)
        if isinstance(event, Detected):
            assert {track.box for track in state.known if track.misses == 0} == {face.box for face in event.faces}

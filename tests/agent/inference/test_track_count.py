"""Each face track is counted once, however long it lasts; and what was never labelled is not counted."""

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inference.track_count import AGAIN_S, LASTED_S, Tally, step


class Scene:
    """Tracks that come, get a label, and go."""

    def __init__(self, *, endless: bool = False) -> None:
        self.tally, self.endless = Tally(), endless

    def at(self, moment: float, labelled: set[int], known: set[int] | None = None) -> tuple[int, ...]:
        """The tracks counted at this moment; `known`: labelled ones too, where not said."""
        self.tally, counted = step(
            self.tally,
            labelled=labelled,
            known=labelled if known is None else known,
            moment=moment,
            endless=self.endless,
        )
        return counted


def test_a_track_that_is_over_soon_is_counted_when_it_is_over() -> None:
    scene = Scene()
    assert scene.at(1.0, {7}) == ()
    assert scene.at(2.0, {7}) == ()
    assert scene.at(2.1, {7}, known=set()) == (7,)
    assert scene.at(9.0, set()) == ()


def test_who_stays_is_counted_after_some_seconds_and_not_again_in_hours_nor_when_he_goes() -> None:
    scene = Scene()
    assert scene.at(10.0, {3}) == ()
    assert scene.at(10.0 + LASTED_S - 0.01, {3}) == ()
    assert scene.at(10.0 + LASTED_S, {3}) == (3,)
    assert all(scene.at(20.0 + minute * 60.0, {3}) == () for minute in range(300))
    assert scene.tally.next == math.inf
    assert scene.at(20_000.0, {3}, known=set()) == ()


def test_a_track_without_a_label_counts_nothing_and_one_labelled_in_its_last_frame_counts() -> None:
    scene = Scene()
    assert scene.at(1.0, set(), known={1, 2}) == ()
    assert scene.at(1.1, {2}, known=set()) == (2,)


def test_several_are_counted_in_one_frame_each_for_its_own_reason() -> None:
    scene = Scene()
    scene.at(0.0, {1})
    scene.at(4.0, {1, 2, 3})
    assert scene.at(LASTED_S, {1, 2, 3}, known={1, 3}) == (1, 2)


def test_what_has_no_end_is_counted_once_a_minute() -> None:
    scene = Scene(endless=True)
    counted = [second for second in range(200) if scene.at(float(second), {1})]
    assert counted == [LASTED_S, LASTED_S + AGAIN_S, LASTED_S + 2 * AGAIN_S, LASTED_S + 3 * AGAIN_S]
    assert scene.at(200.0, {1}, known=set()) == ()


LIVES = st.dictionaries(
    st.integers(1, 9),
    st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(0, 30)),  # comes, lives for, gets its label after
    max_size=6,
)


@given(lives=LIVES, frames=st.lists(st.floats(0, 2), max_size=80))
def test_whatever_comes_and_goes_each_labelled_track_is_counted_exactly_once_by_its_end(
    lives: dict[int, tuple[float, float, float]], frames: list[float]
) -> None:
    scene, moment = Scene(), 0.0
    seen: dict[int, float] = {}  # since when a frame showed it with a label
    counted: list[int] = []
    for pause in (*frames, 1000.0):
        moment += pause
        known = {number for number, (comes, lasts, _) in lives.items() if comes <= moment < comes + lasts}
        labelled = {number for number in known if moment >= lives[number][0] + lives[number][2]}
        now = scene.at(moment, labelled | (seen.keys() & scene.tally.due.keys()), known)
        for number in labelled:
            seen.setdefault(number, moment)
        assert all(number not in known or moment - seen[number] >= LASTED_S for number in now)
        counted += now
    assert sorted(counted) == sorted(seen)

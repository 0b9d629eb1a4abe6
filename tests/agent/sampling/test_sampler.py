"""Which faces are kept: once a track and stratum, by the chance that the crop states, and never more than the caps."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from edge_agent.inference.events import ModelAnswer, Shown
from edge_agent.sampling.budget import DAY_S, HOUR_S, MINUTE_S, Caps, Demand, Spent, chance
from edge_agent.sampling.sampler import SPAN_S, Now, Pick, Rules, State, Step, differed, looked, only
from edge_contract.manifest import WHOLE as WHOLE_PICTURE
from edge_contract.manifest import ModelManifest
from edge_contract.package import read_file
from tests.agent.agent_process import FIXTURES

MANIFEST = read_file(FIXTURES / "tiny-1.ewm").manifest
WHOLE = changed(MANIFEST, crop=WHOLE_PICTURE)
CAPS = Caps(per_minute=600, per_hour=10_000, per_day=10_000, bytes=1 << 30)
RULES = Rules(share=0.5, uncertain_below=0.5, uncertain_share=0.0, disagreement_share=0.0, caps=CAPS)
PIXELS = np.zeros((1, 48, 48, 1), np.uint8)


def shown(track: int, top: float = 0.9, manifest: ModelManifest = MANIFEST) -> Shown:
    """A look with this top probability."""
    probabilities = np.full(len(manifest.labels), (1 - top) / (len(manifest.labels) - 1), np.float32)
    probabilities[2] = top
    return Shown(track, PIXELS, ModelAnswer(manifest, probabilities))


def at(seconds: float, held: int = 0) -> Now:
    return Now(taken=1.8e9 + seconds, clock=seconds, held=held)


SURE = shown(0).answer


class Field:
    """One sampler over time, and what it kept."""

    def __init__(self, rules: Rules, draw: float | random.Random) -> None:
        self.rules, self.state, self.capped = rules, State(), 0
        self.picks: list[Pick] = []
        self.draw = draw.random if isinstance(draw, random.Random) else lambda: draw

    def look(self, face: Shown, moment: float, held: int = 0) -> None:
        self._after(looked(self.state, self.rules, face, moment, at(moment, held), self.draw))

    def differ(self, face: Shown, moment: float) -> None:
        other = ModelAnswer(MANIFEST, face.answer.probabilities[::-1])
        self._after(differed(self.state, self.rules, face, other, at(moment), self.draw))

    def known(self, *tracks: int) -> None:
        self._after(only(self.state, frozenset(tracks)))

    def _after(self, step: Step) -> None:
        self.state, self.capped = step.state, self.capped + step.capped
        self.picks += step.picks


def test_a_track_is_kept_once_when_it_is_over_however_often_it_was_looked_at() -> None:
    field = Field(RULES, 0.2)
    for frame in range(30):
        field.look(shown(1), frame / 30)
        field.known(1)
    assert field.picks == []
    field.known()
    (pick,) = field.picks
    assert (pick.stratum, pick.inclusion, pick.shown.track) == ("random", 0.5, 1)
    assert field.state.faces == {}


def test_who_stays_is_kept_after_a_minute_and_not_again() -> None:
    field = Field(RULES, 0.2)
    for second in range(200):
        field.look(shown(1), float(second))
    assert len(field.picks) == 1
    assert field.picks[0].taken < at(SPAN_S).taken


def test_a_track_that_was_not_drawn_is_drawn_no_second_time() -> None:
    draws = iter([0.9, *[0.0] * 100])
    field = Field(RULES, 0.0)
    field.draw = lambda: next(draws)
    for frame in range(50):
        field.look(shown(1), frame / 30)
    field.known()
    assert field.picks == []


def test_each_look_of_a_track_is_kept_with_the_same_chance() -> None:
    """Ten looks, a thousand tracks: each look about 100 times, five standard deviations wide."""
    chance, kept = random.Random(1), Counter[float]()  # noqa: S311
    for _ in range(1000):
        field = Field(Rules(1.0, 0.0, 0.0, 0.0, CAPS), chance)
        for look in range(10):
            field.look(shown(1), float(look))
        field.known()
        kept[field.picks[0].taken - 1.8e9] += 1
    assert len(kept) == 10
    assert all(abs(count - 100) < 5 * (100 * 0.9) ** 0.5 for count in kept.values())


def test_the_random_stratum_is_drawn_without_a_look_at_the_answer() -> None:
    """The same draws pick the same tracks, whatever the model said of them."""
    picked = []
    for top in (0.2, 0.99):
        field = Field(RULES, 0.0)
        for track in range(200):
            field.draw = random.Random(track).random  # noqa: S311
            field.look(shown(track, top), track * 30.0)
            field.known()
        picked.append([pick.shown.track for pick in field.picks])
    assert picked[0] == picked[1]
    assert 50 < len(picked[0]) < 150


def test_a_model_of_whole_pictures_has_a_new_track_each_minute() -> None:
    field = Field(RULES, 0.2)
    for second in range(301):
        field.look(shown(1, manifest=WHOLE), float(second))
    assert len(field.picks) == 5


def test_an_uncertain_face_is_kept_at_the_first_look_that_is_and_decided_on_once() -> None:
    rules = Rules(0.0, 0.5, 0.25, 0.0, CAPS)
    field = Field(rules, 0.2)
    for second, top in enumerate([0.9, 0.49, 0.3, 0.2]):
        field.look(shown(1, top), float(second))
    (pick,) = field.picks
    assert (pick.stratum, pick.inclusion, pick.taken) == ("uncertain", 0.25, at(1.0).taken)
    unlucky = Field(rules, 0.3)
    for second in range(9):
        unlucky.look(shown(1, 0.3), float(second))
    assert unlucky.picks == []


def test_a_disagreement_is_kept_once_with_both_answers() -> None:
    field = Field(Rules(0.0, 0.0, 0.0, 0.5, CAPS), 0.2)
    for second in range(3):
        field.look(shown(1), float(second))
        field.differ(shown(1), float(second))
    (pick,) = field.picks
    assert (pick.stratum, pick.inclusion) == ("disagreement", 0.5)
    assert pick.other is not None
    field.differ(shown(99), 3.0)  # of a face that was never looked at
    assert len(field.picks) == 1


def test_a_share_of_nothing_keeps_nothing_and_counts_nothing_as_capped() -> None:
    field = Field(Rules(0.0, 1.0, 0.0, 0.0, CAPS), 0.0)
    field.look(shown(1, 0.2), 0.0)
    field.differ(shown(1, 0.2), 0.0)
    field.known()
    assert (field.picks, field.capped) == ([], 0)


def odds(caps: Caps, kept: int, *, came: int = 1, held: int = 0, share: float = 1.0, chosen: bool = False) -> float:
    """Of a face that came at once with `came - 1` others, half a minute after so many were kept."""
    demand, times = Demand(), tuple(100.0 + number / 100 for number in range(kept))
    for _ in range(came):
        demand = demand.one_more(130.0)
    return chance(share, caps, Spent(times, times if chosen else ()), demand, held, 130.0, chosen=chosen)


def test_a_share_stands_while_its_faces_come_slower_than_a_cap_would_let_them() -> None:
    caps = Caps(per_minute=6, per_hour=60, per_day=400, bytes=1 << 30)
    assert odds(caps, 0, share=0.01) == 0.01
    assert odds(caps, 4, came=20, share=0.01) == 0.01


@pytest.mark.parametrize(("kept", "found"), [(0, 0.5), (3, 0.25), (5, 1 / 12), (6, 0.0), (7, 0.0)])
def test_what_is_left_of_a_cap_is_spread_over_its_window(kept: int, found: float) -> None:
    """Two faces in the ten seconds that are measured are as if twelve came in the minute, of which six may be kept."""
    caps = Caps(per_minute=6, per_hour=10_000, per_day=10_000, bytes=1 << 30)
    assert odds(caps, kept, came=2) == pytest.approx(found)


@pytest.mark.parametrize(("held", "by_chance", "chosen"), [(0, 1.0, 1.0), (600, 0.8, 0.0), (1000, 0.0, 0.0)])
def test_a_disk_that_fills_lowers_the_chance_from_half_on(held: int, by_chance: float, chosen: float) -> None:
    caps = Caps(per_minute=600, per_hour=10_000, per_day=10_000, bytes=1000)
    assert odds(caps, 0, held=held) == pytest.approx(by_chance)
    assert odds(caps, 0, held=held, chosen=True) == pytest.approx(chosen)


def test_a_face_refused_by_a_full_cap_alone_is_counted_as_capped() -> None:
    rules = Rules(0.5, 0.0, 0.0, 0.0, Caps(per_minute=1, per_hour=10, per_day=10, bytes=1 << 30))
    field = Field(rules, 0.1)
    for track in range(5):
        field.look(shown(track), 1.0)
    unlucky = Field(rules, 0.6)
    for track in range(5):
        unlucky.look(shown(track), 1.0)
    assert (field.capped, unlucky.capped) == (4, 0)


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(st.floats(0, 40), st.integers(0, 5), st.floats(0.15, 1)), min_size=1, max_size=150),
    per_minute=st.integers(1, 5),
    per_hour=st.integers(1, 12),
    seed=st.integers(0, 9),
)
def test_whatever_comes_no_minute_and_no_hour_has_more_than_its_cap_and_the_chosen_have_half(
    steps: list[tuple[float, int, float]], per_minute: int, per_hour: int, seed: int
) -> None:
    caps = Caps(per_minute=per_minute, per_hour=per_hour, per_day=40, bytes=1 << 30)
    field = Field(Rules(1.0, 0.6, 1.0, 1.0, caps), random.Random(seed))  # noqa: S311
    moment, reserved = 0.0, list[tuple[float, bool]]()
    for after, track, top in steps:
        moment += after
        before = field.state.spent
        field.look(shown(track, top), moment)
        field.differ(shown(track, top), moment)
        new = len(field.state.spent.all) - len([when for when in before.all if when >= moment - DAY_S])
        chosen = len(field.state.spent.chosen) - len([when for when in before.chosen if when >= moment - DAY_S])
        reserved += [(moment, number < chosen) for number in range(new)]
        if after > 20:
            field.known()
    for length, cap in ((MINUTE_S, per_minute), (HOUR_S, per_hour), (DAY_S, 40)):
        for start, _ in reserved:
            within = [chosen for when, chosen in reserved if start <= when <= start + length]
            assert len(within) <= cap
            assert sum(within) <= cap // 2
    assert all(0 < pick.inclusion <= 1 for pick in field.picks)


def test_crops_weighed_by_their_inclusion_stand_for_all_faces_although_caps_thin_them() -> None:
    """A busy hour and a quiet one, wrong in 40 % and in 10 % of faces; plain counting would be far off the truth."""
    rules = Rules(0.5, 0.0, 0.0, 0.0, Caps(per_minute=600, per_hour=30, per_day=10_000, bytes=1 << 30))
    chance_of = random.Random(3)  # noqa: S311
    weighed, plain, sizes, capped = list[float](), list[float](), list[float](), 0
    for _ in range(20):
        field, wrong, moment = Field(rules, chance_of), set[int](), 0.0
        for track in range(960):
            moment += 4.0 if track < 900 else 60.0
            if chance_of.random() < (0.4 if track < 900 else 0.1):
                wrong.add(track)
            field.look(Shown(track, PIXELS, SURE), moment)
            field.known()
        weights = [1 / pick.inclusion for pick in field.picks]
        errors = [pick.shown.track in wrong for pick in field.picks]
        sizes.append(sum(weights))
        weighed.append(sum(weight * error for weight, error in zip(weights, errors, strict=True)))
        plain.append(sum(errors) / len(errors))
        capped += field.capped
    assert capped == 0
    assert np.mean(sizes) == pytest.approx(960, rel=0.1)
    assert np.sum(weighed) / np.sum(sizes) == pytest.approx((900 * 0.4 + 60 * 0.1) / 960, abs=0.04)
    assert np.mean(plain) < 0.33  # the quiet hour's faces are too many among the kept

"""Drawn faces: how models behave on them is what the rehearsal of a rollout stands on."""

import random
from pathlib import Path

import pytest

from edge_contract import package
from edge_contract.errors import UsageError
from edge_simulator import faces
from edge_simulator.faces import LABELS, Answer, Behaviour, answer, draw, parse_behaviour, site_mix

BOARD = "Raspberry Pi 4 Model B"
FACES = 4000


def asked(behaviour: Behaviour, model: str, board: str = BOARD) -> list[tuple[faces.Face, Answer | None]]:
    chance = random.Random(5)  # noqa: S311  # drawn faces
    mix = site_mix(random.Random(1))  # noqa: S311
    return [(face, answer(behaviour, face, board, model)) for face in (draw(chance, mix) for _ in range(FACES))]


def right(pairs: list[tuple[faces.Face, Answer | None]]) -> float:
    return sum(said is not None and said.label == LABELS[face.truth] for face, said in pairs) / len(pairs)


def agreement(one: Behaviour, other: Behaviour) -> float:
    first, second = asked(one, "a" * 64), asked(other, "b" * 64)
    return sum((a and a.label) == (b and b.label) for (_, a), (_, b) in zip(first, second, strict=True)) / FACES


def test_a_model_says_the_same_of_the_same_face_each_time() -> None:
    assert asked(Behaviour(), "a" * 64) == asked(Behaviour(), "a" * 64)


def test_two_good_models_are_as_accurate_and_differ_on_some_faces() -> None:
    one, other = asked(Behaviour(), "a" * 64), asked(Behaviour(), "b" * 64)
    assert right(one) == pytest.approx(0.70, abs=0.03)
    assert right(other) == pytest.approx(right(one), abs=0.02)
    assert 0.88 < agreement(Behaviour(), Behaviour()) < 0.99


@pytest.mark.parametrize(
    ("how", "lowest", "highest"),
    [("worse:0.05", 0.03, 0.07), ("says:neutral:0.2", 0.05, 0.16), ("fails:0.1", 0.05, 0.10), ("slow::2", -0.01, 0.01)],
)
def test_a_behaviour_costs_accuracy_as_it_says(how: str, lowest: float, highest: float) -> None:
    lost = right(asked(Behaviour(), "b" * 64)) - right(asked(parse_behaviour(how), "b" * 64))
    assert lowest <= lost <= highest
    if how != "slow::2":
        assert agreement(Behaviour(), parse_behaviour(how)) < agreement(Behaviour(), Behaviour()) - 0.01


def test_swapped_labels_are_said_for_one_another_and_no_others() -> None:
    how = parse_behaviour("swap:happy:sad:1")
    for (_, plain), (_, swapped) in zip(asked(Behaviour(), "b" * 64), asked(how, "b" * 64), strict=True):
        assert plain is not None
        assert swapped is not None
        expected = {"happy": "sad", "sad": "happy"}.get(plain.label, plain.label)
        assert swapped.label == expected


def test_a_model_is_slow_on_the_boards_that_are_named() -> None:
    how = parse_behaviour("slow:Raspberry Pi Zero:3")
    usual = [said.seconds for _, said in asked(how, "b" * 64) if said]
    slow = [said.seconds for _, said in asked(how, "b" * 64, "Raspberry Pi Zero 2 W") if said]
    assert sum(slow) / sum(usual) == pytest.approx(3.0)


def test_a_harder_face_is_answered_wrongly_more_often_and_less_surely() -> None:
    def of(harder: float) -> tuple[float, float]:
        chance, mix = random.Random(5), site_mix(random.Random(1))  # noqa: S311
        pairs = [
            (face, answer(Behaviour(), face, BOARD, "a"))
            for face in (draw(chance, mix, harder=harder) for _ in range(FACES))
        ]
        return right(pairs), sum(said.confidence for _, said in pairs if said) / FACES

    assert of(0.2)[0] < of(0.0)[0] - 0.15
    assert of(0.2)[1] < of(0.0)[1] - 0.05


def test_neutral_faces_are_more_neutral_answers_as_sure_as_before() -> None:
    chance, mix = random.Random(5), site_mix(random.Random(1))  # noqa: S311
    shown = [draw(chance, mix, neutral=0.5) for _ in range(FACES)]
    neutral = LABELS.index("neutral")
    assert sum(face.truth == neutral for face in shown) / FACES == pytest.approx(0.5 + 0.5 * mix[neutral], abs=0.03)
    assert sum(face.difficulty for face in shown) / FACES == pytest.approx(0.5, abs=0.02)


def test_a_good_model_is_as_sure_as_the_one_that_was_measured() -> None:
    measured = package.read_file(Path("models/emotion-5.ewm")).manifest.reference.confidence
    said = [answer.confidence for _, answer in asked(Behaviour(), "a" * 64) if answer]
    drawn = [sum(tenth / 10 <= each < (tenth + 1) / 10 for each in said) / FACES for tenth in range(10)]
    assert drawn == pytest.approx(measured, abs=0.04)
    assert sum(drawn[8:]) == pytest.approx(sum(measured[8:]), abs=0.03)
    assert all(0.19 < each <= 0.99 for each in said)


def test_sites_have_mixes_of_their_own() -> None:
    mixes = [site_mix(random.Random(seed)) for seed in range(40)]  # noqa: S311
    assert all(sum(mix) == pytest.approx(1.0) for mix in mixes)
    assert len(set(mixes)) == 40


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bad",
        "worse",
        "worse:2",
        "worse:nan",
        "says:bored:0.1",
        "slow:x:0.5",
        "slow:x:nan",
        "swap:happy:sad",
        "fails:-1",
    ],
)
def test_what_is_no_behaviour_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(UsageError, match=r"worse:0\.05"):
        parse_behaviour(text)

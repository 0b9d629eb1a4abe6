"""What labels say, over records: which answers stand, how people agree, how right a model was, who is ahead."""

import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from edge_bridge.labels.accuracy import Sample, accuracy, compared, sign_test
from edge_bridge.labels.agreement import agreements, kappa
from edge_bridge.labels.answers import Annotation, Answer, Consensus, consensus, standing
from edge_bridge.labels.queue import STRATA, Question, Waiting, choose
from edge_bridge.labels.report import Facts, accuracies, comparison
from edge_contract.crop import Stratum

HAPPY, SAD = Answer("label", "happy"), Answer("label", "sad")
NO_FACE, UNSURE = Answer("not-a-face"), Answer("cannot-tell")


def row(
    number: int, crop: int, who: str, answer: Answer | None, undoes: int | None = None, *, shown: bool = False
) -> Annotation:
    return Annotation(number, crop, who, answer, float(number), shown, undoes)


@pytest.mark.parametrize(
    ("rows", "stands"),
    [
        ([], {}),
        ([row(1, 1, "ann", HAPPY)], {(1, "ann"): HAPPY}),
        ([row(1, 1, "ann", HAPPY), row(2, 1, "ann", SAD)], {(1, "ann"): SAD}),
        ([row(1, 1, "ann", HAPPY), row(2, 1, "ann", SAD), row(3, 1, "ann", None, 2)], {(1, "ann"): HAPPY}),
        ([row(1, 1, "ann", HAPPY), row(2, 1, "ann", None, 1)], {}),
        ([row(1, 1, "ann", HAPPY), row(2, 1, "bob", None, 7)], {(1, "ann"): HAPPY}),
        ([row(2, 1, "ann", SAD), row(1, 1, "ann", HAPPY)], {(1, "ann"): SAD}),
    ],
)
def test_the_last_answer_of_each_person_stands_unless_it_was_taken_back(
    rows: list[Annotation], stands: dict[tuple[int, str], Answer]
) -> None:
    found = standing(rows)
    assert {(crop, who): each.answer for crop, by in found.items() for who, each in by.items()} == stands


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([], None),
        ([HAPPY], Consensus("label", "happy", 1)),
        ([HAPPY, SAD], Consensus("no-majority", "", 2)),
        ([HAPPY, SAD, HAPPY], Consensus("label", "happy", 3)),
        ([HAPPY, SAD, NO_FACE, HAPPY], Consensus("no-majority", "", 4)),  # two of four are no majority
        ([NO_FACE, NO_FACE, HAPPY], Consensus("not-a-face", "", 3)),
        ([UNSURE], Consensus("cannot-tell", "", 1)),
        ([UNSURE, HAPPY], Consensus("no-majority", "", 2)),
    ],
)
def test_a_label_counts_where_more_than_half_give_it(answers: list[Answer], outcome: Consensus | None) -> None:
    assert consensus(answers) == outcome


@pytest.mark.parametrize(
    ("table", "value"),
    [
        # Cohen 1960, Educational and Psychological Measurement 20, 37-46: (.70 - .41) / (1 - .41).
        ({("a", "a"): 88, ("a", "b"): 14, ("a", "c"): 18, ("b", "a"): 10, ("b", "b"): 40, ("b", "c"): 10,
          ("c", "a"): 2, ("c", "b"): 6, ("c", "c"): 12}, 0.492),
        ({("a", "a"): 20, ("a", "b"): 5, ("b", "a"): 10, ("b", "b"): 15}, 0.4),
        ({("a", "a"): 45, ("a", "b"): 15, ("b", "a"): 25, ("b", "b"): 15}, 0.1304),
        ({("a", "b"): 1, ("b", "a"): 1}, -1.0),
        ({("a", "a"): 1, ("b", "b"): 1}, 1.0),
        ({("a", "a"): 9}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_kappa_is_cohens(table: dict[tuple[str, str], int], value: float | None) -> None:
    found = kappa(pair for pair, count in table.items() for _ in range(count))
    assert found == (None if value is None else pytest.approx(value, abs=1e-3))


def test_agreement_is_of_two_people_on_what_both_could_tell() -> None:
    rows = [
        row(1, 1, "ann", HAPPY), row(2, 1, "bob", HAPPY), row(3, 2, "ann", SAD), row(4, 2, "bob", HAPPY),
        row(5, 3, "ann", UNSURE), row(6, 3, "bob", SAD), row(7, 4, "ann", SAD), row(8, 5, "cid", SAD),
    ]  # fmt: skip
    (found,) = agreements(standing(rows))
    assert (found.first, found.second, found.crops, found.same, found.kappa) == ("ann", "bob", 2, 1, 0.0)


def test_accuracy_is_unbiased_where_hard_faces_are_kept_more_often_and_its_interval_holds_what_it_says() -> None:
    """A camera keeps more while the shop is dark, and the model is worse then: counting crops alone says too little."""
    chance = random.Random(20)  # noqa: S311  # a simulation
    truth, estimates, naive, within = 0.5 * 0.9 + 0.5 * 0.5, [], [], 0
    for _ in range(400):
        kept: list[Sample] = []
        for index in range(3000):
            dark = index % 2 == 1
            inclusion = 0.12 if dark else 0.03
            if chance.random() < inclusion:
                kept.append(Sample(inclusion, chance.random() < (0.5 if dark else 0.9)))
        found = accuracy(kept)
        assert found is not None
        estimates.append(found.share)
        naive.append(fmean(each.right for each in kept))
        within += found.low <= truth <= found.high
    assert fmean(estimates) == pytest.approx(truth, abs=0.008)
    assert fmean(naive) < truth - 0.1
    assert within / 400 >= 0.93


@given(st.lists(st.tuples(st.floats(1e-5, 1), st.booleans()), min_size=1, max_size=30))
def test_an_interval_holds_its_share_whatever_the_weights(samples: list[tuple[float, bool]]) -> None:
    found = accuracy(Sample(*each) for each in samples)
    assert found is not None
    assert 0 <= found.low <= found.share <= found.high <= 1
    assert 0 < found.effective <= len(samples) * (1 + 1e-9)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 22), (600, 700)])
def test_who_is_ahead_is_told_by_an_exact_test(first: int, second: int) -> None:
    exact = binomtest(first, first + second).pvalue if first + second else 1.0
    assert sign_test(first, second) == pytest.approx(exact, rel=1e-9)


def facts(number: int, stratum: Stratum, track: int, **answers: str) -> Facts:
    return Facts(
        number, "cam-1", 5, number, 0.0, track, stratum, 0.5, {f"m-{name[1:]}": a for name, a in answers.items()}
    )


def test_what_is_compared_is_faces_and_not_those_that_were_picked_for_one_models_doubt() -> None:
    given_facts = [
        facts(1, "random", 1, r4="happy", r5="sad"),
        facts(2, "disagreement", 1, r4="happy", r5="sad"),  # the same face again
        facts(3, "disagreement", 2, r4="happy", r5="sad"),
        facts(4, "uncertain", 3, r4="happy", r5="sad"),
        facts(5, "random", 4, r4="happy"),  # one model alone
        facts(6, "random", 5, r4="happy", r5="happy"),
    ]
    stands = standing([row(number, number, "ann", SAD) for number in range(1, 7)])
    assert comparison(given_facts, stands, "m-4", "m-5")[:4] == (0, 1, 0, 2)
    assert compared([]).p == 1.0


def test_accuracy_counts_blind_answers_and_the_random_stratum_alone() -> None:
    given_facts = [
        facts(1, "random", 1, r4="happy"), facts(2, "random", 2, r4="happy"), facts(3, "uncertain", 3, r4="sad"),
        facts(4, "random", 4, r4="happy"),
    ]  # fmt: skip
    stands = standing(
        [
            row(1, 1, "ann", HAPPY),
            row(2, 2, "ann", HAPPY, shown=True),
            row(3, 3, "ann", HAPPY),
            row(4, 4, "ann", NO_FACE),
        ]
    )
    assert {model: (each.crops, each.share) for model, each in accuracies(given_facts, stands).items()} == {
        "m-4": (1, 1.0)
    }


@pytest.mark.parametrize(
    ("strata", "asked", "question"),
    [
        ({}, 0, None),
        ({"random": Waiting()}, 0, None),
        ({"random": Waiting(0, 5), "uncertain": Waiting(0, 5)}, 0, Question("random", False)),
        ({"random": Waiting(3, 5), "uncertain": Waiting(0, 5)}, 1, Question("uncertain", False)),
        ({"random": Waiting(3, 0), "uncertain": Waiting(3, 5)}, 1, Question("uncertain", False)),  # what there is
        ({"random": Waiting(4, 5, 2)}, 3, Question("random", False)),
        ({"random": Waiting(4, 5, 2)}, 4, Question("random", True)),  # every fifth
        ({"random": Waiting(4, 5, 0)}, 4, Question("random", False)),
        ({"random": Waiting(4, 0, 2), "disagreement": Waiting(4, 0, 3)}, 1, Question("disagreement", True)),
    ],
)
def test_strata_are_mixed_and_some_crops_are_asked_of_a_second_person(
    strata: dict[Stratum, Waiting], asked: int, question: Question | None
) -> None:
    assert choose(strata, asked) == question


def test_the_mix_of_answers_goes_to_a_half_and_two_quarters() -> None:
    answered: dict[Stratum, int] = dict.fromkeys(STRATA, 0)
    for asked in range(80):
        question = choose({each: Waiting(count, 100) for each, count in answered.items()}, asked)
        assert question is not None
        answered[question.stratum] += 1
    assert answered == {"random": 40, "uncertain": 20, "disagreement": 20}

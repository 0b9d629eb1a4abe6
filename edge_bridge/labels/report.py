"""What the labels say: how many there are, how people agree, how right each model was. Pure.

Accuracy counts answers alone that were given without seeing the model's: who has seen it leans towards it. What is
exported for training counts all of them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edge_bridge.labels.accuracy import Accuracy, Comparison, Sample, accuracy, compared
from edge_bridge.labels.agreement import Agreement, agreements
from edge_bridge.labels.answers import Annotation, Consensus, agreed
from edge_contract.crop import Stratum


class Facts(NamedTuple):
    """A crop that somebody answered, without its picture."""

    id: int
    device: str
    session: int
    sequence: int
    taken: float
    track: int
    stratum: Stratum
    inclusion: float
    answers: Mapping[str, str]
    """`name-release` of each model that was shown it → what it answered; the one that ran first."""

    @property
    def name(self) -> str:
        """Of the crop, for good: `device-session-sequence`."""
        return f"{self.device}-{self.session}-{self.sequence}"

    @property
    def model(self) -> str:
        """The one that ran."""
        return next(iter(self.answers))


class Report(NamedTuple):
    """All of it."""

    crops: Mapping[Stratum, int]
    """That are stored."""
    answered: Mapping[Stratum, int]
    """That somebody answered."""
    labelled: Mapping[tuple[str, Stratum], int]
    """By the model that ran: crops with a label that more than half agree on."""
    outcomes: Mapping[str, int]
    """Crops by what people say together: label, not-a-face, cannot-tell, no-majority."""
    annotators: Mapping[str, int]
    """Crops that each answered."""
    agreements: Sequence[Agreement]
    accuracy: Mapping[str, Accuracy]
    """By model, random stratum, answers given blind."""
    damaged: int
    """Crops that cannot be shown."""
    tombstones: int


def report(
    crops: Mapping[Stratum, int],
    facts: Sequence[Facts],
    stands: Mapping[int, Mapping[str, Annotation]],
    *,
    damaged: int = 0,
    tombstones: int = 0,
) -> Report:
    """From the crops that somebody answered, and the answers that stand."""
    answered: Counter[Stratum] = Counter()
    labelled: Counter[tuple[str, Stratum]] = Counter()
    outcomes: Counter[str] = Counter()
    annotators: Counter[str] = Counter()
    for each in facts:
        mine = stands.get(each.id, {})
        together = agreed(mine)
        if together is None:
            continue
        answered[each.stratum] += 1
        outcomes[together.outcome] += 1
        annotators.update(mine.keys())
        if together.outcome == "label":
            labelled[each.model, each.stratum] += 1
    return Report(
        crops, answered, labelled, outcomes, annotators, agreements(stands), accuracies(facts, stands), damaged,
        tombstones,
    )  # fmt: skip


def accuracies(facts: Iterable[Facts], stands: Mapping[int, Mapping[str, Annotation]]) -> dict[str, Accuracy]:
    """By model, from the random stratum."""
    samples: dict[str, list[Sample]] = {}
    for each in facts:
        truth = _truth(agreed(stands.get(each.id, {}), blind=True)) if each.stratum == "random" else None
        if truth is not None:
            for model, answer in each.answers.items():
                samples.setdefault(model, []).append(Sample(each.inclusion, answer == truth))
    return {model: found for model, given in sorted(samples.items()) if (found := accuracy(given)) is not None}


def comparison(
    facts: Iterable[Facts], stands: Mapping[int, Mapping[str, Annotation]], first: str, second: str
) -> Comparison:
    """Two models on the labelled crops that both answered, one a face: the strata are random and disagreement."""
    pairs: dict[tuple[str, int, int], tuple[bool, bool]] = {}
    for each in sorted(facts, key=lambda each: each.stratum != "random"):  # of a face in both strata, the random one
        face = (each.device, each.session, each.track)
        if each.stratum == "uncertain" or not {first, second} <= each.answers.keys() or face in pairs:
            continue
        truth = _truth(agreed(stands.get(each.id, {}), blind=True))
        if truth is not None:
            pairs[face] = (each.answers[first] == truth, each.answers[second] == truth)
    return compared(pairs.values())


def _truth(together: Consensus | None) -> str | None:
    return together.label if together is not None and together.outcome == "label" else None

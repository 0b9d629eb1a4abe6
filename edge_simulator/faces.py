"""Drawn faces: what two models say of the same ones. No picture, no network; an explicit model of how models err.

A face has a true label, by the site's own mix, and a difficulty that every model meets alike. A model is right where
the difficulty, with a little of the model's own noise, lies under its accuracy; where it is wrong, most models are
wrong in the same way. So two good models disagree on the hard faces, and a worse one on more.
"""

import itertools
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_contract.errors import UsageError

LABELS: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_USUAL_MIX: Final = (0.10, 0.02, 0.07, 0.27, 0.14, 0.08, 0.32)
_SITE_WEIGHT: Final = 40.0  # how alike the mixes of two sites are; more is more alike
_CONFUSED_WITH: Final = {0: 4, 1: 0, 2: 5, 3: 6, 4: 6, 5: 2, 6: 4}
_USUAL_CONFUSION: Final = 0.7
_OWN_NOISE: Final = 0.06  # of a model about a face's difficulty, standard deviation
_SURE_NOISE: Final = 0.08  # of how sure it is beside that
_HARDEST: Final = 0.1  # share of the most difficult faces: what seems more difficult than any is like one of them
_USUAL_ACCURACY: Final = 0.70
_CONFIDENCE: Final = (0.0, 0.0, 0.0111, 0.0666, 0.1273, 0.1298, 0.1220, 0.1190, 0.1460, 0.2781)
"""Shares of answers by tenth of confidence as measured: `reference.confidence` of emotion 5 (PublicTest, n = 3,589)."""
_HARDER: Final = tuple(itertools.accumulate(reversed(_CONFIDENCE), initial=0.0))
"""The difficulty at which confidence has fallen to 1.0, 0.9, and so on."""
INVOKE_S: Final = 0.004
"""What one answer takes on a usual board."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one model answers."""

    accuracy: float = _USUAL_ACCURACY
    says: Mapping[int, float] = field(default_factory=dict)
    """By label number: so often it says that, whatever it saw."""
    swaps: tuple[int, int, float] = (0, 0, 0.0)
    """It says one of two labels for the other, so often."""
    slower: Mapping[str, float] = field(default_factory=dict)
    """By the beginning of the board's name: how many times as long it takes there; "" is every board."""
    fails: float = 0.0
    """So often it gives no answer."""

    def factor(self, board: str) -> float:
        """How many times the usual time it takes on this board."""
        return max((factor for name, factor in self.slower.items() if board.startswith(name)), default=1.0)


@dataclass(frozen=True, slots=True)
class Face:
    """One face before any model saw it."""

    truth: int
    difficulty: float
    wrong: int
    """What most models say who are wrong about it."""
    chance: int
    """Makes a model's own noise about this face the same each time it is asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one face."""

    label: str
    confidence: float
    seconds: float


def site_mix(chance: random.Random) -> tuple[float, ...]:
    """How often each label is shown at one site: near the usual mix, and never the same as elsewhere."""
    drawn = [chance.gammavariate(max(share * _SITE_WEIGHT, 0.05), 1.0) for share in _USUAL_MIX]
    total = sum(drawn)
    return tuple(each / total for each in drawn)


def draw(chance: random.Random, mix: Sequence[float], *, harder: float = 0.0, neutral: float = 0.0) -> Face:
    """One face of a site.

    `harder`: what is added to its difficulty. `neutral`: share of the faces that are neutral beside the mix.
    """
    (truth,) = chance.choices(range(len(LABELS)), mix)
    if neutral and chance.random() < neutral:
        truth = LABELS.index("neutral")
    usual = chance.random() < _USUAL_CONFUSION
    wrong = _CONFUSED_WITH[truth] if usual else chance.choice([other for other in range(len(LABELS)) if other != truth])
    return Face(truth, chance.random() + harder, wrong, chance.getrandbits(48))


def answer(behaviour: Behaviour, face: Face, board: str, model: str) -> Answer | None:
    """What a model of this behaviour says of a face; None when it gives no answer. `model` tells models apart."""
    own = random.Random(f"{model}/{face.chance}")  # noqa: S311  # a rehearsal, not a secret
    if own.random() < behaviour.fails:
        return None
    margin = behaviour.accuracy - face.difficulty + own.gauss(0.0, _OWN_NOISE)
    label = face.truth if margin > 0 else face.wrong
    seems = abs(_USUAL_ACCURACY - margin + own.gauss(0.0, _SURE_NOISE))  # how difficult, to this model
    confidence = _confidence(seems if seems < 1 else 1 - _HARDEST * own.random())
    if (said := _said(behaviour, own)) is not None:
        label = said
    first, second, share = behaviour.swaps
    if label in {first, second} and own.random() < share:
        label = second if label == first else first
    seconds = INVOKE_S * behaviour.factor(board) * own.lognormvariate(0.0, 0.05)
    return Answer(LABELS[label], confidence, seconds)


def _confidence(difficulty: float) -> float:
    """So sure is a model of a face of this difficulty: over all difficulties from 0 to 1, as often as was measured."""
    bounded = min(difficulty, _HARDER[-1])
    tenth = max(bisect_left(_HARDER, bounded) - 1, 0)
    within = (bounded - _HARDER[tenth]) / (_HARDER[tenth + 1] - _HARDER[tenth])
    return min(0.99, 1.0 - (tenth + within) / 10)


def parse_behaviour(text: str) -> Behaviour:
    """Read `good`, `worse:0.05`, `says:neutral:0.2`, `slow:BOARD:2`, `swap:happy:sad:0.1` or `fails:0.1`.

    Raises:
        UsageError: it is none of them.
    """
    try:
        match text.split(":"):
            case ["good"]:
                return Behaviour()
            case ["worse", points]:
                return Behaviour(accuracy=Behaviour().accuracy - _share(points))
            case ["says", label, share]:
                return Behaviour(says={LABELS.index(label): _share(share)})
            case ["slow", board, factor] if 1 <= float(factor) <= 1000:
                return Behaviour(slower={board: float(factor)})
            case ["swap", first, second, share]:
                return Behaviour(swaps=(LABELS.index(first), LABELS.index(second), _share(share)))
            case ["fails", share]:
                return Behaviour(fails=_share(share))
    except ValueError:
        pass
    raise UsageError(
        f"{text!r} is no way for a model to behave",
        remedy="write good, worse:0.05, says:neutral:0.2, slow:BOARD:2, swap:happy:sad:0.1 or fails:0.1",
    )


def _said(behaviour: Behaviour, own: random.Random) -> int | None:
    drawn = own.random()
    for label, share in behaviour.says.items():
        if drawn < share:
            return label
        drawn -= share
    return None


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value

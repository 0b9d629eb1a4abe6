"""Telemetry as a device sends it, for tests of what is made of it: one camera that counts what it is told."""

from collections import Counter
from dataclasses import dataclass, field

from edge_contract.messages import Histogram, ModelRef, ShadowCounts, Telemetry

OLD = ModelRef(name="emotion", release=5, digest="5" * 64)
NEW = ModelRef(name="emotion", release=6, digest="6" * 64)
OTHER = ModelRef(name="emotion", release=7, digest="7" * 64)


@dataclass
class Camera:
    """Cumulative counts of one session, windows of ten seconds."""

    name: str = "hall"
    session: int = 1000
    sequence: int = 0
    clock: float = 1.8e9
    model: ModelRef | None = OLD
    seconds: float = 10.0
    faces: Counter[str] = field(default_factory=Counter)
    confidence: float = 0.0
    errors: int = 0
    spent: float = 0.0
    pair: tuple[ModelRef, ModelRef] | None = None
    looks: Counter[tuple[str, str]] = field(default_factory=Counter)
    less_sure: int = 0
    more_sure: int = 0
    slower: int = 0
    sure: Counter[str] = field(default_factory=Counter)
    contradicted: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    skipped: int = 0

    def restart(self) -> None:
        """A new session: every count begins at zero."""
        self.session += 1
        self.faces, self.looks, self.sure, self.contradicted = Counter(), Counter(), Counter(), Counter()
        self.confidence = self.spent = 0.0
        self.errors = self.less_sure = self.more_sure = self.slower = self.failures = self.skipped = 0

    def answers(self, faces: dict[str, int], *, sure: float = 0.7, each: float = 0.01, errors: int = 0) -> None:
        """Count faces by label."""
        self.faces.update(faces)
        count = sum(faces.values())
        self.confidence += sure * count
        self.spent += each * count
        self.errors += errors

    def compares(self, looks: dict[tuple[str, str], int], **more: int) -> None:
        """Count looks by the two labels; `less_sure`, `more_sure`, `slower`, `failures`, `skipped` beside."""
        self.pair = self.pair or (OLD, NEW)
        self.looks.update(looks)
        for name, count in more.items():
            setattr(self, name, getattr(self, name) + count)

    def surely(self, looks: dict[tuple[str, str], int]) -> None:
        """Count looks of which the old release is sure, by the two labels."""
        self.compares(looks)
        for (old, new), count in looks.items():
            self.sure[old] += count
            if old != new:
                self.contradicted[old] += count

    def window(self) -> Telemetry:
        """The next message."""
        self.sequence += 1
        begin, self.clock = self.clock, self.clock + self.seconds
        count = sum(self.faces.values())
        buckets = (0, 0, 0, 0, 0, 0, count, 0, 0, 0)
        return Telemetry(
            device=self.name,
            site="home",
            start=begin,
            end=self.clock,
            model=self.model,
            counters={"errors_model": self.errors},
            emotions=dict(self.faces),
            stages={"invoke": Histogram(counts=(count, *[0] * 18), sum=self.spent)},
            confidence=Histogram(counts=buckets, sum=self.confidence),
            gauges={},
            shadow=self._shadow(),
            session=self.session,
            sequence=self.sequence,
            oldest=(self.session, 1),
        )

    def _shadow(self) -> ShadowCounts | None:
        if self.pair is None:
            return None
        looks = sum(self.looks.values())
        confusion: dict[str, dict[str, int]] = {}
        for (one, two), count in self.looks.items():
            confusion.setdefault(one, {})[two] = count
        empty = Histogram(counts=(0,) * 10, sum=0.0)
        return ShadowCounts(
            champion=self.pair[0],
            challenger=self.pair[1],
            looks=looks,
            failures=self.failures,
            skipped=self.skipped,
            agreed=sum(count for (one, two), count in self.looks.items() if one == two),
            confusion=confusion,
            less_sure=self.less_sure,
            more_sure=self.more_sure,
            slower=self.slower,
            champion_confidence=empty,
            challenger_confidence=empty,
            champion_latency=Histogram(counts=(looks, *[0] * 18), sum=0.01 * looks),
            challenger_latency=Histogram(counts=(looks, *[0] * 18), sum=0.01 * looks),
            sure=dict(self.sure),
            contradicted=dict(self.contradicted),
        )

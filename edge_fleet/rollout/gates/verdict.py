"""What a gate says of a wave: pass, fail, or inconclusive, each with one sentence that holds its numbers."""

import enum

from msgspec import Struct


class Outcome(enum.StrEnum):
    """No data is no success: what cannot be told yet is inconclusive, and the rollout waits."""

    PASS = "pass"  # noqa: S105  # a verdict
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


class Finding(Struct, frozen=True, kw_only=True):
    """One gate's, of one thing that it looks at."""

    gate: str
    """`shadow`, `installed`, `healthy`, `behaves` or `approve`."""
    outcome: Outcome
    text: str
    """One sentence: what was counted, its bound, and what is missing where it is inconclusive."""


class Verdict(Struct, frozen=True, kw_only=True):
    """All gates of a wave together."""

    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """Fail where any gate fails, pass where all pass; without any finding inconclusive."""
        outcomes = {finding.outcome for finding in self.findings}
        if Outcome.FAIL in outcomes:
            return Outcome.FAIL
        return Outcome.PASS if outcomes == {Outcome.PASS} else Outcome.INCONCLUSIVE

    @property
    def text(self) -> str:
        """The sentences of what decides: those that fail, else those that are inconclusive, else all."""
        decisive = [finding for finding in self.findings if finding.outcome is self.outcome]
        return " ".join(finding.text for finding in decisive)

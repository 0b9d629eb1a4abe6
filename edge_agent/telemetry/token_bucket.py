"""A cap on how often something may happen: a bucket of tokens that fills with time. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`per_minute` on average, and as many at once as a quarter of a minute's worth."""

    per_minute: float
    tokens: float
    filled: float
    """When `tokens` was right, seconds of a clock that only grows."""

    @classmethod
    def full(cls, per_minute: float, now: float) -> "TokenBucket":
        """A bucket that has rested."""
        return cls(per_minute, max(1.0, per_minute / 4), now)

    def take(self, now: float) -> tuple["TokenBucket", bool]:
        """The bucket after one more was asked for, and whether it was granted."""
        tokens = min(max(1.0, self.per_minute / 4), self.tokens + (now - self.filled) * self.per_minute / 60)
        granted = tokens >= 1
        return replace(self, tokens=tokens - granted, filled=now), granted

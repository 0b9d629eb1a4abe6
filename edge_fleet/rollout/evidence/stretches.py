"""A ratio over stretches of time, such as confidence per face: its mean, and how far chance alone moves it. Pure.

Faces of one minute are the same people in the same light, so a thousand of them are no thousand observations. What is
counted is joined to stretches of minutes, and the scatter between stretches is what a mean's error is taken from: a
ratio estimator with clustered errors. Five sums hold all of it, however long it lasts.
"""

import math

from msgspec import Struct

from edge_contract.messages import Count


class Series(Struct, frozen=True, array_like=True):
    """Sums over stretches: of what is divided by (`weight`), of what is divided (`value`), and of their products."""

    stretches: Count = 0
    weight: float = 0.0
    value: float = 0.0
    weight_squared: float = 0.0
    product: float = 0.0
    value_squared: float = 0.0

    def added(self, weight: float, value: float) -> "Series":
        """With one more stretch; one without weight is none."""
        if weight <= 0:
            return self
        return self.joined(Series(1, weight, value, weight * weight, weight * value, value * value))

    def joined(self, other: "Series") -> "Series":
        """The stretches of both."""
        return Series(
            self.stretches + other.stretches,
            self.weight + other.weight,
            self.value + other.value,
            self.weight_squared + other.weight_squared,
            self.product + other.product,
            self.value_squared + other.value_squared,
        )

    def scaled(self, factor: float) -> "Series":
        """As if every stretch had so many times what it had."""
        square = factor * factor
        return Series(
            self.stretches, self.weight * factor, self.value * factor,
            self.weight_squared * square, self.product * square, self.value_squared * square,
        )  # fmt: skip

    def without_value(self) -> "Series":
        """The same stretches, in which nothing was divided."""
        return Series(self.stretches, self.weight, 0.0, self.weight_squared, 0.0, 0.0)

    @property
    def mean(self) -> float:
        """Value for each unit of weight; 0 without any."""
        return self.value / self.weight if self.weight > 0 else 0.0

    @property
    def scatter(self) -> float:
        """Sum of squared deviations of the stretches' values from the mean's share of their weights."""
        mean = self.mean
        return max(0.0, self.value_squared - 2 * mean * self.product + mean * mean * self.weight_squared)

    @property
    def variance(self) -> float:
        """Of the mean, by the scatter of the stretches; infinite with fewer than two."""
        if self.stretches < 2 or self.weight <= 0:
            return math.inf
        return self.scatter / self.weight**2 * self.stretches / (self.stretches - 1)

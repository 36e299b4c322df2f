"""Everyday draws from a random stream: a chance, a whole number, a size with many small and few large ones."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


class Dice:
    """Draws from one generator of `mission.streams`."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def chance(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def share(self, low: float, high: float) -> float:
        """Anything from low to high, evenly."""
        return low + (high - low) * float(self._rng.random())

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self._rng.integers(low, high + 1))

    def skewed(self, low: float, high: float) -> float:
        """From low (above 0) to high, evenly in the logarithm."""
        return math.exp(self.share(math.log(low), math.log(high)))

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.whole(0, len(items) - 1)]

    def data(self, size_bytes: int) -> bytes:
        return self._rng.bytes(size_bytes)

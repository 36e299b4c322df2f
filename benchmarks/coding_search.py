"""Finding the setting of a codec that reaches a target, with few trials (pure)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.coding_port import KnobRange

AIM = 0.4
"""Where the next trial aims once one side is near: this share of the tolerance beyond the target, to close in from the other."""
EDGE = 0.08
"""A trial stays this share of the bracket away from its ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """Two settings around a target; None where there is none on that side."""

    below: float | None
    """The highest setting that stays below the target."""
    above: float | None
    """The lowest that reaches it."""


@dataclass(slots=True, kw_only=True)
class Search:
    """Remembers what was tried, so that later targets begin from earlier ones."""

    measure: Callable[[float], float]
    """Setting to measure; rises, apart from small ripples."""
    knob: KnobRange
    tried: dict[float, float] = field(default_factory=dict)

    def bracket(self, target: float, tolerance: float, *, near_steps: float = 1.5) -> Bracket:
        """Settings on both sides of `target` whose measures lie at most `tolerance` apart, or that are so few steps apart.

        Some codecs leap between neighbouring settings; looking for the very place of a leap does not pay.
        """
        for upward in (False, True):
            self._reach(target, tolerance, upward=upward)
        while True:
            found = self._nearest(target)
            if found.below is None or found.above is None:
                return found
            low_value, high_value = self.tried[found.below], self.tried[found.above]
            if high_value - low_value <= tolerance or found.above - found.below < near_steps * self.knob.step:
                return found
            self._try(self._next(found.below, found.above, target, tolerance))

    def _reach(self, target: float, tolerance: float, *, upward: bool) -> None:
        """Try settings until one lies on that side of the target, or the end of the range does not.

        From the start, or the outermost that was tried, in strides that double, and as far as the slope of the two outermost says
        once there are two: an end may take much longer than what lies near.
        """
        end = self.knob.high if upward else self.knob.low
        if self.knob.start is None:
            if not self._is_reached(target, upward):
                self._try(end)
            return
        if not self.tried:
            self._try(self.knob.start)
        stride = self.knob.stride
        while not self._is_reached(target, upward):
            outermost = max(self.tried) if upward else min(self.tried)
            if outermost == end:
                return
            distance = self._distance(target + (AIM if upward else -AIM) * tolerance, upward) or stride
            self._try(min(outermost + distance, end) if upward else max(outermost - distance, end))
            stride *= 2

    def _distance(self, aim: float, upward: bool) -> float | None:
        """How far beyond the outermost setting the measure is `aim`, straight on from the next; in whole steps, None where unknown."""
        if len(self.tried) < 2:
            return None
        first, second = sorted(self.tried, reverse=upward)[:2]
        slope = (self.tried[first] - self.tried[second]) / (first - second)
        distance = abs(aim - self.tried[first]) / slope if slope > 0 else math.inf
        longest = 4 * abs(first - second) + self.knob.stride
        return max(1, math.ceil(min(distance, longest) / self.knob.step)) * self.knob.step

    def _is_reached(self, target: float, upward: bool) -> bool:
        return any((value >= target) == upward for value in self.tried.values())

    def _next(self, below: float, above: float, target: float, tolerance: float) -> float:
        """By interpolation of the measure, on the grid of steps, strictly between the two."""
        low_value, high_value = self.tried[below], self.tried[above]
        aim = target
        if high_value - target <= tolerance * AIM:
            aim = target - tolerance * AIM
        elif target - low_value <= tolerance * AIM:
            aim = target + tolerance * AIM
        share = (aim - low_value) / max(high_value - low_value, 1e-12)
        share = min(max(share, EDGE), 1 - EDGE) if math.isfinite(share) else 0.5
        steps = round((above - below) / self.knob.step)
        return below + min(max(1, round(share * steps)), steps - 1) * self.knob.step

    def _nearest(self, target: float) -> Bracket:
        above = min((knob for knob, value in self.tried.items() if value >= target), default=None)
        below = max(
            (knob for knob, value in self.tried.items() if value < target and (above is None or knob < above)),
            default=None,
        )
        return Bracket(below=below, above=above)

    def _try(self, knob: float) -> None:
        if knob not in self.tried:
            self.tried[knob] = self.measure(knob)


def log_between(target: float, low: tuple[float, float], high: tuple[float, float]) -> float:
    """The size at a target between two (measure, size), straight in the logarithm of the size."""
    share = (target - low[0]) / max(high[0] - low[0], 1e-12)
    return math.exp(math.log(low[1]) + share * (math.log(high[1]) - math.log(low[1])))

"""When the panels see the Sun, as the satellite knows it: lit intervals handed over by whoever computes the orbit."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from onboard.errors import EnergyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sunlight:
    """Lit intervals in order of time; outside of them the satellite stands in eclipse."""

    intervals: tuple[tuple[int, int], ...]
    """(start_ms, end_ms) pairs, Unix ms UTC, each longer than nothing, disjoint and in order."""

    def __post_init__(self) -> None:
        edges = [edge for interval in self.intervals for edge in interval]
        if any(start >= end for start, end in self.intervals) or any(a > b for a, b in pairwise(edges)):
            raise EnergyError(f"sunlight intervals must be disjoint, in order and not empty; got {self.intervals!r}")

    def lit_ms(self, start_ms: int, end_ms: int) -> int:
        """Milliseconds of sunlight between two times."""
        return sum(end - start for start, end, lit in self.phases(start_ms, end_ms) if lit)

    def phases(self, start_ms: int, end_ms: int) -> tuple[tuple[int, int, bool], ...]:
        """The span cut at every sunrise and sunset: (start_ms, end_ms, lit), in order and without gaps."""
        phases: list[tuple[int, int, bool]] = []
        at_ms = start_ms
        first = max(0, bisect_right(self.intervals, (start_ms, start_ms)) - 1)
        for rise_ms, set_ms in self.intervals[first:]:
            if rise_ms >= end_ms or at_ms >= end_ms:
                break
            if set_ms <= at_ms:
                continue
            if rise_ms > at_ms:
                phases.append((at_ms, rise_ms, False))
            lit_until_ms = min(set_ms, end_ms)
            phases.append((max(rise_ms, at_ms), lit_until_ms, True))
            at_ms = lit_until_ms
        if at_ms < end_ms:
            phases.append((at_ms, end_ms, False))
        return tuple(phases)

    def eclipse_end_ms(self, now_ms: int) -> int | None:
        """When the eclipse that runs now, or the next one, ends; None where no later sunrise is known."""
        return next((rise_ms for rise_ms, _ in self.intervals if rise_ms > now_ms), None)

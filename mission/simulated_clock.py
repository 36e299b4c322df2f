"""A clock that is not right: it began with an error, runs too fast or too slow, and is set now and then.

It behaves as the clock of the live services does (`mission.live.live_clock`): set forward it jumps, set back by little it stands still
until it is right again, set back by more it goes back once, and whoever remembers times of before starts again.
"""

from typing import Final

HOLD_MS: Final = 2000
"""A step back of at most this is waited out."""
PARTS: Final = 1_000_000_000


class SimulatedClock:
    """One end's own time beside true time, both in Unix milliseconds."""

    def __init__(self, *, offset_ms: int = 0, drift_ppb: int = 0, since_ms: int = 0) -> None:
        """`offset_ms` is what it is ahead at the true time `since_ms`, `drift_ppb` what it gains in parts of 10**9."""
        self._offset_ms = offset_ms
        self._drift_ppb = drift_ppb
        self._since_ms = since_ms
        self._latest_ms = 0
        self._furthest_ms = 0

    @property
    def is_right(self) -> bool:
        """Whether it never differs from true time."""
        return self._offset_ms == 0 and self._drift_ppb == 0

    def read(self, true_ms: int) -> int:
        """Own time; it does not go back."""
        own_ms = self._reckoned(true_ms)
        if own_ms > self._latest_ms:
            self._latest_ms = own_ms
            self._furthest_ms = max(own_ms, self._furthest_ms)
        return self._latest_ms

    def true_ms(self, own_ms: int) -> int:
        """The first moment at which this clock will show `own_ms` or more, if it is not set before."""
        elapsed_ms = own_ms - self._offset_ms - self._since_ms
        true_ms = self._since_ms + elapsed_ms * PARTS // (PARTS + self._drift_ppb)
        while self._reckoned(true_ms) < own_ms:
            true_ms += 1
        while self._reckoned(true_ms - 1) >= own_ms:
            true_ms -= 1
        return true_ms

    def caught_up_ms(self, true_ms: int) -> int:
        """The first moment, not before `true_ms`, at which it shows more than ever before."""
        return max(true_ms, self.true_ms(self._furthest_ms + 1))

    def step(self, step_ms: int, true_ms: int) -> bool:
        """Somebody sets it; returns whether it has gone back, so that its owner must start again."""
        shown_ms = self.read(true_ms)
        self._offset_ms += step_ms
        own_ms = self._reckoned(true_ms)
        if own_ms >= shown_ms - HOLD_MS:
            return False
        self._latest_ms = own_ms
        return True

    def _reckoned(self, true_ms: int) -> int:
        return true_ms + self._offset_ms + (true_ms - self._since_ms) * self._drift_ppb // PARTS

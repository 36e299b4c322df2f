"""The clock of the live services: Unix time that runs with the monotonic clock and does not go back.

Now and then it is compared with the wall clock (`check`). Where somebody has set that forward, the time jumps; where it was
set back a little, time stands still until the wall clock has caught up; where it was set back by more, the time goes back once
and says so.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

HOLD_MS: Final = 2000
"""The wall clock may go back by so much and is waited for."""
DRIFT_MS: Final = 10
"""Differences up to this are no steps: two clocks cannot be read at the same instant."""
_READINGS: Final = 3
_CLOSE_READING_NS: Final = 200_000
_NS_PER_MS: Final = 1_000_000


class LiveClock:
    """Unix milliseconds for one process. Not for several threads."""

    def __init__(
        self,
        *,
        skew_file: Path | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`skew_file` holds milliseconds by which this clock is wrong on purpose; it may come, change and go at any time."""
        self._skew_file = skew_file
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._skew_ms = 0
        self._offset_ns = self._wall_offset_ns()
        """Wall clock minus monotonic clock."""
        self._latest_ms = 0

    def now_ms(self) -> int:
        """The time; never less than it was, but for a step back that `check` has told of."""
        self._latest_ms = max(self._latest_ms, (self._monotonic_ns() + self._offset_ns) // _NS_PER_MS)
        return self._latest_ms

    def check(self) -> int:
        """Compares with the wall clock; gives the step that was taken, in milliseconds.

        0: none, or a step back of at most `HOLD_MS` that is being waited out. Above 0: the time has jumped forward. Below 0: the time
        has gone back, and whatever remembers times of before must start again.
        """
        offset_ns = self._wall_offset_ns()  # takes time; both times below are of one moment after it
        monotonic_ns = self._monotonic_ns()
        before_ms = max(self._latest_ms, (monotonic_ns + self._offset_ns) // _NS_PER_MS)
        step_ms = (monotonic_ns + offset_ns) // _NS_PER_MS - before_ms
        self._offset_ns = offset_ns
        if step_ms < -HOLD_MS:
            self._latest_ms = before_ms + step_ms
            return step_ms
        self._latest_ms = before_ms
        return step_ms if step_ms > DRIFT_MS else 0

    def _wall_offset_ns(self) -> int:
        """Of a few readings of both clocks the one that took the least time, with the skew of the file."""
        closest_ns, offset_ns = None, 0
        for _ in range(_READINGS):
            before_ns = self._monotonic_ns()
            wall_ns = self._wall_ns()
            took_ns = self._monotonic_ns() - before_ns
            if closest_ns is None or took_ns < closest_ns:
                closest_ns, offset_ns = took_ns, wall_ns - before_ns - took_ns // 2
            if took_ns <= _CLOSE_READING_NS:
                break
        return offset_ns + self._read_skew_ms() * _NS_PER_MS

    def _read_skew_ms(self) -> int:
        """What the file says; as before where it cannot be read as a number, for it may be half written."""
        if self._skew_file is None:
            return 0
        try:
            self._skew_ms = int(self._skew_file.read_text(encoding="ascii"))
        except FileNotFoundError:
            self._skew_ms = 0
        except (OSError, ValueError):
            return self._skew_ms
        return self._skew_ms

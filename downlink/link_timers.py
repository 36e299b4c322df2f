"""Timers that run only while there is a link.

A time-out measures how long the other end has been able to answer. Between two passes it cannot, so the timers stop at loss of signal
and go on at the next acquisition of signal: no transaction dies of a gap between passes.
"""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class LinkTimers(Generic[Key]):
    """Deadlines by key, in link time: milliseconds of `now_ms` during which the link was not suspended."""

    def __init__(self) -> None:
        self._deadlines: dict[Key, int] = {}
        # Entries that no longer agree with _deadlines are stale and skipped; the count keeps the heap away from comparing keys.
        self._heap: list[tuple[int, int, Key]] = []
        self._entries_made = 0
        self._silent_ms = 0
        self._suspended_at_ms: int | None = None

    @property
    def suspended(self) -> bool:
        """Whether time stands still."""
        return self._suspended_at_ms is not None

    def suspend(self, now_ms: int) -> None:
        """Stops all timers. A second call changes nothing."""
        if self._suspended_at_ms is None:
            self._suspended_at_ms = now_ms

    def resume(self, now_ms: int) -> None:
        """Lets all timers run on with what they had left."""
        if self._suspended_at_ms is not None:
            self._silent_ms += now_ms - self._suspended_at_ms
            self._suspended_at_ms = None

    def start(self, key: Key, now_ms: int, delay_ms: int) -> None:
        """Sets the timer of `key`, in place of the one it may have."""
        deadline = self._link_ms(now_ms) + delay_ms
        self._deadlines[key] = deadline
        self._entries_made += 1
        heapq.heappush(self._heap, (deadline, self._entries_made, key))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._deadlines):
            self._heap = [entry for entry in self._heap if self._deadlines.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Forgets the timer of `key`, if it has one."""
        self._deadlines.pop(key, None)

    def shorten(self, now_ms: int, longest_ms: int) -> None:
        """Lets no timer run longer than `longest_ms` from now."""
        for key, left_ms in self.remaining_ms(now_ms):
            if left_ms > longest_ms:
                self.start(key, now_ms, longest_ms)

    def running(self, key: Key) -> bool:
        """Whether `key` has a timer."""
        return key in self._deadlines

    def pop_due(self, now_ms: int) -> Key | None:
        """Removes and returns the key whose deadline passed first, None while none has passed."""
        if not self._heap:
            return None
        deadline = self._earliest()
        if deadline is None or self.suspended or deadline > self._link_ms(now_ms):
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._deadlines[key]
        return key

    def next_due_ms(self) -> int | None:
        """The `now_ms` at which the first deadline passes, None while suspended or without timers."""
        deadline = self._earliest()
        return None if deadline is None or self.suspended else deadline + self._silent_ms

    def remaining_ms(self, now_ms: int) -> list[tuple[Key, int]]:
        """What every timer has left, for a snapshot."""
        link_ms = self._link_ms(now_ms)
        return [(key, max(0, deadline - link_ms)) for key, deadline in self._deadlines.items()]

    def _link_ms(self, now_ms: int) -> int:
        return (now_ms if self._suspended_at_ms is None else self._suspended_at_ms) - self._silent_ms

    def _earliest(self) -> int | None:
        while self._heap and self._deadlines.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

"""Sets of byte positions, kept as sorted disjoint half-open ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class ByteRanges:
    """Which bytes of a file have arrived, or are asked for again."""

    __slots__ = ("_ends", "_starts", "end", "total_bytes")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        # Range i is _starts[i].._ends[i]; neighbours never touch.
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total_bytes = 0
        self.end = 0
        """end of the last range, 0 where there is none"""
        for start, end in ranges:
            self.add(start, end)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __len__(self) -> int:
        return len(self._starts)

    def ranges(self) -> list[tuple[int, int]]:
        """The ranges, in order."""
        return list(zip(self._starts, self._ends, strict=True))

    @property
    def prefix_end(self) -> int:
        """End of the range that begins at 0, 0 where there is none."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def add(self, start: int, end: int) -> None:
        """Adds the bytes start..end."""
        if start >= end:
            return
        if self._ends and start == self.end:  # The usual case: bytes in order.
            self._ends[-1] = self.end = end
            self.total_bytes += end - start
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
            self.total_bytes -= sum(self._ends[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self.end = self._ends[-1]
        self.total_bytes += end - start

    def take_first(self, max_bytes: int) -> tuple[int, int]:
        """Removes and returns the front of the first range, at most `max_bytes` of it. The set must not be empty."""
        start = self._starts[0]
        end = min(self._ends[0], start + max_bytes)
        if end == self._ends[0]:
            del self._starts[0], self._ends[0]
            self.end = self._ends[-1] if self._ends else 0
        else:
            self._starts[0] = end
        self.total_bytes -= end - start
        return start, end

    def gaps(self, start: int, end: int, *, limit: int | None = None) -> list[tuple[int, int]]:
        """The ranges of start..end that are not in the set, in order, the first `limit` of them."""
        missing: list[tuple[int, int]] = []
        index = bisect_right(self._ends, start)
        while start < end and (limit is None or len(missing) < limit):
            next_start = self._starts[index] if index < len(self._starts) else end
            if start < next_start:
                missing.append((start, min(next_start, end)))
            if index == len(self._starts):
                break
            start = self._ends[index]
            index += 1
        return missing

    def touches(self, start: int, end: int) -> bool:
        """Whether start..end overlaps or continues a range, so that adding it makes no range more."""
        return bisect_left(self._ends, start) < bisect_right(self._starts, end)

    def covers(self, start: int, end: int) -> bool:
        """Whether all of start..end is in the set."""
        return not self.gaps(start, end, limit=1)

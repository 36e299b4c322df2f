"""Records of a file, one after the other, with memory for a piece of it alone (sans-I/O: the file is read through a function)."""

from collections.abc import Callable, Iterator
from typing import Final

from downlink.record import Record, scan_records

PIECE_BYTES: Final = 1024 * 1024
"""Read at once; more where a record is longer, or says so: at most twice the longest payload."""


class RecordWalk:
    """Every whole record between the file's beginning and a byte, in order; what lies between them is passed over and counted.

    Finds what `scan_records(..., final=True)` finds in all the bytes at once.
    """

    def __init__(self, read: Callable[[int, int], bytes], end: int, *, piece_bytes: int = PIECE_BYTES) -> None:
        """`read(start, size_bytes)` gives bytes of the file; none from `end` on are looked at."""
        self._read = read
        self._end = end
        self._piece_bytes = piece_bytes
        self.skipped_bytes = 0
        """Bytes passed over so far, those of the tail not counted."""
        self.tail_start: int | None = None
        """Once the walk is over: where what may be the beginning of a cut record begins, with no whole one behind it; None without."""

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        """Position and record."""
        start, data = 0, b""
        while start + len(data) < self._end:
            wanted_bytes = min(max(self._piece_bytes, len(data)), self._end - start - len(data))
            piece = self._read(start + len(data), wanted_bytes)
            if not piece:
                break
            data += piece
            scan = scan_records(data)
            yield from ((start + offset, record) for offset, record in zip(scan.offsets, scan.records, strict=True))
            self.skipped_bytes += scan.skipped_bytes
            start, data = start + scan.consumed, data[scan.consumed :]
        if data:
            yield from self._behind(start, data)

    def _behind(self, start: int, data: bytes) -> Iterator[tuple[int, Record]]:
        """What stands at the end and is no whole record may be one whose length is damaged: others may lie behind its beginning."""
        scan = scan_records(data, 1, final=True)
        if not scan.records:
            self.tail_start = start
            return
        self.skipped_bytes += 1 + scan.skipped_bytes
        yield from ((start + offset, record) for offset, record in zip(scan.offsets, scan.records, strict=True))

"""Bytes of a file as they arrive: in order, out of order, twice."""

from downlink.byte_ranges import ByteRanges

# What an out-of-order piece costs beside its bytes, roughly, so that many tiny pieces count for what they take.
_PIECE_OVERHEAD_BYTES = 128


class SegmentBuffer:
    """What has arrived of one file. Of bytes that arrive twice the first are kept.

    Bytes that continue the file's beginning go straight to its end; only pieces behind a gap are held apart, so a file that comes in order
    costs its length and no sorting.
    """

    def __init__(self) -> None:
        self.ranges = ByteRanges()
        self._prefix = bytearray()
        # By offset. Pieces do not overlap, and none begins where the prefix ends.
        self._pieces: dict[int, bytes] = {}

    @property
    def held_bytes(self) -> int:
        """Memory taken, roughly."""
        return self.ranges.total_bytes + _PIECE_OVERHEAD_BYTES * len(self._pieces)

    @property
    def end(self) -> int:
        """End of the furthest byte that has arrived."""
        return self.ranges.end

    def add(self, offset: int, data: bytes) -> list[tuple[int, bytes]]:
        """Takes a segment. Returns the pieces of it that were not there before, as (offset, bytes)."""
        missing = self.ranges.gaps(offset, offset + len(data))
        fresh = [(start, data[start - offset : end - offset]) for start, end in missing]
        self.ranges.add(offset, offset + len(data))
        for start, piece in fresh:
            self._pieces[start] = piece
        while (piece_bytes := self._pieces.pop(len(self._prefix), None)) is not None:
            self._prefix += piece_bytes
        return fresh

    def prefix(self, start: int = 0) -> bytes:
        """The beginning of the file, from `start` up to the first gap."""
        return bytes(memoryview(self._prefix)[start:])

    def pieces_after_prefix(self) -> list[tuple[int, bytes]]:
        """What arrived behind the first gap: (offset, bytes), in order, not touching."""
        joined: list[tuple[int, bytearray]] = []
        for start in sorted(self._pieces):
            if joined and joined[-1][0] + len(joined[-1][1]) == start:
                joined[-1][1].extend(self._pieces[start])
            else:
                joined.append((start, bytearray(self._pieces[start])))
        return [(start, bytes(piece)) for start, piece in joined]

    def segments(self) -> tuple[tuple[int, bytes], ...]:
        """All that arrived: (offset, bytes), in order, not touching."""
        first = [(0, self.prefix())] if self._prefix else []
        return (*first, *self.pieces_after_prefix())

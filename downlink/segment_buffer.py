"""Bytes of a file as they arrive: in order, out of order, twice. In memory, or in a sink that the user provides."""

from collections.abc import Iterable
from typing import ClassVar, Protocol

from downlink.byte_ranges import ByteRanges
from downlink.cfdp_checksum import file_checksum, stored_checksum
from downlink.file_ports import FileSink

# What a piece behind a gap costs beside its bytes, roughly, so that many tiny pieces count for what they take.
_PIECE_OVERHEAD_BYTES = 128


class ArrivedBytes(Protocol):
    """What has arrived of one file. Of bytes that arrive twice the first are kept."""

    holds_bytes: ClassVar[bool]
    """whether the bytes themselves are in memory"""
    ranges: ByteRanges
    """which bytes have arrived"""

    held_bytes: int
    """memory taken, roughly"""

    def add(self, offset: int, data: bytes) -> list[tuple[int, bytes]]:
        """Takes a segment. Returns the pieces of it that were not there before, as (offset, bytes)."""

    def prefix(self, start: int = 0) -> bytes:
        """The beginning of the file, from `start` up to the first gap."""

    def pieces_after_prefix(self) -> list[tuple[int, bytes]]:
        """What arrived behind the first gap: (offset, bytes), in order, not touching."""

    def checksum(self, checksum_type: int) -> int | None:
        """The checksum of the beginning of the file, up to the first gap; None where its bytes cannot be read."""


class SegmentBuffer:
    """A file that arrives in memory.

    Bytes that continue the file's beginning go straight to its end; only pieces behind a gap are held apart, so a file that comes in order
    costs its length and no sorting.
    """

    holds_bytes: ClassVar[bool] = True

    def __init__(self) -> None:
        self.ranges = ByteRanges()
        self._prefix = bytearray()
        # By offset. Pieces do not overlap, and none begins where the prefix ends.
        self._pieces: dict[int, bytes] = {}
        self.held_bytes = 0

    def add(self, offset: int, data: bytes) -> list[tuple[int, bytes]]:
        """Takes a segment. Returns the pieces of it that were not there before, as (offset, bytes)."""
        if offset == len(self._prefix) and not self._pieces:
            self._prefix += data
            self.held_bytes = offset + len(data)
            self.ranges.add(offset, self.held_bytes)
            return [(offset, data)] if data else []
        missing = self.ranges.gaps(offset, offset + len(data))
        fresh = [(start, data[start - offset : end - offset]) for start, end in missing]
        self.ranges.add(offset, offset + len(data))
        for start, piece in fresh:
            self._pieces[start] = piece
        while (piece_bytes := self._pieces.pop(len(self._prefix), None)) is not None:
            self._prefix += piece_bytes
        self.held_bytes = self.ranges.total_bytes + _PIECE_OVERHEAD_BYTES * len(self._pieces)
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

    def checksum(self, checksum_type: int) -> int | None:
        """The checksum of the beginning of the file, up to the first gap."""
        return file_checksum(checksum_type, self._prefix)


class SinkBuffer:
    """A file whose bytes go to a sink as they arrive; only which have arrived is in memory."""

    holds_bytes: ClassVar[bool] = False

    def __init__(self, sink: FileSink) -> None:
        self.ranges = ByteRanges()
        self.sink = sink
        self.held_bytes = 0

    def add(self, offset: int, data: bytes) -> list[tuple[int, bytes]]:
        """Takes a segment. Returns the pieces of it that were not there before, as (offset, bytes)."""
        missing = self.ranges.gaps(offset, offset + len(data))
        fresh = [(start, data[start - offset : end - offset]) for start, end in missing]
        for start, piece in fresh:
            self.sink.write(start, piece)
        self.ranges.add(offset, offset + len(data))
        self.held_bytes = _PIECE_OVERHEAD_BYTES * len(self.ranges)
        return fresh

    def take_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Notes what the sink holds already, after a restart."""
        self.ranges = ByteRanges(ranges)
        self.held_bytes = _PIECE_OVERHEAD_BYTES * len(self.ranges)

    def prefix(self, start: int = 0) -> bytes:
        """The beginning of the file, from `start` up to the first gap."""
        end = self.ranges.prefix_end
        return self.sink.read(start, end) if start < end else b""

    def pieces_after_prefix(self) -> list[tuple[int, bytes]]:
        """What arrived behind the first gap: (offset, bytes), in order, not touching."""
        return [(start, self.sink.read(start, end)) for start, end in self.ranges.ranges() if start]

    def checksum(self, checksum_type: int) -> int | None:
        """The checksum of the beginning of the file, up to the first gap; None where its bytes cannot be read."""
        return stored_checksum(checksum_type, self.sink, self.ranges.prefix_end)

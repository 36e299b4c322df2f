"""Bytes of a fuzzer read as choices: the same input gives the same choices, with or without a fuzzer."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Tape:
    """Reads an input from front to back. Past its end it reads zeros, so that every input says something."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, width: int) -> int:
        """An unsigned number of `width` bytes, big-endian."""
        piece = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(piece.ljust(width, b"\0"), "big")

    def byte(self) -> int:
        return self.number(1)

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1; `limit` is at most 65536."""
        return self.number(1 if limit <= 256 else 2) % limit

    def flag(self) -> bool:
        return bool(self.byte() & 1)

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.below(len(items))]

    def chunk(self, longest: int = 0xFFFF) -> bytes:
        """Bytes with their length in front: one byte, or two where the first is 255."""
        length = self.byte()
        if length == 0xFF:
            length = self.number(2)
        return self.take(min(length, longest))

    def take(self, length: int) -> bytes:
        """The next bytes, fewer where the input ends."""
        piece = self._data[self._at : self._at + length]
        self._at += length
        return piece

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(max(0, len(self._data) - self._at))

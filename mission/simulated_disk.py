"""A pretend disk under a real journal: it loses its power, fills up, and its bits rot.

What is written lies in a cache until it is synchronised. A loss of power keeps what was synchronised and, of the rest, whatever had got
to the disk by itself: nothing, a part with a torn end, or a length without its content. A process that is merely killed leaves the
cache as it is. `downlink.journal.FileJournal` runs on top as it does on a real disk.
"""

import errno
from bisect import bisect_right
from collections.abc import Iterable

from downlink.record import Record, scan_records
from mission.dice import Dice
from mission.errors import PowerLost

NO_SPACE = "No space left on device"


class SimulatedDisk:
    """One file, byte by byte (`downlink.journal_file.JournalFile`)."""

    def __init__(self, name: str, dice: Dice) -> None:
        """`dice` decide where power ends within a write, and what of the cache survives."""
        self.full = False
        """No room: writes raise OSError once a part of them has been written."""
        self._name = name
        self._dice = dice
        self._image = bytearray()
        self._durable = bytearray()
        self._dirty_from: int | None = None
        self._powered_bytes: int | None = None
        self._dies_at_sync: str = ""

    # ---- the file

    @property
    def name(self) -> str:
        return self._name

    def size_bytes(self) -> int:
        return len(self._image)

    def read(self, start: int, size_bytes: int) -> bytes:
        return bytes(self._image[start : start + size_bytes])

    def write(self, start: int, data: bytes) -> None:
        """Raises PowerLost when the power ends on the way, OSError when the disk is full: some bytes are in the cache then."""
        if self.full:
            self._put(start, data[: self._dice.whole(0, len(data))])
            raise OSError(errno.ENOSPC, NO_SPACE)
        if self._powered_bytes is None or len(data) < self._powered_bytes:
            if self._powered_bytes is not None:
                self._powered_bytes -= len(data)
            self._put(start, data)
            return
        written, self._powered_bytes = self._powered_bytes, None
        moment = self._dice.pick(("in the write", "before it is synchronised", "once it is synchronised"))
        if moment == "in the write":
            self._put(start, data[:written])
            raise PowerLost(self, written, len(data))
        self._put(start, data)
        self._dies_at_sync = moment

    def truncate(self, size_bytes: int) -> None:
        self._touch(size_bytes)
        del self._image[size_bytes:]

    def sync(self) -> None:
        """Raises PowerLost where the power ends here, with or without the bytes on the disk."""
        if self._dies_at_sync.startswith("before"):
            raise PowerLost(self, 0, len(self._image))
        if self._dirty_from is not None:
            del self._durable[self._dirty_from :]
            self._durable += self._image[self._dirty_from :]
            self._dirty_from = None
        if self._dies_at_sync:
            raise PowerLost(self, len(self._image), len(self._image))

    def replace(self, pieces: Iterable[bytes]) -> None:
        """Raises PowerLost or OSError with the old content in place."""
        image = b"".join(pieces)
        if self.full:
            raise OSError(errno.ENOSPC, NO_SPACE)
        if self._powered_bytes is not None and self._powered_bytes <= len(image):
            self._powered_bytes = None
            raise PowerLost(self, 0, len(image))
        self._image[:] = image
        self._durable[:], self._dirty_from = image, None

    def sync_name(self) -> None:
        """`replace` is for good here."""

    def close(self) -> None:
        """Nothing to do."""

    # ---- faults

    def lose_power_after(self, write_bytes: int) -> None:
        """Let the power end in the write that brings the bytes written to this many more, at least 1."""
        self._powered_bytes = max(1, write_bytes)

    def keep_power(self) -> None:
        """Power stays from now on."""
        self._powered_bytes, self._dies_at_sync = None, ""

    def lose_power(self) -> int:
        """The cache is gone, but for what had got to the disk by itself; returns the bytes that are gone."""
        self.keep_power()
        if self._dirty_from is None:
            return 0
        cached = bytes(self._image[self._dirty_from :])
        self._image[:] = self._durable
        kept = self._dice.pick((0, self._dice.whole(0, len(cached)), len(cached)))
        survived = cached[:kept] + bytes(self._dice.whole(0, len(cached) - kept) if self._dice.chance(0.2) else 0)
        # Where less is kept than was there before, the old bytes show behind it.
        self._image[self._dirty_from : self._dirty_from + len(survived)] = survived
        self._durable[:], self._dirty_from = self._image, None
        return len(cached) - kept

    def rot(self, at_bit: int) -> Record | None:
        """A bit has flipped; returns the record that it was in, None where it was in none. Raises IndexError beyond the end."""
        at_byte = at_bit // 8
        scan = scan_records(bytes(self._image), final=True)
        index = bisect_right(scan.offsets, at_byte) - 1
        hit = index >= 0 and at_byte < scan.offsets[index] + scan.records[index].size_bytes
        self._image[at_byte] ^= 0x80 >> at_bit % 8
        if at_byte < len(self._durable):
            self._durable[at_byte] ^= 0x80 >> at_bit % 8
        return scan.records[index] if hit else None

    def _put(self, start: int, data: bytes) -> None:
        self._touch(start)
        self._image[start : start + len(data)] = data

    def _touch(self, start: int) -> None:
        self._dirty_from = start if self._dirty_from is None else min(start, self._dirty_from)

"""A journal on a pretend disk that can lose its power in the middle of a write.

It keeps bytes, not records: after a loss of power the next owner reads what reached the disk and cuts a torn tail off, as
`downlink.journal.FileJournal` does.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from downlink.errors import JournalError
from downlink.record import Record, encode_record, record_at, scan_records
from mission.errors import PowerLost


class SimulatedDisk:
    """One journal in memory, byte by byte."""

    def __init__(self) -> None:
        self._image = bytearray()
        self._powered_bytes: int | None = None

    def append(self, records: Iterable[Record]) -> tuple[int, ...]:
        """Raises PowerLost when the power ends on the way: the bytes written before stay."""
        encoded = [encode_record(record) for record in records]
        data = b"".join(encoded)
        positions = tuple(accumulate(map(len, encoded[:-1]), initial=len(self._image))) if encoded else ()
        if self._powered_bytes is None:
            self._image += data
            return positions
        written = min(len(data), self._powered_bytes)
        self._image += data[:written]
        self._powered_bytes -= written
        if data and self._powered_bytes == 0:  # also when the last byte was written and nobody heard of it
            self._powered_bytes = None
            raise PowerLost(self, written, len(data))
        return positions

    def read(self, position: int) -> Record:
        record = record_at(bytes(self._image[position:]))
        if record is None:
            raise JournalError(f"no whole record at byte {position} of {len(self._image)}")
        return record

    def entries(self) -> Iterator[tuple[int, Record]]:
        scan = scan_records(bytes(self._image))
        return zip(scan.offsets, scan.records, strict=True)

    def records(self) -> Iterator[Record]:
        return (record for _, record in self.entries())

    def replace(self, records: Iterable[Record]) -> tuple[int, ...]:
        """Atomic: raises PowerLost with the old content in place."""
        encoded = [encode_record(record) for record in records]
        image = b"".join(encoded)
        if self._powered_bytes is not None and self._powered_bytes <= len(image):
            self._powered_bytes = None
            raise PowerLost(self, 0, len(image))
        self._image[:] = image
        return tuple(accumulate(map(len, encoded[:-1]), initial=0)) if encoded else ()

    @property
    def size_bytes(self) -> int:
        return len(self._image)

    def lose_power_after(self, write_bytes: int) -> None:
        """Let the power end once this many more bytes, at least 1, have been written."""
        self._powered_bytes = max(1, write_bytes)

    def restart(self) -> None:
        """Power is back and stays: the torn tail is cut off."""
        self._powered_bytes = None
        del self._image[scan_records(bytes(self._image)).consumed :]

"""A journal on a pretend disk that can lose its power in the middle of a write.

It keeps bytes, not records: after a loss of power the next owner reads what reached the disk and cuts a torn tail off, as
`downlink.journal.FileJournal` does.
"""

from collections.abc import Iterable, Iterator

from downlink.record import Record, encode_record, scan_records
from mission.errors import PowerLost


class SimulatedDisk:
    """One journal in memory, byte by byte."""

    def __init__(self) -> None:
        self._image = bytearray()
        self._powered_bytes: int | None = None

    def append(self, records: Iterable[Record]) -> None:
        """Raises PowerLost when the power ends on the way: the bytes written before stay."""
        data = b"".join(encode_record(record) for record in records)
        if self._powered_bytes is None:
            self._image += data
            return
        written = min(len(data), self._powered_bytes)
        self._image += data[:written]
        self._powered_bytes -= written
        if data and self._powered_bytes == 0:  # also when the last byte was written and nobody heard of it
            self._powered_bytes = None
            raise PowerLost(self, written, len(data))

    def records(self) -> Iterator[Record]:
        return iter(scan_records(bytes(self._image)).records)

    def replace(self, records: Iterable[Record]) -> None:
        """Atomic: raises PowerLost with the old content in place."""
        image = b"".join(encode_record(record) for record in records)
        if self._powered_bytes is not None and self._powered_bytes <= len(image):
            self._powered_bytes = None
            raise PowerLost(self, 0, len(image))
        self._image[:] = image

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

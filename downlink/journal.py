"""A durable, append-only file of records: what either end has promised not to lose (edge: files).

`append` returns once the record is on the disk. A process killed at any instant leaves a file whose last record may be
torn: it is cut off when the file is opened again. Damaged bytes in the middle are passed over, counted and kept, and
so is everything behind them.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Protocol, Self

from downlink.errors import JournalError
from downlink.journal_file import DiskFile, JournalFile
from downlink.record import HEADER, Record, bytes_after_header, encode_record, record_at
from downlink.record_walk import RecordWalk


class Journal(Protocol):
    """The port of a store's memory. One contract suite holds every implementation to it."""

    def append(self, records: Iterable[Record]) -> tuple[int, ...]:
        """Add records, in order, durably, all before returning; gives the position of each, good until `replace`.

        Raises JournalError and keeps what it had when it cannot.
        """

    def read(self, position: int) -> Record:
        """The record at a position. Raises JournalError when there is none any more."""

    def entries(self) -> Iterator[tuple[int, Record]]:
        """Every record with its position, oldest first."""

    def records(self) -> Iterator[Record]:
        """Every record, oldest first."""

    def replace(self, records: Iterable[Record]) -> tuple[int, ...]:
        """Put these records, which come to the same, in place of all, atomically; gives the position of each.

        Raises JournalError and keeps what it had when it cannot. A crash may bring the old records back, until `append` has
        returned: it makes sure of the new ones first.
        """

    @property
    def size_bytes(self) -> int:
        """Bytes used."""

    @property
    def lost_bytes(self) -> int:
        """Bytes found at the start that are no record, damaged ones and a torn tail together: what they said is not known."""


class MemoryJournal:
    """A journal that dies with its process, for simulation. Positions count records."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._size_bytes = 0

    def append(self, records: Iterable[Record]) -> tuple[int, ...]:
        first = len(self._records)
        fresh = tuple(records)
        self._records.extend(fresh)
        self._size_bytes += sum(record.size_bytes for record in fresh)
        return tuple(range(first, len(self._records)))

    def read(self, position: int) -> Record:
        if not 0 <= position < len(self._records):
            raise JournalError(f"no record at position {position} of a journal of {len(self._records)} records")
        return self._records[position]

    def entries(self) -> Iterator[tuple[int, Record]]:
        return iter(tuple(enumerate(self._records)))

    def records(self) -> Iterator[Record]:
        return iter(tuple(self._records))

    def replace(self, records: Iterable[Record]) -> tuple[int, ...]:
        self._records = list(records)
        self._size_bytes = sum(record.size_bytes for record in self._records)
        return tuple(range(len(self._records)))

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    @property
    def lost_bytes(self) -> int:
        return 0


class FileJournal:
    """A journal in one file, synchronised to the disk at each append. Positions are byte offsets."""

    def __init__(self, file: Path | JournalFile) -> None:
        """Opens the file of a path, made where there is none, or takes one that is open. Raises JournalError."""
        self.damaged_bytes = 0
        """Bytes in the middle of the file that are no record."""
        self.torn_bytes = 0
        """Bytes that were cut off its end."""
        self._name_is_synced = True
        try:
            self._file: JournalFile = DiskFile(file) if isinstance(file, Path) else file
            self._end = self._cut_torn_tail()
        except OSError as error:
            name = file if isinstance(file, Path) else file.name
            raise JournalError(
                f"cannot open journal {name}: {error.strerror}; check the folder and its rights"
            ) from error

    def append(self, records: Iterable[Record]) -> tuple[int, ...]:
        encoded = [encode_record(record) for record in records]
        data = b"".join(encoded)
        if not data:
            return ()
        self._sync_name()
        try:
            self._file.write(self._end, data)
            self._file.sync()
        except OSError as error:
            # What cannot be cut off now is cut off as a torn tail at the next start.
            with suppress(OSError):
                self._file.truncate(self._end)
            raise JournalError(
                f"cannot append {len(data)} bytes to journal {self._file.name}: {error.strerror}; "
                f"its {self._end} bytes are safe, free some space and repeat"
            ) from error
        positions = tuple(accumulate(map(len, encoded[:-1]), initial=self._end))
        self._end += len(data)
        return positions

    def read(self, position: int) -> Record:
        try:
            header = self._file.read(position, HEADER.size)
            record = record_at(header + self._file.read(position + HEADER.size, bytes_after_header(header)))
        except OSError as error:
            raise JournalError(f"cannot read journal {self._file.name} at byte {position}: {error.strerror}") from error
        if record is None:
            raise JournalError(
                f"journal {self._file.name} has no whole record at byte {position} of {self._end}: "
                "it was rewritten or damaged since; open the store again"
            )
        return record

    def entries(self) -> Iterator[tuple[int, Record]]:
        return iter(RecordWalk(self._file.read, self._end))

    def records(self) -> Iterator[Record]:
        return (record for _, record in self.entries())

    def replace(self, records: Iterable[Record]) -> tuple[int, ...]:
        lengths: list[int] = []
        try:
            self._file.replace(_measured((encode_record(record) for record in records), lengths))
        except OSError as error:
            raise JournalError(
                f"cannot rewrite journal {self._file.name}: {error.strerror}; the old one is unchanged"
            ) from error
        self._end, self._name_is_synced = sum(lengths), False
        # From here on positions are those of the new file, whatever becomes of its name.
        with suppress(JournalError):
            self._sync_name()
        return tuple(accumulate(lengths[:-1], initial=0)) if lengths else ()

    @property
    def size_bytes(self) -> int:
        return self._end

    @property
    def lost_bytes(self) -> int:
        return self.damaged_bytes + self.torn_bytes

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _sync_name(self) -> None:
        """A file that was put in place is found there after a crash: before that nothing may be added to it. Raises JournalError."""
        if self._name_is_synced:
            return
        try:
            self._file.sync_name()
        except OSError as error:
            raise JournalError(
                f"cannot append to journal {self._file.name}: it was rewritten, and its folder is not on the disk yet: "
                f"{error.strerror}; its {self._end} bytes are safe, repeat"
            ) from error
        self._name_is_synced = True

    def _cut_torn_tail(self) -> int:
        """Where the records end. What follows the last whole one is cut off, unless it may be a damaged one with others behind it."""
        end = self._file.size_bytes()
        walk = RecordWalk(self._file.read, end)
        for _ in walk:
            pass
        if walk.tail_start is not None:
            self.torn_bytes = end - walk.tail_start
            end = walk.tail_start
            self._file.truncate(end)
            self._file.sync()
        self.damaged_bytes = walk.skipped_bytes
        return end


def _measured(pieces: Iterable[bytes], lengths: list[int]) -> Iterator[bytes]:
    """The same pieces; their lengths are noted as they pass."""
    for piece in pieces:
        lengths.append(len(piece))
        yield piece

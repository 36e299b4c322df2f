"""A durable, append-only file of records: what either end has promised not to lose (edge: files).

`append` returns once the record is on the disk. A process killed at any instant leaves a file whose last record may be
torn: it is cut off when the file is opened again. Damaged bytes in the middle are passed over, counted and kept, and
so is everything behind them.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from itertools import accumulate
from pathlib import Path
from typing import Protocol, Self

from downlink.errors import JournalError
from downlink.record import HEADER, Record, bytes_after_header, encode_record, record_at, scan_records


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
        """Put these records in place of all, atomically; gives the position of each."""

    @property
    def size_bytes(self) -> int:
        """Bytes used."""


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


class FileJournal:
    """A journal in one file, synchronised to the disk at each append. Positions are byte offsets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged_bytes = 0
        """Bytes in the middle of the file that are no record."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a write that failed must not come back with the next one.
            self._file = path.open("r+b" if path.exists() else "x+b", buffering=0)
            _sync_directory(path.parent)
            self._end = self._cut_torn_tail()
        except OSError as error:
            raise JournalError(
                f"cannot open journal {path}: {error.strerror}; check the folder and its rights"
            ) from error

    def append(self, records: Iterable[Record]) -> tuple[int, ...]:
        encoded = [encode_record(record) for record in records]
        data = b"".join(encoded)
        if not data:
            return ()
        try:
            self._file.seek(self._end)
            _write_all(self._file, data)
            os.fsync(self._file.fileno())
        except OSError as error:
            # What cannot be cut off now is cut off as a torn tail at the next start.
            with suppress(OSError):
                self._file.truncate(self._end)
            raise JournalError(
                f"cannot append {len(data)} bytes to journal {self.path}: {error.strerror}; "
                f"its {self._end} bytes are safe, free some space and repeat"
            ) from error
        positions = tuple(accumulate(map(len, encoded[:-1]), initial=self._end))
        self._end += len(data)
        return positions

    def read(self, position: int) -> Record:
        try:
            self._file.seek(position)
            header = _read_all(self._file, HEADER.size)
            record = record_at(header + _read_all(self._file, bytes_after_header(header)))
        except OSError as error:
            raise JournalError(f"cannot read journal {self.path} at byte {position}: {error.strerror}") from error
        if record is None:
            raise JournalError(
                f"journal {self.path} has no whole record at byte {position} of {self._end}: "
                "it was rewritten or damaged since; open the store again"
            )
        return record

    def entries(self) -> Iterator[tuple[int, Record]]:
        self._file.seek(0)
        scan = scan_records(_read_all(self._file, self._end), final=True)
        return zip(scan.offsets, scan.records, strict=True)

    def records(self) -> Iterator[Record]:
        return (record for _, record in self.entries())

    def replace(self, records: Iterable[Record]) -> tuple[int, ...]:
        positions: list[int] = []
        fresh = self.path.with_suffix(self.path.suffix + ".new")
        try:
            with fresh.open("wb") as file:
                for record in records:
                    positions.append(file.tell())
                    file.write(encode_record(record))
                file.flush()
                os.fsync(file.fileno())
            file_after = fresh.open("r+b", buffering=0)
            fresh.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise JournalError(
                f"cannot rewrite journal {self.path}: {error.strerror}; the old one is unchanged"
            ) from error
        self._file.close()
        self._file = file_after
        self._end = os.fstat(file_after.fileno()).st_size
        self._sync_name()
        return tuple(positions)

    @property
    def size_bytes(self) -> int:
        return self._end

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _cut_torn_tail(self) -> int:
        data = _read_all(self._file, os.fstat(self._file.fileno()).st_size)
        scan = scan_records(data)
        end = len(data)
        if scan.consumed < end and not scan_records(data, scan.consumed + 1, final=True).records:
            end = scan.consumed
            self._file.truncate(end)
            os.fsync(self._file.fileno())
        self.damaged_bytes = scan_records(data[:end], final=True).skipped_bytes
        return end

    def _sync_name(self) -> None:
        try:
            _sync_directory(self.path.parent)
        except OSError as error:
            raise JournalError(
                f"journal {self.path} is rewritten, but its folder is not on the disk yet: {error.strerror}; "
                "until it is, a crash may bring the old journal back"
            ) from error


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _read_all(file: FileIO, size_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < size_bytes and (piece := file.read(size_bytes - len(data))):
        data += piece
    return bytes(data)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

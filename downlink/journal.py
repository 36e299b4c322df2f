"""A durable, append-only file of records: what either end has promised not to lose (edge: files).

`append` returns once the record is on the disk. A process killed at any instant leaves a file whose last record may be
torn: it is cut off when the file is opened again. Damaged bytes in the middle are passed over, counted and kept, and
so is everything behind them.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Protocol, Self

from downlink.errors import JournalError
from downlink.record import Record, encode_record, scan_records


class Journal(Protocol):
    """The port of a store's memory. One contract suite holds every implementation to it."""

    def append(self, records: Iterable[Record]) -> None:
        """Add records, in order, durably, all before returning. Raises JournalError and keeps what it had when it cannot."""

    def records(self) -> Iterator[Record]:
        """Every record, oldest first."""

    def replace(self, records: Iterable[Record]) -> None:
        """Put these records in place of all, atomically."""

    @property
    def size_bytes(self) -> int:
        """Bytes used."""


class MemoryJournal:
    """A journal that dies with its process, for simulation."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._size_bytes = 0

    def append(self, records: Iterable[Record]) -> None:
        fresh = tuple(records)
        self._records.extend(fresh)
        self._size_bytes += sum(record.size_bytes for record in fresh)

    def records(self) -> Iterator[Record]:
        return iter(tuple(self._records))

    def replace(self, records: Iterable[Record]) -> None:
        self._records = list(records)
        self._size_bytes = sum(record.size_bytes for record in self._records)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes


class FileJournal:
    """A journal in one file, synchronised to the disk at each append."""

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

    def append(self, records: Iterable[Record]) -> None:
        data = b"".join(encode_record(record) for record in records)
        if not data:
            return
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
        self._end += len(data)

    def records(self) -> Iterator[Record]:
        self._file.seek(0)
        return iter(scan_records(_read_all(self._file, self._end), final=True).records)

    def replace(self, records: Iterable[Record]) -> None:
        fresh = self.path.with_suffix(self.path.suffix + ".new")
        try:
            with fresh.open("wb") as file:
                file.writelines(encode_record(record) for record in records)
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

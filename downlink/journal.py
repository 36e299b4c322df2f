"""A durable, append-only file of records: what either end has promised not to lose (edge: files).

`append` returns once the record is on the disk. A process killed at any instant leaves a file whose last record may be
torn: it is cut off when the file is opened again. Damaged bytes in the middle are passed over, counted and kept.
"""

import os
from collections.abc import Iterable, Iterator
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
        for record in records:
            self._records.append(record)
            self._size_bytes += record.size_bytes

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
            self._file = path.open("r+b" if path.exists() else "w+b")
            _sync_directory(path.parent)
        except OSError as error:
            raise JournalError(
                f"cannot open journal {path}: {error.strerror}; check the folder and its rights"
            ) from error
        self._end = self._cut_torn_tail()

    def append(self, records: Iterable[Record]) -> None:
        data = b"".join(encode_record(record) for record in records)
        try:
            self._file.seek(self._end)
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._restore_end()
            raise JournalError(
                f"cannot append {len(data)} bytes to journal {self.path}: {error.strerror}; "
                f"its {self._end} bytes are safe, free some space and repeat"
            ) from error
        self._end += len(data)

    def records(self) -> Iterator[Record]:
        self._file.seek(0)
        return iter(scan_records(self._file.read(self._end)).records)

    def replace(self, records: Iterable[Record]) -> None:
        fresh = self.path.with_suffix(self.path.suffix + ".new")
        try:
            with fresh.open("wb") as file:
                for record in records:
                    file.write(encode_record(record))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            _sync_directory(self.path.parent)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise JournalError(
                f"cannot rewrite journal {self.path}: {error.strerror}; the old one is unchanged"
            ) from error
        self._file.close()
        self._file = self.path.open("r+b")
        self._end = self.path.stat().st_size

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
        data = self._file.read()
        scan = scan_records(data)
        self.damaged_bytes = scan.skipped_bytes
        if scan.consumed < len(data):
            self._file.truncate(scan.consumed)
            os.fsync(self._file.fileno())
        return scan.consumed

    def _restore_end(self) -> None:
        """Best effort after a failed write: what cannot be cut now is cut as a torn tail at the next start."""
        try:
            self._file.truncate(self._end)
        except OSError:
            self._file.close()
            self._file = self.path.open("r+b")


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The file under a journal: bytes that are written, and later on the disk for good (edge: files).

Between `write` and `sync` bytes lie in a cache, which a loss of power empties in part or whole; only what has been synchronised is
promised to anybody. Every operation raises OSError where the disk refuses it.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Protocol


class JournalFile(Protocol):
    """The port of a journal's disk: one file."""

    @property
    def name(self) -> str:
        """For messages."""

    def size_bytes(self) -> int:
        """Length of the file."""

    def read(self, start: int, size_bytes: int) -> bytes:
        """Bytes from `start` on, fewer where the file ends."""

    def write(self, start: int, data: bytes) -> None:
        """Put all of `data` at `start`; not on the disk before `sync`. Where it raises, any part may have been written."""

    def truncate(self, size_bytes: int) -> None:
        """Cut the file off; not on the disk before `sync`."""

    def sync(self) -> None:
        """What was written and cut is on the disk for good once this returns."""

    def replace(self, pieces: Iterable[bytes]) -> None:
        """Put these bytes in place of all, at once; the old ones stay where it raises. For good only after `sync_name`."""

    def sync_name(self) -> None:
        """What was put in place is found there for good once this returns: until then a crash may bring the old bytes back."""

    def close(self) -> None:
        """Nothing more is read or written."""


class DiskFile:
    """A file of the operating system, made where there is none; unbuffered, so that a write that failed does not come back."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if path.exists() else "x+b", buffering=0)
        _sync_directory(path.parent)

    @property
    def name(self) -> str:
        return str(self.path)

    def size_bytes(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def read(self, start: int, size_bytes: int) -> bytes:
        self._file.seek(start)
        data = bytearray()
        while len(data) < size_bytes and (piece := self._file.read(size_bytes - len(data))):
            data += piece
        return bytes(data)

    def write(self, start: int, data: bytes) -> None:
        self._file.seek(start)
        _write_all(self._file, data)

    def truncate(self, size_bytes: int) -> None:
        self._file.truncate(size_bytes)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def replace(self, pieces: Iterable[bytes]) -> None:
        """By way of a second file beside the first, `NAME.new`."""
        fresh = self.path.with_suffix(self.path.suffix + ".new")
        try:
            with fresh.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            file_after = fresh.open("r+b", buffering=0)
            fresh.replace(self.path)
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        self._file.close()
        self._file = file_after

    def sync_name(self) -> None:
        _sync_directory(self.path.parent)

    def close(self) -> None:
        self._file.close()


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

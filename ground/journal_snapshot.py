"""A journal's file as it stood at one moment, read without ever being written: its owner may be at work on it (edge: files)."""

import errno
from collections.abc import Iterable
from pathlib import Path


class JournalSnapshot:
    """A `downlink.journal_file.JournalFile` that ends where the file ended when it was opened, and writes nothing.

    A torn tail is cut off in memory alone. Where the owner puts a rewritten file in place, this goes on reading the old one.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._file = path.open("rb")
        self._end = self._file.seek(0, 2)

    @property
    def name(self) -> str:
        return str(self._path)

    def size_bytes(self) -> int:
        return self._end

    def read(self, start: int, size_bytes: int) -> bytes:
        self._file.seek(start)
        return self._file.read(max(0, min(size_bytes, self._end - start)))

    def write(self, start: int, data: bytes) -> None:
        raise self._refusal()

    def truncate(self, size_bytes: int) -> None:
        self._end = min(self._end, size_bytes)

    def sync(self) -> None:
        return None

    def replace(self, pieces: Iterable[bytes]) -> None:
        raise self._refusal()

    def sync_name(self) -> None:
        return None

    def close(self) -> None:
        self._file.close()

    def _refusal(self) -> OSError:
        return OSError(errno.EROFS, "opened for reading alone", str(self._path))

"""Where the bytes of a file come from and go to, so that file delivery itself holds no file.

Both are ports: somebody with a disk implements them. Files in memory need neither; `bytes` are accepted as they are.
"""

from typing import Protocol


class ReadableFile(Protocol):
    """A file to send. It must not change while it is being sent."""

    @property
    def size_bytes(self) -> int:
        """Its length."""

    def read(self, start: int, end: int) -> bytes:
        """The bytes start..end. Fewer where the file has gone or been cut: the transfer is then given up."""


class FileSink(Protocol):
    """Where an arriving file is kept, piece by piece and in any order."""

    def write(self, offset: int, data: bytes) -> None:
        """Keeps `data` at `offset`. What it raises leaves `receive` as it is, and the segment counts as not received."""

    def read(self, start: int, end: int) -> bytes:
        """Bytes start..end, all of which were written before."""


class FileInMemory:
    """Bytes as a ReadableFile."""

    __slots__ = ("_content", "size_bytes")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size_bytes = len(content)

    def read(self, start: int, end: int) -> bytes:
        """The bytes start..end."""
        return self._content[start:end]

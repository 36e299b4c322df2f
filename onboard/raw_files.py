"""The disk under the raw store: folders of small files, each whole on the disk before its name is made sure of (edge: files).

A name that was made or removed is found so after a loss of power once `sync_names` has returned; before that it may be found
either way. Every operation raises OSError where the disk refuses it.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol


class RawFiles(Protocol):
    """The port: folders by name, files in them by name, and nothing deeper."""

    @property
    def place(self) -> str:
        """For messages."""

    def folders(self) -> tuple[str, ...]:
        """Names of all folders."""

    def make_folder(self, folder: str) -> None:
        """Make one where there is none, for good."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every file of a folder, by name."""

    def write(self, folder: str, name: str, data: bytes) -> None:
        """Put a file there, in place of one that there is; its bytes are on the disk for good once this returns.

        Where it raises, or in a crash, there may be any part of it.
        """

    def rename(self, folder: str, old: str, new: str) -> None:
        """Give a file another name, at once."""

    def read(self, folder: str, name: str) -> bytes:
        """A whole file."""

    def remove(self, folder: str, name: str) -> None:
        """Remove a file; one that is not there is removed already."""

    def remove_folder(self, folder: str) -> None:
        """Remove an empty folder."""

    def sync_names(self, folder: str) -> None:
        """What was made, renamed and removed in a folder is found so for good once this returns."""


class DiskRawFiles:
    """Files of the operating system under one folder, which is made where there is none."""

    def __init__(self, root: Path) -> None:
        """Raises OSError."""
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        _sync_directory(root.parent)

    @property
    def place(self) -> str:
        return str(self._root)

    def folders(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self._root.iterdir() if entry.is_dir())

    def make_folder(self, folder: str) -> None:
        (self._root / folder).mkdir(exist_ok=True)
        _sync_directory(self._root)

    def sizes(self, folder: str) -> dict[str, int]:
        return {entry.name: entry.stat().st_size for entry in (self._root / folder).iterdir()}

    def write(self, folder: str, name: str, data: bytes) -> None:
        with (self._root / folder / name).open("wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) or 0 :]
            os.fsync(file.fileno())

    def rename(self, folder: str, old: str, new: str) -> None:
        (self._root / folder / old).replace(self._root / folder / new)

    def read(self, folder: str, name: str) -> bytes:
        return (self._root / folder / name).read_bytes()

    def remove(self, folder: str, name: str) -> None:
        (self._root / folder / name).unlink(missing_ok=True)

    def remove_folder(self, folder: str) -> None:
        with suppress(FileNotFoundError):
            (self._root / folder).rmdir()

    def sync_names(self, folder: str) -> None:
        _sync_directory(self._root / folder)


class MemoryRawFiles:
    """Files that die with their process, for simulation."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, bytes]] = {}

    @property
    def place(self) -> str:
        return "memory"

    def folders(self) -> tuple[str, ...]:
        return tuple(self._folders)

    def make_folder(self, folder: str) -> None:
        self._folders.setdefault(folder, {})

    def sizes(self, folder: str) -> dict[str, int]:
        return {name: len(data) for name, data in self._folders[folder].items()}

    def write(self, folder: str, name: str, data: bytes) -> None:
        self._folders[folder][name] = data

    def rename(self, folder: str, old: str, new: str) -> None:
        self._folders[folder][new] = self._folders[folder].pop(old)

    def read(self, folder: str, name: str) -> bytes:
        try:
            return self._folders[folder][name]
        except KeyError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{folder}/{name}") from error

    def remove(self, folder: str, name: str) -> None:
        self._folders.get(folder, {}).pop(name, None)

    def remove_folder(self, folder: str) -> None:
        self._folders.pop(folder, None)

    def sync_names(self, folder: str) -> None:
        pass


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

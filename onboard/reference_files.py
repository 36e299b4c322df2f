"""Where acknowledged layers are kept to predict from: one file per block, each replaced whole (edge: files), or memory alone.

    FOLDER/0000002a/summary         scene 42
    FOLDER/0000002a/0003.layers     product 3 of it

A reader in another process sees the old file or the new one. Nothing is synchronised to the disk but what is taken away: a file that a
crash leaves torn is found damaged by its records, and costs a reference; one that comes back after it was given up would cost an image.
"""

import os
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

UNFINISHED_SUFFIX: Final = ".unfinished"
"""Of a file that is being written."""


class ReferenceShelf(Protocol):
    """Named pieces of bytes by scene."""

    def scenes(self) -> tuple[int, ...]:
        """Scenes of which there is anything, in order of number. Raises OSError."""

    def sizes_bytes(self, scene: int) -> dict[str, int]:
        """Names and lengths of what there is of a scene."""

    def version(self, scene: int, name: str | None = None) -> Hashable:
        """Differs after a change of a piece, or of the names that a scene has; None where there is none."""

    def read(self, scene: int, name: str) -> bytes | None:
        """None where it is not there, or cannot be read."""

    def write(self, scene: int, name: str, data: bytes) -> None:
        """Put it in place of what was there. Raises OSError, and that is kept."""

    def remove(self, scene: int) -> None:
        """Take everything of a scene away, durably. Raises OSError."""


class ReferenceFiles:
    """A shelf in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def scenes(self) -> tuple[int, ...]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return ()
        return tuple(sorted(int(name, 16) for name in names if _is_scene(name)))

    def sizes_bytes(self, scene: int) -> dict[str, int]:
        sizes = {}
        with suppress(OSError):
            for path in self._of(scene).iterdir():
                with suppress(OSError):
                    sizes[path.name] = path.stat().st_size
        return {name: size_bytes for name, size_bytes in sizes.items() if not name.endswith(UNFINISHED_SUFFIX)}

    def version(self, scene: int, name: str | None = None) -> Hashable:
        path = self._of(scene) if name is None else self._of(scene) / name
        try:
            status = path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def read(self, scene: int, name: str) -> bytes | None:
        try:
            return (self._of(scene) / name).read_bytes()
        except OSError:
            return None

    def write(self, scene: int, name: str, data: bytes) -> None:
        path = self._of(scene) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(name + UNFINISHED_SUFFIX)
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def remove(self, scene: int) -> None:
        folder = self._of(scene)
        if not folder.is_dir():
            return
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
        _synchronise(folder)
        folder.rmdir()
        _synchronise(self._folder)

    def _of(self, scene: int) -> Path:
        return self._folder / f"{scene:08x}"


class ReferenceMemory:
    """A shelf that dies with its process."""

    def __init__(self) -> None:
        self._pieces: dict[int, dict[str, tuple[int, bytes]]] = {}
        self._writes = 0

    def scenes(self) -> tuple[int, ...]:
        return tuple(sorted(self._pieces))

    def sizes_bytes(self, scene: int) -> dict[str, int]:
        return {name: len(data) for name, (_, data) in self._pieces.get(scene, {}).items()}

    def version(self, scene: int, name: str | None = None) -> Hashable:
        pieces = self._pieces.get(scene, {})
        if name is None:
            return max((number for number, _ in pieces.values()), default=None)
        return pieces[name][0] if name in pieces else None

    def read(self, scene: int, name: str) -> bytes | None:
        piece = self._pieces.get(scene, {}).get(name)
        return None if piece is None else piece[1]

    def write(self, scene: int, name: str, data: bytes) -> None:
        self._writes += 1
        self._pieces.setdefault(scene, {})[name] = self._writes, data

    def remove(self, scene: int) -> None:
        self._pieces.pop(scene, None)


def _is_scene(name: str) -> bool:
    return len(name) == 8 and all(digit in "0123456789abcdef" for digit in name)


def _synchronise(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

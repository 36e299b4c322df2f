"""Where scenes wait on board until their image layers are coded: one file for each tile, in a folder for each scene.

A scene is there when it has a seal, the file that is given its name last: it lists the tiles and holds the note that coding
starts from. A folder without one is what a crash has left of a scene in work, and is removed when the store opens. A tile that
is dropped is gone for good when `drop` returns; of two that are dropped together, a crash may leave either.

A file for each tile costs some milliseconds of waiting for the disk each (the survey works on meanwhile), and gives room back
the moment its tile is coded; in one file for each scene the last tile to be coded would hold the room of all.

    seal: "TSEAL", version 1 (1), scene (4), length of the note (4), tiles (4); each tile: number (4), bytes (4);
          the note; CRC-32 of everything before. Big-endian.
"""

import binascii
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from onboard.errors import RawStoreFullError, StoreError
from onboard.raw_files import DiskRawFiles, MemoryRawFiles, RawFiles

_SEAL: Final = "seal"
_UNFINISHED_SEAL: Final = "seal.new"
_HEADER: Final = struct.Struct(">5sBIII")
_TILE: Final = struct.Struct(">II")
_CHECK: Final = struct.Struct(">I")
_MAGIC: Final = b"TSEAL"
_VERSION: Final = 1


class RawStore:
    """Encoded tiles of scenes that are not coded yet. One process has a folder; one of its threads may put while another reads
    and drops."""

    def __init__(self, folder: Path | None, *, capacity_bytes: int, files: RawFiles | None = None) -> None:
        """Opens `folder`, or memory for None; `files` stands in for either. Raises StoreError where the disk refuses."""
        self._capacity_bytes = capacity_bytes
        self._lock = threading.Lock()
        self._open: dict[int, dict[int, int]] = {}
        self._tiles: dict[int, dict[int, int]] = {}
        self._notes: dict[int, bytes] = {}
        self._losses: list[str] = []
        self._lost: list[tuple[int, int, int]] = []
        try:
            if files is None:
                files = MemoryRawFiles() if folder is None else DiskRawFiles(folder)
            self._files = files
            for name in sorted(files.folders()):
                if len(name) == 10 and name.isdecimal():
                    self._take_in(int(name), name)
        except OSError as error:
            place = folder if files is None else files.place
            raise StoreError(
                f"the raw store at {place} does not open ({error}); check its disk, or give another folder"
            ) from error

    @property
    def capacity_bytes(self) -> int:
        """Bytes that it may take."""
        return self._capacity_bytes

    @property
    def used_bytes(self) -> int:
        """Bytes of all tiles and notes, those of scenes in work among them."""
        with self._lock:
            return self._used_bytes()

    @property
    def losses(self) -> tuple[str, ...]:
        """What was found damaged at the start and had to go, a sentence each."""
        return tuple(self._losses)

    @property
    def lost(self) -> tuple[tuple[int, int, int], ...]:
        """The same in numbers: scene, tiles, bytes."""
        return tuple(self._lost)

    @property
    def scenes(self) -> tuple[int, ...]:
        """Sealed scenes, oldest number first."""
        with self._lock:
            return tuple(sorted(self._tiles))

    def note(self, scene: int) -> bytes:
        """What `seal` was given. Raises StoreError for a scene that is not there."""
        with self._lock:
            self._sealed(scene)
            return self._notes[scene]

    def tiles(self, scene: int) -> tuple[int, ...]:
        """Numbers of the tiles that a scene, sealed or in work, still has; none for one that is not there."""
        with self._lock:
            return tuple(sorted(self._known(scene) or ()))

    def size_bytes(self, scene: int, tile: int) -> int:
        """Length of an encoded tile. Raises StoreError for one that is not there."""
        with self._lock:
            return self._size_bytes(scene, tile)

    def get(self, scene: int, tile: int) -> bytes:
        """An encoded tile, of a scene sealed or in work. Raises StoreError: not there, or its disk refuses or has cut it."""
        size_bytes = self.size_bytes(scene, tile)
        try:
            data = self._files.read(_folder(scene), _file(tile))
        except OSError as error:
            raise StoreError(f"tile {tile} of scene {scene} cannot be read ({error}); discard it") from error
        if len(data) != size_bytes:
            raise StoreError(f"tile {tile} of scene {scene} has {len(data)} of {size_bytes} bytes; discard it")
        return data

    def put(self, scene: int, tile: int, data: bytes) -> None:
        """Keep an encoded tile of a scene in work, in place of one that there is; after a crash it is not there before `seal`.

        Raises RawStoreFullError beyond the capacity, StoreError for a sealed scene or where the disk refuses. What was there
        stays there, but for the tile itself where the disk has refused its successor.
        """
        with self._lock:
            if scene in self._tiles:
                raise StoreError(f"scene {scene} is sealed, no tile is added to it; drop it first")
            self._require_room(len(data) - self._open.get(scene, {}).get(tile, 0), f"tile {tile} of scene {scene}")
            is_first = scene not in self._open
            self._open.setdefault(scene, {})[tile] = len(data)
        folder = _folder(scene)
        try:
            if is_first:
                self._files.make_folder(folder)
            self._files.write(folder, _file(tile), data)
        except OSError as error:
            with suppress(OSError):  # what is left of it has no seal, and goes when the store opens again
                self._files.remove(folder, _file(tile))
            with self._lock:
                del self._open[scene][tile]
                if not self._open[scene]:
                    del self._open[scene]
            raise StoreError(
                f"tile {tile} of scene {scene} ({len(data)} bytes) cannot be written to {self._files.place} ({error}); "
                "free room there"
            ) from error

    def seal(self, scene: int, note: bytes) -> None:
        """The scene in work, with all its tiles and `note`, is there for good once this returns; one without tiles goes.

        Raises RawStoreFullError, or StoreError where the disk refuses; the scene is in work as before.
        """
        with self._lock:
            if scene in self._tiles:
                raise StoreError(f"scene {scene} is sealed already; drop it first")
            tiles = dict(self._open.get(scene, {}))
            self._require_room(len(note) if tiles else 0, f"the note of scene {scene}")
        folder = _folder(scene)
        if not tiles:
            return
        try:
            self._files.sync_names(folder)
            self._files.write(folder, _UNFINISHED_SEAL, _packed_seal(scene, tiles, note))
            self._files.rename(folder, _UNFINISHED_SEAL, _SEAL)
            self._files.sync_names(folder)
        except OSError as error:
            with suppress(OSError):
                self._files.remove(folder, _SEAL)
                self._files.remove(folder, _UNFINISHED_SEAL)
            raise StoreError(
                f"scene {scene} cannot be sealed in {self._files.place} ({error}); free room there"
            ) from error
        with self._lock:
            self._tiles[scene] = self._open.pop(scene)
            self._notes[scene] = note

    def drop(self, scene: int, tiles: Iterable[int]) -> None:
        """These tiles of a scene, sealed or in work, are gone for good once this returns; the scene goes with its last one.

        What is not there is passed over. Raises StoreError where the disk refuses: those that are left stay listed.
        """
        with self._lock:
            known = self._known(scene)
            if known is None:
                return
            wanted = [tile for tile in dict.fromkeys(tiles) if tile in known]
        if not wanted and known:
            return
        folder = _folder(scene)
        try:
            for tile in wanted:
                self._files.remove(folder, _file(tile))
                with self._lock:
                    del known[tile]
            self._files.sync_names(folder)
            if not known:
                self._remove(folder)
        except OSError as error:
            raise StoreError(
                f"tiles of scene {scene} cannot be removed from {self._files.place} ({error}); check its disk"
            ) from error
        if not known:
            with self._lock:
                self._tiles.pop(scene, None)
                self._open.pop(scene, None)
                self._notes.pop(scene, None)

    def _known(self, scene: int) -> dict[int, int] | None:
        return self._tiles.get(scene, self._open.get(scene))

    def _sealed(self, scene: int) -> dict[int, int]:
        if scene not in self._tiles:
            raise StoreError(
                f"scene {scene} is not in the raw store at {self._files.place}; it holds {len(self._tiles)}"
            )
        return self._tiles[scene]

    def _size_bytes(self, scene: int, tile: int) -> int:
        known = self._known(scene)
        tiles = self._sealed(scene) if known is None else known
        if tile not in tiles:
            raise StoreError(f"scene {scene} has no tile {tile} in the raw store; it has {len(tiles)} others")
        return tiles[tile]

    def _used_bytes(self) -> int:
        tiles = sum(sum(sizes.values()) for sizes in (*self._tiles.values(), *self._open.values()))
        return tiles + sum(map(len, self._notes.values()))

    def _require_room(self, more_bytes: int, what: str) -> None:
        free_bytes = self._capacity_bytes - self._used_bytes()
        if more_bytes > free_bytes:
            raise RawStoreFullError(
                f"{what} needs {more_bytes} bytes, the raw store has {max(0, free_bytes)} of {self._capacity_bytes} free; "
                "drop tiles of less value",
                needed_bytes=more_bytes,
                free_bytes=free_bytes,
            )

    def _take_in(self, scene: int, folder: str) -> None:
        """What an earlier process has left of a scene: all of it, or nothing."""
        sizes = self._files.sizes(folder)
        if _SEAL not in sizes:
            self._remove(folder)
            return
        seal = _unpacked_seal(self._files.read(folder, _SEAL), scene)
        if seal is None:
            lost_bytes = sum(sizes.values())
            self._losses.append(
                f"scene {scene}: its seal is damaged, {len(sizes) - 1} tiles of {lost_bytes} bytes went"
            )
            self._lost.append((scene, len(sizes) - 1, lost_bytes))
            self._remove(folder)
            return
        tiles, note = seal
        found = {tile: size for tile, size in tiles.items() if sizes.get(_file(tile)) == size}
        for tile in tiles:
            if _file(tile) in sizes and tile not in found:
                self._lost.append((scene, 1, sizes[_file(tile)]))
                self._losses.append(
                    f"scene {scene}: tile {tile} has {sizes[_file(tile)]} of {tiles[tile]} bytes, it went"
                )
        for name in sizes.keys() - {_SEAL, *map(_file, found)}:
            self._files.remove(folder, name)
        if found:
            self._tiles[scene], self._notes[scene] = found, note
        else:
            self._remove(folder)

    def _remove(self, folder: str) -> None:
        for name in sorted(self._files.sizes(folder), reverse=True):  # the seal before the tiles
            self._files.remove(folder, name)
        self._files.remove_folder(folder)


def _folder(scene: int) -> str:
    return f"{scene:010d}"


def _file(tile: int) -> str:
    return f"{tile:06d}.raw"


def _packed_seal(scene: int, tiles: dict[int, int], note: bytes) -> bytes:
    header = _HEADER.pack(_MAGIC, _VERSION, scene, len(note), len(tiles))
    body = b"".join([header, *(_TILE.pack(tile, size) for tile, size in sorted(tiles.items())), note])
    return body + _CHECK.pack(binascii.crc32(body))


def _unpacked_seal(data: bytes, scene: int) -> tuple[dict[int, int], bytes] | None:
    """(bytes by tile, note), None for a seal that is damaged or of another scene."""
    body = data[: -_CHECK.size]
    if len(body) < _HEADER.size or _CHECK.pack(binascii.crc32(body)) != data[-_CHECK.size :]:
        return None
    magic, version, named, note_bytes, count = _HEADER.unpack_from(body)
    end = _HEADER.size + count * _TILE.size
    if (magic, version, named) != (_MAGIC, _VERSION, scene) or end + note_bytes != len(body):
        return None
    return dict(_TILE.iter_unpack(body[_HEADER.size : end])), body[end:]

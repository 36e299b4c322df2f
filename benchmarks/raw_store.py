"""What a scene is kept with on board: bytes and speed of the raw codec beside the field, and what a file for each tile costs.

    python -m benchmarks.raw_store --data ../shared/data/s2_ships [--px 512] [--every 3] [--rounds 3] [--json]

Every codec encodes and decodes the same tiles with one thread, exactly (it is checked), in turns: the best round counts, in
million samples per second of processor time. Ends with exit code 1 when a decoded tile differs, or when the raw codec is not
at least as strong as every candidate that needs less time than it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import zstandard
from rich.console import Console
from rich.table import Table

from onboard.raw_codec import decode_raw, encode_raw
from onboard.raw_store import RawStore

try:
    imagecodecs: Any = import_module("imagecodecs")
except ImportError:
    imagecodecs = None

Encode = Callable[[np.ndarray], Any]
Decode = Callable[[Any], np.ndarray]
OURS = "raw codec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A way to keep a tile."""

    name: str
    encode: Encode
    decode: Decode


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecRow:
    """A line of the table."""

    name: str
    size_bytes: int
    ratio: float
    encode_msample_per_s: float
    decode_msample_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRow:
    """What it takes to make all tiles of a scene durable, one way or another."""

    name: str
    tiles: int
    size_bytes: int
    wall_s: float
    drop_one_ms: float | None
    """To give back the room of one tile; None where that is not possible."""


def tiles_of(data: Path, px: int, every: int) -> Iterator[np.ndarray]:
    """Every so many tiles (bands, px, px) of the images of a folder."""
    index = 0
    for path in sorted((data / "images").glob("*.tif")):
        with rasterio.open(path) as scene:
            pixels = scene.read()
        for row in range(0, pixels.shape[1] - px + 1, px):
            for col in range(0, pixels.shape[2] - px + 1, px):
                if index % every == 0:
                    yield np.ascontiguousarray(pixels[:, row : row + px, col : col + px])
                index += 1


def candidates() -> list[Candidate]:
    """The raw codec first."""
    found = [
        Candidate(
            name=OURS,
            encode=lambda tile: encode_raw(tile, np.ones(tile.shape[1:], np.bool_)),
            decode=lambda data: decode_raw(data)[0],
        ),
        *(_zstd(level) for level in (-5, -1, 1, 3)),
        *(_shuffled_planes(level) for level in (-5, -1, 1)),
    ]
    if imagecodecs is None:
        return found
    found += [
        _by_band(f"JPEG XL e{effort}", "jpegxl", {"effort": effort, "lossless": True, "numthreads": 1})
        for effort in (1, 2)
    ]
    found += [
        _by_band("HTJ2K 5/3", "htj2k", {"reversible": True}, {}),
        _by_band("JPEG-LS", "jpegls", {}, {}),
        _by_band("LERC", "lerc", {"level": 0}, {}),
        _by_bytes("LZ4", lambda tile: tile, imagecodecs.lz4_encode, imagecodecs.lz4_decode),
        _bitshuffled("zstd 1", lambda data: zstandard.compress(data, 1), zstandard.decompress, plane=False),
        _bitshuffled("zstd 1", lambda data: zstandard.compress(data, 1), zstandard.decompress, plane=True),
        _bitshuffled("LZ4", imagecodecs.lz4_encode, imagecodecs.lz4_decode, plane=True),
        _by_bytes(
            "Blosc2 zstd 1, bit shuffle",
            lambda tile: tile,
            lambda tile: imagecodecs.blosc2_encode(
                tile, level=1, compressor="zstd", shuffle="bitshuffle", numthreads=1
            ),
            lambda data: imagecodecs.blosc2_decode(data, numthreads=1),
        ),
    ]
    return found


def _zstd(level: int) -> Candidate:
    return Candidate(
        name=f"zstd {level}",
        encode=lambda tile: (tile.shape, zstandard.ZstdCompressor(level=level).compress(tile.data)),
        decode=lambda data: np.frombuffer(zstandard.decompress(data[1]), np.uint16).reshape(data[0]),
    )


def _planes(tile: np.ndarray) -> np.ndarray:
    """Differences along both axes, modulo 2^16, with a bias that keeps small ones in one byte."""
    plane = np.diff(np.diff(tile, axis=1, prepend=np.uint16(0)), axis=2, prepend=np.uint16(0))
    plane += np.uint16(128)
    return plane


def _from_planes(planes: np.ndarray) -> np.ndarray:
    along = np.cumsum(planes - np.uint16(128), axis=2, dtype=np.uint16)
    return np.cumsum(along, axis=1, dtype=np.uint16)


def _shuffled_planes(level: int) -> Candidate:
    def encode(tile: np.ndarray) -> tuple[Any, bytes]:
        planes = _planes(tile)
        halves = np.stack([planes.astype(np.uint8), (planes >> np.uint16(8)).astype(np.uint8)])
        return tile.shape, zstandard.ZstdCompressor(level=level).compress(halves.data)

    def decode(data: tuple[Any, bytes]) -> np.ndarray:
        low, high = np.frombuffer(zstandard.decompress(data[1]), np.uint8).reshape(2, *data[0])
        return _from_planes(low | high.astype(np.uint16) << np.uint16(8))

    return Candidate(name=f"planes, bytes apart, zstd {level}", encode=encode, decode=decode)


def _bitshuffled(name: str, pack: Callable[..., bytes], unpack: Callable[..., bytes], *, plane: bool) -> Candidate:
    def encode(tile: np.ndarray) -> tuple[Any, bytes]:
        source = _planes(tile) if plane else tile
        return tile.shape, pack(imagecodecs.bitshuffle_encode(source.tobytes(), itemsize=2))

    def decode(data: tuple[Any, bytes]) -> np.ndarray:
        raw = np.frombuffer(imagecodecs.bitshuffle_decode(unpack(data[1]), itemsize=2), np.uint16).reshape(data[0])
        return _from_planes(raw) if plane else raw

    return Candidate(name=f"{'planes, ' if plane else ''}bits apart, {name}", encode=encode, decode=decode)


def _by_bytes(
    name: str, prepare: Callable[..., Any], pack: Callable[..., bytes], unpack: Callable[..., bytes]
) -> Candidate:
    return Candidate(
        name=name,
        encode=lambda tile: (tile.shape, pack(prepare(tile).tobytes())),
        decode=lambda data: np.frombuffer(unpack(data[1]), np.uint16).reshape(data[0]),
    )


def _by_band(name: str, codec: str, options: dict[str, Any], reading: dict[str, Any] | None = None) -> Candidate:
    write, read = getattr(imagecodecs, f"{codec}_encode"), getattr(imagecodecs, f"{codec}_decode")
    more = {"numthreads": 1} if reading is None else reading
    return Candidate(
        name=name,
        encode=lambda tile: [write(band, **options) for band in tile],
        decode=lambda data: np.stack([read(band, **more) for band in data]),
    )


def size_of(encoded: Any) -> int:
    """Bytes of what a candidate has made."""
    if isinstance(encoded, tuple):
        return len(encoded[1])
    return sum(map(len, encoded)) if isinstance(encoded, list) else len(encoded)


def compare(tiles: list[np.ndarray], rounds: int) -> tuple[list[CodecRow], list[str]]:
    """All candidates over the same tiles, in turns; and the names of those that were not exact."""
    field = candidates()
    best = {candidate.name: [float("inf"), float("inf")] for candidate in field}
    sizes: dict[str, int] = {}
    wrong: set[str] = set()
    for _ in range(rounds):
        for candidate in field:
            start = time.process_time()
            encoded = [candidate.encode(tile) for tile in tiles]
            middle = time.process_time()
            decoded = [candidate.decode(data) for data in encoded]
            end = time.process_time()
            times = best[candidate.name]
            times[0], times[1] = min(times[0], middle - start), min(times[1], end - middle)
            sizes[candidate.name] = sum(map(size_of, encoded))
            if not all(np.array_equal(one, other) for one, other in zip(tiles, decoded, strict=True)):
                wrong.add(candidate.name)
    samples = sum(tile.size for tile in tiles)
    raw_bytes = sum(tile.nbytes for tile in tiles)
    rows = [
        CodecRow(
            name=name,
            size_bytes=sizes[name],
            ratio=raw_bytes / sizes[name],
            encode_msample_per_s=samples / times[0] / 1e6,
            decode_msample_per_s=samples / times[1] / 1e6,
        )
        for name, times in best.items()
    ]
    return rows, sorted(wrong)


def store_rows(tiles: list[np.ndarray], folder: Path) -> list[StoreRow]:
    """A file for each tile, and one file for all of them, both made durable."""
    encoded = [encode_raw(tile, np.ones(tile.shape[1:], np.bool_)) for tile in tiles]
    size_bytes = sum(map(len, encoded))
    store = RawStore(folder / "tiles", capacity_bytes=1 << 40)
    start = time.perf_counter()
    for index, data in enumerate(encoded):
        store.put(1, index, data)
    store.seal(1, b"{}")
    sealed = time.perf_counter()
    for index in range(len(encoded)):
        store.drop(1, [index])
    dropped_ms = (time.perf_counter() - sealed) / len(encoded) * 1e3
    begun = time.perf_counter()
    with (folder / "scene").open("wb", buffering=0) as file:
        for data in encoded:
            file.write(data)
        os.fsync(file.fileno())
    one_file_s = time.perf_counter() - begun
    many = StoreRow(
        name="a file for each tile (the raw store)",
        tiles=len(encoded),
        size_bytes=size_bytes,
        wall_s=sealed - start,
        drop_one_ms=dropped_ms,
    )
    one = StoreRow(
        name="one file for the scene", tiles=len(encoded), size_bytes=size_bytes, wall_s=one_file_s, drop_one_ms=None
    )
    return [many, one]


def is_beaten(rows: list[CodecRow]) -> list[str]:
    """Candidates that take less time to encode than the raw codec and fewer bytes."""
    ours = rows[0]
    return [
        row.name
        for row in rows[1:]
        if row.encode_msample_per_s > ours.encode_msample_per_s and row.size_bytes < ours.size_bytes
    ]


def print_tables(rows: list[CodecRow], stores: list[StoreRow]) -> None:
    """For people."""
    console = Console(width=110)
    codecs = Table("codec", "bytes", "ratio", "encode Msample/s", "decode Msample/s", title="Raw tiles, one thread")
    for row in sorted(rows, key=lambda row: -row.encode_msample_per_s):
        speeds = (f"{row.encode_msample_per_s:.0f}", f"{row.decode_msample_per_s:.0f}")
        style = "bold" if row.name == OURS else ""
        codecs.add_row(row.name, f"{row.size_bytes:,}", f"{row.ratio:.3f}", *speeds, style=style)
    console.print(codecs)
    durable = Table("on the disk", "tiles", "bytes", "seconds", "ms to drop one", title="Made durable")
    for store in stores:
        drop = "-" if store.drop_one_ms is None else f"{store.drop_one_ms:.1f}"
        durable.add_row(store.name, str(store.tiles), f"{store.size_bytes:,}", f"{store.wall_s:.2f}", drop)
    console.print(durable)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with images/*.tif of uint16")
    parser.add_argument("--px", type=int, default=512, help="edge of a tile")
    parser.add_argument("--every", type=int, default=3, help="take every so many tiles")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the best counts")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    tiles = list(tiles_of(arguments.data, arguments.px, arguments.every))
    if not tiles:
        parser.error(f"no images with tiles of {arguments.px} px in {arguments.data / 'images'}")
    rows, wrong = compare(tiles, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        stores = store_rows(tiles, Path(folder))
    beaten_by = is_beaten(rows)
    if arguments.json:
        result = {"codecs": [asdict(row) for row in rows], "stores": [asdict(row) for row in stores]}
        sys.stdout.write(json.dumps(result | {"wrong": wrong, "beaten_by": beaten_by}) + "\n")
    else:
        print_tables(rows, stores)
    for name in wrong:
        sys.stderr.write(f"{name}: not exact\n")
    for name in beaten_by:
        sys.stderr.write(f"{name} is faster and smaller than the raw codec\n")
    return 1 if wrong or beaten_by else 0


if __name__ == "__main__":
    sys.exit(main())

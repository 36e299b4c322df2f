"""A large sparse scene made of real pixels: open sea of the Sentinel-2 ports side by side, and labelled ships set into it.

Pieces of sea are windows in which nothing rises above the water by 0.012 of reflectance, turned, and brought to one level; ships are cut
out
with the water around them taken off. What is made is uint16 with four bands, as large as asked for, written row of tiles by row
of tiles.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window as RasterWindow

from onboard.sea_gate import SeaGate, may_hold_objects

BANDS: Final = ("B02", "B03", "B04", "B08")
PIECE_PX: Final = 256
CALM: Final = SeaGate(spreads=1e-3, floor=0.012)
"""Takes water in which nothing rises by more than 0.012, whatever its spread: side by side it is as one sea."""
LEAST_SHIP_PX: Final = 8
MARGIN_PX: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SeaPieces:
    """What a scene is made of."""

    sea: list[np.ndarray]
    """(bands, PIECE_PX, PIECE_PX) each, what is left once a smooth surface is taken off, int32."""
    level: np.ndarray
    """(bands,) digital numbers."""
    ships: list[np.ndarray]
    """(bands, height, width) each, what a ship adds to the water, int32."""


def sea_pieces(data: Path) -> SeaPieces:
    """Sea and ships of the scenes in a folder with `images/` and `labels_obb/`."""
    sea, levels, ships = [], [], []
    for path in sorted((data / "images").glob("*.tif")):
        with rasterio.open(path) as scene:
            if scene.descriptions != BANDS:
                continue
            pixels = scene.read()
        for window in _windows(pixels):
            valid = np.ones(window.shape[1:], np.bool_)
            if not may_hold_objects(window, valid, BANDS, CALM).passes:
                level = np.median(window, axis=(1, 2)).astype(np.int32)
                levels.append(level)
                sea.append(_without_trend(window))
        ships.extend(_ships(pixels, data / "labels_obb" / f"{path.stem}.txt"))
    if not sea or not ships:
        raise SystemExit(f"no open sea or no ships in the scenes of {data}: give ../shared/data/s2_ships")
    return SeaPieces(sea=sea, level=np.median(levels, axis=0).astype(np.int32), ships=ships)


def write_ocean(
    path: Path, pieces: SeaPieces, *, side_px: int, ships_per_mpix: float, deflate: bool, seed: int = 5
) -> list[tuple[int, int]]:
    """A square GeoTIFF in tiles of 512; the centres (row, column) of its ships. The same seed makes the same scene."""
    rng = np.random.default_rng(seed)
    count = round(ships_per_mpix * side_px**2 / 1e6)
    places = rng.integers(MARGIN_PX + 32, side_px - MARGIN_PX - 64, (count, 2))
    chosen = rng.integers(0, len(pieces.ships), count)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": side_px,
        "height": side_px,
        "count": len(BANDS),
        "dtype": "uint16",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "interleave": "pixel",
        "crs": "EPSG:32631",
        "transform": from_origin(500_000, 5_000_000, 10, 10),
        "BIGTIFF": "IF_SAFER",
    }
    if deflate:
        profile |= {"compress": "deflate", "predictor": 2, "zlevel": 6, "num_threads": 2}
    with rasterio.open(path, "w", **profile) as scene:
        scene.descriptions = BANDS
        for top in range(0, side_px, 512):
            height = min(512, side_px - top)
            strip = _sea_strip(pieces, height, side_px, np.random.default_rng((seed, top)))
            for (row, col), index in zip(places, chosen, strict=True):
                _set_in(strip, pieces.ships[index], int(row) - top, int(col))
            scene.write(np.clip(strip, 1, 65_535).astype(np.uint16), window=RasterWindow(0, top, side_px, height))
    return [
        (int(row) + pieces.ships[index].shape[1] // 2, int(col) + pieces.ships[index].shape[2] // 2)
        for (row, col), index in zip(places, chosen, strict=True)
    ]


def _windows(pixels: np.ndarray) -> list[np.ndarray]:
    height, width = pixels.shape[1:]
    return [
        pixels[:, row : row + PIECE_PX, col : col + PIECE_PX]
        for row in range(0, height - PIECE_PX + 1, PIECE_PX // 2)
        for col in range(0, width - PIECE_PX + 1, PIECE_PX // 2)
    ]


def _without_trend(window: np.ndarray) -> np.ndarray:
    """A window less the polynomial of degree 4 that fits it best: pieces meet without a step."""
    axis = np.linspace(-1, 1, window.shape[1])
    x, y = np.meshgrid(axis, axis)
    terms = np.stack([x**i * y**j for i in range(5) for j in range(5 - i)], axis=-1).reshape(-1, 15)
    samples = window.reshape(len(window), -1).T.astype(np.float64)
    fitted, *_ = np.linalg.lstsq(terms[::7], samples[::7], rcond=None)
    return np.round(samples - terms @ fitted).astype(np.int32).T.reshape(window.shape)


def _ships(pixels: np.ndarray, labels: Path) -> list[np.ndarray]:
    """Labelled ships with open water all around them, less that water."""
    height, width = pixels.shape[1:]
    ships = []
    for box in np.loadtxt(labels, ndmin=2)[:, 1:].reshape(-1, 4, 2) * [width, height]:
        left, top = np.floor(box.min(axis=0)).astype(int) - MARGIN_PX
        right, bottom = np.ceil(box.max(axis=0)).astype(int) + MARGIN_PX
        if left < 0 or top < 0 or right > width or bottom > height or max(right - left, bottom - top) < LEAST_SHIP_PX:
            continue
        cut = pixels[:, top:bottom, left:right].astype(np.int32)
        rim = np.concatenate(
            [cut[:, :2].reshape(4, -1), cut[:, -2:].reshape(4, -1), cut[:, :, :2].reshape(4, -1)], axis=1
        )
        water = np.median(rim, axis=1)
        if water[3] < 500 and np.all(rim[3] < water[3] + 250):
            ships.append(cut - water.astype(np.int32)[:, None, None])
    return ships


def _sea_strip(pieces: SeaPieces, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    strip = np.empty((len(BANDS), height, width), np.int32)
    for row in range(0, height, PIECE_PX):
        for col in range(0, width, PIECE_PX):
            piece = np.rot90(pieces.sea[rng.integers(len(pieces.sea))], int(rng.integers(4)), axes=(1, 2))
            room = strip[:, row : row + PIECE_PX, col : col + PIECE_PX]
            room[:] = piece[:, : room.shape[1], : room.shape[2]]
    strip += pieces.level[:, None, None]
    return strip


def _set_in(strip: np.ndarray, ship: np.ndarray, row: int, col: int) -> None:
    """Add what of a ship falls into a strip, whose first row is row 0."""
    first, last = max(row, 0), min(row + ship.shape[1], strip.shape[1])
    if first < last:
        strip[:, first:last, col : col + ship.shape[2]] += ship[:, first - row : last - row]

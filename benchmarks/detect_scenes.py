"""Scenes to search: a harbour of any size made of pieces of the real ports, and the picture of it that other tools take."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window as RasterWindow

from onboard.detector import DetectorModel
from onboard.ingest import open_scene
from onboard.network_input import network_input
from onboard.tiles import tile_grid

BANDS: Final = ("B02", "B03", "B04", "B08")
PIECE_PX: Final = 1024


def write_harbour(path: Path, data: Path, *, side_px: int) -> None:
    """A square GeoTIFF of pieces of the scenes in a folder with `images/`, side by side, each mirrored at its edge where it is too small.

    The pieces are taken in turn from all scenes and, where a scene is large enough, from other corners of it each time.
    """
    scenes = [_read(one) for one in sorted((data / "images").glob("*.tif"))]
    images = [pixels for pixels, names in scenes if names == BANDS]
    if not images:
        raise SystemExit(f"no scenes with the bands {', '.join(BANDS)} in {data}: give ../shared/data/s2_ships")
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": side_px, "height": side_px, "count": len(BANDS), "dtype": "uint16", "tiled": True,
        "blockxsize": 512, "blockysize": 512, "interleave": "pixel", "crs": "EPSG:32631",
        "transform": from_origin(500_000, 5_000_000, 10, 10),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as scene:
        scene.descriptions = BANDS
        starts = [(row, col) for row in range(0, side_px, PIECE_PX) for col in range(0, side_px, PIECE_PX)]
        for turn, (row, col) in enumerate(starts):
            pixels = images[turn % len(images)]
            height, width = min(PIECE_PX, side_px - row), min(PIECE_PX, side_px - col)
            piece = _corner(pixels, turn // len(images), height, width)
            scene.write(piece, window=RasterWindow(col, row, width, height))


def picture_of(path: Path, model: DetectorModel) -> np.ndarray:
    """(height, width, 3) uint8 of a scene as the network sees it, for tools that take pictures: what their users have to make first."""
    with open_scene(path) as frame:
        picture = np.empty((frame.height, frame.width, len(model.bands)), np.uint8)
        for tile in tile_grid(frame.height, frame.width, halo_px=0):
            image = network_input(frame.read(tile.core), frame.band_names, model.bands, kind=model.dn_to_input)
            picture[tile.core.slices] = np.round(image * 255).astype(np.uint8).transpose(1, 2, 0)
    return picture


def _read(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    with rasterio.open(path) as scene:
        return scene.read(), scene.descriptions


def _corner(pixels: np.ndarray, turn: int, height: int, width: int) -> np.ndarray:
    """One corner of a scene, the next in each turn; mirrored where the scene ends."""
    below, beside = (max(0, wanted - have) for wanted, have in zip((height, width), pixels.shape[1:], strict=True))
    whole = np.pad(pixels, ((0, 0), (0, below), (0, beside)), mode="symmetric")
    top = 0 if turn % 2 == 0 else whole.shape[1] - height
    left = 0 if turn // 2 % 2 == 0 else whole.shape[2] - width
    return whole[:, top : top + height, left : left + width]

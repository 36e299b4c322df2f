"""A small picture of a scene to look at (edge: rasterio's PNG driver)."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile

from ground.quality import Mask
from ground.raster_errors import told_as_ours

LONGEST_SIDE_PX: Final = 1024
STRETCH_PERCENTILES: Final = (1.0, 99.0)
TRUE_COLOUR: Final = (("B04", "B4", "RED", "R"), ("B03", "B3", "GREEN", "G"), ("B02", "B2", "BLUE", "B"))
"""Names of the red, green and blue bands in upper case: Sentinel-2, Landsat 8 and 9, plain words."""


def browse_png(scene_file: Path) -> bytes:
    """PNG of a published scene, at most 1024 px on its longer side; pixels that are not valid are transparent.

    Each colour is stretched between the 1st and 99th percentile of its valid pixels. Raises CatalogueError when the
    scene file cannot be read.
    """
    with told_as_ours(f"cannot draw {scene_file}", scene_file):
        bands, valid = _read_reduced(scene_file)
        return _png(np.stack([_stretched(band, valid) for band in bands]), valid)


def colour_bands(band_names: tuple[str, ...]) -> tuple[int, int, int]:
    """Which bands (from 0) to show as red, green and blue: true colour where the names say so.

    Otherwise the first three, or the first as grey where there are fewer.
    """
    upper = [name.upper() for name in band_names]
    found = [next((upper.index(name) for name in names if name in upper), None) for names in TRUE_COLOUR]
    red, green, blue = found
    if red is not None and green is not None and blue is not None:
        return red, green, blue
    return (0, 1, 2) if len(band_names) >= 3 else (0, 0, 0)


def _read_reduced(scene_file: Path) -> tuple[NDArray[Any], Mask]:
    """(3, height, width) samples and (height, width) validity, from the overviews."""
    with rasterio.open(scene_file) as dataset:
        shrink = max(1.0, max(dataset.shape) / LONGEST_SIDE_PX)
        shape = tuple(max(1, round(side / shrink)) for side in dataset.shape)
        names = tuple(name or "" for name in dataset.descriptions[:-1])
        chosen = [1 + band for band in colour_bands(names)]
        samples = dataset.read(chosen, out_shape=(3, *shape), resampling=Resampling.average)
        valid = dataset.read_masks(1, out_shape=shape, resampling=Resampling.nearest) > 0
    return samples, valid


def _stretched(band: NDArray[Any], valid: Mask) -> NDArray[np.uint8]:
    """8 bits; pixels that are not valid are 0."""
    if not valid.any():
        return np.zeros(band.shape, dtype=np.uint8)
    low, high = np.percentile(band[valid], STRETCH_PERCENTILES)
    scaled = (band.astype(np.float32) - low) * (255 / max(high - low, 1.0))
    return np.where(valid, np.clip(np.rint(scaled), 0, 255), 0).astype(np.uint8)


def _png(colours: NDArray[np.uint8], valid: Mask) -> bytes:
    opaque = np.where(valid, 255, 0).astype(np.uint8)
    height, width = valid.shape
    with MemoryFile() as memory:
        with memory.open(driver="PNG", height=height, width=width, count=4, dtype="uint8", ZLEVEL=3) as dataset:
            dataset.write(np.concatenate([colours, opaque[None]]))
        return bytes(memory.getbuffer())

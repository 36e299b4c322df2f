"""Pairs of real scenes of one place for the benchmark of reference coding: read, and laid on a grid of blocks."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import rasterio

from downlink.scene import Window
from onboard.tiles import tile_grid

SENTINEL_BANDS: Final = (2, 3, 4, 8)
"""The four of 10 m, as rasterio counts."""
REFLECTANCE_ONE: Final = 10000
"""Full scale of Sentinel-2 DN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePair:
    """A scene and an earlier one."""

    sensor: str
    """Whose they are."""
    new_date: str
    """When the new one was taken; years alone where a scene is made of a year's images."""
    old_date: str
    """Likewise."""
    gap_days: int
    """Between the two."""
    new: np.ndarray
    """(bands, height, width)."""
    old: np.ndarray
    """(bands, height, width)."""
    row_shift_px: float
    """By georeference: row r of the new scene lies at r + row_shift_px in the old one."""
    col_shift_px: float
    """Likewise."""
    nodata: float | None
    """The scene's nodata value."""
    block_px: int
    """Side of a block: small, as these scenes are, so that the choice shows."""
    peak_dn: int
    """Full scale."""

    @property
    def new_valid(self) -> np.ndarray:
        """(height, width) bool."""
        return _valid(self.new, self.nodata)

    @property
    def old_valid(self) -> np.ndarray:
        """(height, width) bool."""
        return _valid(self.old, self.nodata)

    def windows(self, pixels: np.ndarray) -> list[Window]:
        """The blocks of either scene."""
        return [tile.core for tile in tile_grid(*pixels.shape[1:], tile_px=self.block_px, halo_px=0)]


def pairs_of(folder: Path, *, block_px: int = 128, quick: bool = False) -> list[ScenePair]:
    """The pairs that are there, by sensor and gap. With `quick` one of each sensor."""
    pairs = [
        *_sentinel(folder / "s2_l1c_13band_5dates", block_px),
        *_naip(folder / "naip_10dates", block_px),
        *_landsat(folder / "landsat_8epochs", block_px),
    ]
    if quick:
        pairs = list({pair.sensor: pair for pair in reversed(pairs)}.values())[::-1]
    return pairs


def _sentinel(folder: Path, block_px: int) -> list[ScenePair]:
    chosen = (("2015-09-09", "2015-08-30"), ("2015-08-30", "2015-07-11"), ("2015-09-09", "2015-07-11"))
    return [
        _pair("Sentinel-2", dates, *(folder / f"s2_l1c_{day}.tif" for day in dates), block_px=block_px)
        for dates in chosen
        if folder.is_dir()
    ]


def _naip(folder: Path, block_px: int) -> list[ScenePair]:
    chosen = (
        ("20180716", "20170827"),
        ("20200831", "20190904"),
        ("20200831", "20180716"),
        ("20200831", "20150926"),
        ("20200831", "20100629"),
    )
    return [
        _pair("NAIP", (_day(new), _day(old)), folder / f"naip_{new}.tif", folder / f"naip_{old}.tif", block_px=block_px)
        for new, old in chosen
        if folder.is_dir()
    ]


def _landsat(folder: Path, block_px: int) -> list[ScenePair]:
    chosen = (("2020", "2015"), ("2020", "2010"), ("2020", "2000"))
    return [
        _pair("Landsat", years, *(folder / f"landsat_{year}.tif" for year in years), block_px=block_px)
        for years in chosen
        if folder.is_dir()
    ]


def _pair(sensor: str, dates: tuple[str, str], new_path: Path, old_path: Path, *, block_px: int) -> ScenePair:
    bands = SENTINEL_BANDS if sensor == "Sentinel-2" else None
    with rasterio.open(new_path) as new, rasterio.open(old_path) as old:
        col_shift_px, row_shift_px = ~old.transform * (new.transform * (0, 0))
        new_pixels, old_pixels = new.read(bands), old.read(bands)
        nodata = new.nodata
    return ScenePair(
        sensor=sensor,
        new_date=dates[0],
        old_date=dates[1],
        gap_days=(_date(dates[0]) - _date(dates[1])).days,
        new=new_pixels,
        old=old_pixels,
        row_shift_px=row_shift_px,
        col_shift_px=col_shift_px,
        nodata=nodata,
        block_px=block_px,
        peak_dn=255 if new_pixels.dtype == np.uint8 else REFLECTANCE_ONE,
    )


def _day(digits: str) -> str:
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"


def _date(text: str) -> date:
    return date.fromisoformat(text if "-" in text else f"{text}-01-01")


def _valid(pixels: np.ndarray, nodata: float | None) -> np.ndarray:
    valid: np.ndarray = np.ones(pixels.shape[1:], bool) if nodata is None else (pixels != nodata).any(axis=0)
    return valid

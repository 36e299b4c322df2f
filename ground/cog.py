"""A rebuilt scene as a Cloud-Optimized GeoTIFF on the scene's own grid (edge: rasterio).

Bands: those of the scene, in its own type and under its own names, then one named "quality" (codes of
`ground.quality`; scale 0.5 and unit dB, so a reader that applies scales sees decibels, 127.5 for byte-exact). An
internal mask says which pixels are valid. The nodata value is tagged too, except where it lies in 1..255 and would
strike out quality codes; then the mask alone speaks and the value is in the tag TIANSHU_NODATA.

The finished file is read back and compared with what went in before it takes its name: when a disk fills up, GDAL may
report no error and leave blocks out.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import DatasetReader

from downlink.scene import SceneSummary, Window
from ground.atomic_file import move_into_place, workshop
from ground.errors import CatalogueError
from ground.quality import QualityCodes, QualityStatistics
from ground.raster_errors import REMEDY, told_as_ours
from ground.reconstruction import RebuiltWindow
from ground.working_raster import (
    BLOCK_PX,
    WrittenRaster,
    checksum,
    masked_view,
    raster_window,
    write_full_resolution,
    write_overviews,
)

DEFLATE_LEVEL: Final = 1
"""On a Sentinel-2 port a third of the time of GDAL's level 6 for 1.6 % more bytes."""

BLOCK_CACHE_BYTES: Final = 64 * 1024 * 1024
"""GDAL keeps blocks in a twentieth of the machine's memory unless told otherwise."""


def write_cog(path: Path, summary: SceneSummary, windows: Iterable[RebuiltWindow]) -> QualityStatistics:
    """Write a rebuilt scene, in place of an older one if there is one, and count its pixels by quality.

    `windows` cover the scene without overlap, in any order. Raises CatalogueError when they do not or the file cannot
    be written; an older file then stays.
    """
    with (
        workshop(path) as folder,
        told_as_ours(f"cannot write {path}", path),
        rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE_BYTES),
    ):
        full, statistics = write_full_resolution(folder, summary, windows)
        if statistics.pixels != summary.height * summary.width:
            raise CatalogueError(
                f"windows cover {statistics.pixels} px of scene {summary.name}, which has "
                f"{summary.height * summary.width}: give each pixel once",
                path=path,
            )
        reduced = write_overviews(full, summary)
        finished = folder / "finished.tif"
        rasterio.shutil.copy(
            masked_view(full, coarser=[masked_view(raster) for raster in reduced]),
            finished,
            driver="COG",
            COMPRESS="DEFLATE",
            LEVEL=DEFLATE_LEVEL,
            PREDICTOR="YES",
            BLOCKSIZE=BLOCK_PX,
            OVERVIEWS="FORCE_USE_EXISTING",
            BIGTIFF="IF_SAFER",
        )
        _require_faithful(finished, path, [full, *reduced])
        move_into_place(finished, path)
    return statistics


def read_quality(cog: DatasetReader, window: Window) -> QualityCodes:
    """Quality codes (height, width) of a window inside an opened scene file."""
    return np.asarray(cog.read(cog.count, window=raster_window(window)), dtype=np.uint8)


def _require_faithful(finished: Path, path: Path, rasters: Sequence[WrittenRaster]) -> None:
    """Raise CatalogueError where the file and its overviews do not hold what was written."""
    for level, raster in enumerate(rasters):
        which: dict[str, Any] = {"overview_level": level - 1} if level else {}
        with rasterio.open(finished, **which) as dataset:
            for window, expected in raster.checksums:
                if checksum(_read_part(dataset, window)) != expected:
                    raise CatalogueError(
                        f"cannot write {path}: at row {window.row}, col {window.col} of resolution {level} the disk does "
                        f"not hold what was written; {REMEDY}",
                        path=path,
                    )


def _read_part(dataset: DatasetReader, window: Window) -> RebuiltWindow:
    samples = dataset.read(window=raster_window(window))
    return RebuiltWindow(
        window=window,
        pixels=samples[:-1],
        valid=dataset.read_masks(1, window=raster_window(window)) > 0,
        quality=samples[-1].astype(np.uint8),
    )

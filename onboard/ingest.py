"""Opens scene files with rasterio: what they are, and where on Earth.

Whatever GDAL reads (GeoTIFF, COG, JPEG 2000, VRT) becomes a `SensorFrame`, or is refused with an error that names the
thing and the remedy. Pixels are read in windows; nothing here reads a whole scene.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from pydantic import BaseModel, ConfigDict, Field
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.transform import Affine, from_gcps
from rasterio.warp import transform as warp_points

from downlink.scene import Georeference, Window
from onboard.capture_time import captured_ms_from_tags
from onboard.errors import SceneFileError, SceneGeoreferenceError, TileReadError
from onboard.ground_sampling import ground_sampling_distance_m
from onboard.raster_source import GDAL_OPTIONS, NO_SIDE_FILES, RasterSource, opened
from onboard.scene_bands import checked_dtype, checked_nodata, names_of_bands
from onboard.sensor_frame import LonLatCorners, SensorFrame

SELF_CONTAINED_DRIVERS: Final = ("GTiff", "JP2OpenJPEG")
"""Formats that hold their pixels themselves: GeoTIFF (COG among them) and JPEG 2000. A VRT names other files, or addresses."""

LARGE_BLOCK_BYTES: Final = 256 * 1024 * 1024
"""A file whose single block is larger cannot really be read in windows; the frame carries a note."""


class IngestSettings(BaseModel):
    """How scene files are opened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    band_names: tuple[str, ...] | None = None
    """Names of the image bands in file order, over whatever the file says; None takes the file's."""
    allow_no_crs: bool = False
    """Take scenes that say nothing about where they lie; their detections have no longitude and latitude."""
    drivers: tuple[str, ...] | None = None
    """GDAL drivers that may open a file, which then is all that is read, without what lies beside it; None: any driver."""
    gcp_limit_px: float = Field(default=5.0, gt=0)
    """Largest root-mean-square distance, in pixels, between ground control points and the affine fitted to them."""


def open_scene(path: str | Path, settings: IngestSettings | None = None) -> SensorFrame:
    """Open a scene file for windowed reading. Close the frame, or use it as a context manager.

    Raises SceneFileError (absent, not a raster, damaged all over), SceneFormatError (sample type, number of bands,
    names that do not fit, unequal nodata), SceneGeoreferenceError (no CRS, ground control points that fit no affine).
    """
    settings = settings or IngestSettings()
    path = Path(path)
    gdal_options = GDAL_OPTIONS if settings.drivers is None else {**GDAL_OPTIONS, **NO_SIDE_FILES}
    with rasterio.Env(**gdal_options), ExitStack() as on_failure:
        dataset = on_failure.enter_context(opened(path, settings.drivers))
        image_bands, alpha_band = _bands_by_role(dataset)
        dtype = checked_dtype([dataset.dtypes[band - 1] for band in image_bands], path)
        source = RasterSource(
            dataset, path.stem, image_bands, alpha_band, partial(opened, path, settings.drivers), gdal_options
        )
        _refuse_if_nothing_reads(source, dataset.height, dataset.width, path)  # a cut header also loses the CRS
        notes: list[str] = []
        nodata = checked_nodata([dataset.nodatavals[band - 1] for band in image_bands], dtype, path, notes)
        georeference = _georeference(dataset, path, settings, notes)
        footprint, gsd_m = _place_on_earth(georeference, dataset.height, dataset.width, notes)
        block_height, block_width = dataset.block_shapes[0]
        if block_height * block_width * len(image_bands) * np.dtype(dtype).itemsize > LARGE_BLOCK_BYTES:
            notes.append(f"one block is {block_height} x {block_width} px: rewrite with gdal_translate -co TILED=YES")
        frame = SensorFrame(
            name=path.stem,
            height=dataset.height,
            width=dataset.width,
            dtype=dtype,
            band_names=names_of_bands(
                [dataset.descriptions[band - 1] for band in image_bands],
                [dataset.colorinterp[band - 1].name for band in image_bands],
                chosen=settings.band_names,
                path=path,
            ),
            nodata=nodata,
            georeference=georeference,
            gsd_m=gsd_m,
            footprint_lonlat=footprint,
            captured_ms=captured_ms_from_tags({**dataset.tags(ns="IMAGERY"), **dataset.tags()}),
            notes=tuple(notes),
            source=source,
        )
        on_failure.pop_all()
    return frame


def _bands_by_role(dataset: rasterio.DatasetReader) -> tuple[tuple[int, ...], int | None]:
    """(image bands, alpha band or None), numbered from 1. A file of nothing but alpha keeps it as its image."""
    roles = list(zip(dataset.indexes, dataset.colorinterp, strict=True))
    image = tuple(index for index, role in roles if role != ColorInterp.alpha)
    alpha = [index for index, role in roles if role == ColorInterp.alpha]
    if not image:
        return tuple(dataset.indexes), None
    return image, alpha[0] if alpha else None


def _georeference(
    dataset: rasterio.DatasetReader, path: Path, settings: IngestSettings, notes: list[str]
) -> Georeference:
    affine, crs = dataset.transform, dataset.crs
    points, points_crs = dataset.gcps
    if points and affine.is_identity:
        affine, crs = _fitted_affine(points, path, settings.gcp_limit_px, notes), points_crs
    if crs is None and not settings.allow_no_crs:
        remedy = (
            "it has RPCs: orthorectify it with gdalwarp -rpc"
            if dataset.rpcs
            else "assign one with gdal_edit.py -a_srs EPSG:CODE, or set allow_no_crs"
        )
        raise SceneGeoreferenceError(f"{path} has no coordinate reference system; {remedy}", path=path)
    if affine.is_identity and crs is not None:
        notes.append("no geotransform: map coordinates are pixel coordinates")
    if crs is None:
        notes.append("no coordinate reference system: detections have pixel coordinates only")
    transform = (affine.a, affine.b, affine.c, affine.d, affine.e, affine.f)
    return Georeference(crs_wkt=crs.to_wkt() if crs is not None else None, transform=transform)


def _fitted_affine(points: list[Any], path: Path, limit_px: float, notes: list[str]) -> Affine:
    """Least-squares affine through ground control points; its misfit is noted, or refused above the limit."""
    try:
        affine = from_gcps(points)
        inverse = ~affine
    except (ValueError, RasterioError, ArithmeticError) as error:
        raise SceneGeoreferenceError(
            f"{path}: no affine fits its {len(points)} ground control points ({error}); warp it with gdalwarp -tps",
            path=path,
        ) from error
    fitted = [_applied(inverse, point.x, point.y) for point in points]
    squares = [(x - point.col) ** 2 + (y - point.row) ** 2 for (x, y), point in zip(fitted, points, strict=True)]
    rms_px, largest_px = math.sqrt(sum(squares) / len(squares)), math.sqrt(max(squares))
    if not rms_px <= limit_px:
        raise SceneGeoreferenceError(
            f"{path}: an affine misses its {len(points)} ground control points by {rms_px:.1f} px (RMS), at most "
            f"{limit_px:g} is taken; warp it with gdalwarp -tps or raise gcp_limit_px",
            path=path,
            residual_px=rms_px,
        )
    notes.append(f"affine fitted to {len(points)} ground control points: RMS {rms_px:.2f} px, {largest_px:.2f} at most")
    return affine


def _applied(affine: Affine, x: float, y: float) -> tuple[float, float]:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _place_on_earth(
    georeference: Georeference, height: int, width: int, notes: list[str]
) -> tuple[LonLatCorners | None, float | None]:
    """(four corners in longitude and latitude, ground sampling distance in metres), None where not known."""
    if georeference.crs_wkt is None:
        return None, None
    affine, middle = Affine(*georeference.transform), (width / 2, height / 2)
    pixels = [(0, 0), (width, 0), (width, height), (0, height), middle]
    pixels += [(middle[0] + 1, middle[1]), (middle[0], middle[1] + 1)]
    xs, ys = zip(*(_applied(affine, x, y) for x, y in pixels), strict=True)
    try:
        longitudes, latitudes = warp_points(CRS.from_wkt(georeference.crs_wkt), CRS.from_epsg(4326), xs, ys)
    except RasterioError as error:
        notes.append(f"its coordinate reference system does not lead to longitude and latitude ({error})")
        return None, None
    upper_left, upper_right, lower_right, lower_left, centre, right, below = zip(longitudes, latitudes, strict=True)
    corners = (upper_left, upper_right, lower_right, lower_left)
    on_earth = all(math.isfinite(lon) and abs(lon) <= 360 and abs(lat) <= 90 for lon, lat in corners)
    if not on_earth:
        notes.append("its corners have no longitude and latitude: no footprint")
    return corners if on_earth else None, ground_sampling_distance_m(centre, right, below)


def _refuse_if_nothing_reads(source: RasterSource, height: int, width: int, path: Path) -> None:
    """Try five pixels, corners and centre; one that reads is enough: the tiles around it are worth having."""
    last: TileReadError | None = None
    for row, col in ((height // 2, width // 2), (0, 0), (height - 1, width - 1), (0, width - 1), (height - 1, 0)):
        try:
            source.read_bands(Window(row=row, col=col, height=1, width=1))
            return
        except TileReadError as error:
            last = error
    raise SceneFileError(f"{path} opens, but no pixel of it reads; copy it again: {last}", path=path) from last

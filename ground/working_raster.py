"""The working files from which a scene's COG is made (edge: rasterio).

One plain tiled GeoTIFF per resolution, whose bands are those of the scene, "quality" and "mask". GDAL would resample all
bands of a file alike and average the quality codes; hence the overviews are ours. And no internal masks here: when the
disk is full, GDAL 3.10 writes the blocks of a file with an internal mask into a buffer of the wrong size and takes the
process down. A view (VRT) makes the last band the mask of the others.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from downlink.scene import SceneSummary, Window
from ground.geolocation import read_crs
from ground.instant import tiff_datetime, utc_text
from ground.overviews import halved
from ground.quality import BYTE_EXACT, CODES_IN_WORDS, STEPS_PER_DB, QualityStatistics
from ground.reconstruction import RebuiltWindow, fill_value, representable_nodata

BLOCK_PX: Final = 512
"""Side of a TIFF block; the smallest overview fits one."""
QUALITY_BAND: Final = "quality"
MASK_VALID: Final = 255
"""What the mask band holds for a valid pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRaster:
    """A working file and what was written into it."""

    path: Path
    """GeoTIFF."""
    checksums: tuple[tuple[Window, int], ...]
    """The windows written, each with its `checksum`."""


def write_full_resolution(
    folder: Path, summary: SceneSummary, windows: Iterable[RebuiltWindow]
) -> tuple[WrittenRaster, QualityStatistics]:
    """Write the windows as they come into a file in `folder` and count their pixels."""
    path, statistics, checksums = folder / "full.tif", QualityStatistics.none(), []
    with _created(path, summary, height=summary.height, width=summary.width) as dataset:
        dataset.update_tags(**_provenance(summary))
        for part in windows:
            checksums.append(_write_part(dataset, part))
            statistics += QualityStatistics.of(part.valid, part.quality)
    return WrittenRaster(path=path, checksums=tuple(checksums)), statistics


def write_overviews(full: WrittenRaster, summary: SceneSummary) -> list[WrittenRaster]:
    """Halve until one block holds the scene; one file for each resolution, finest first."""
    finer, height, width, written = full.path, summary.height, summary.width, []
    while max(height, width) > BLOCK_PX:
        height, width = (height + 1) // 2, (width + 1) // 2
        coarser = full.path.with_name(f"{height}x{width}.tif")
        with rasterio.open(finer) as source, _created(coarser, summary, height=height, width=width) as target:
            parts = _halved_parts(source, summary, height=height, width=width)
            checksums = tuple(_write_part(target, part) for part in parts)
        written.append(WrittenRaster(path=coarser, checksums=checksums))
        finer = coarser
    return written


def masked_view(raster: WrittenRaster, *, coarser: Sequence[Path] = ()) -> Path:
    """Write a VRT whose last band is the mask of the others; `coarser` are such views for its overviews, finest first."""
    view = raster.path.with_suffix(".vrt")
    rasterio.shutil.copy(raster.path, view, driver="VRT")
    tree = ElementTree.parse(view)
    root = tree.getroot()
    *bands, mask = root.findall("VRTRasterBand")
    for number, band in enumerate(bands, start=1):
        for overview in coarser:
            entry = ElementTree.SubElement(band, "Overview")
            ElementTree.SubElement(entry, "SourceFilename", relativeToVRT="1").text = overview.name
            ElementTree.SubElement(entry, "SourceBand").text = str(number)
    root.remove(mask)
    mask_band = ElementTree.SubElement(ElementTree.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
    mask_band.extend(mask.findall("SimpleSource"))
    tree.write(view, encoding="utf-8")
    return view


def checksum(part: RebuiltWindow) -> int:
    """CRC-32 of the samples, the quality codes and the mask of a window."""
    crc = zlib.crc32(np.ascontiguousarray(part.pixels).tobytes())
    crc = zlib.crc32(np.ascontiguousarray(part.quality).tobytes(), crc)
    return zlib.crc32(np.packbits(part.valid).tobytes(), crc)


def raster_window(window: Window) -> RasterWindow:
    """A window as rasterio counts it."""
    return RasterWindow(window.col, window.row, window.width, window.height)


def tagged_nodata(summary: SceneSummary) -> int | None:
    """The nodata value as written into the file, None where it would strike out quality codes."""
    nodata = representable_nodata(summary)
    return nodata if nodata == 0 or (nodata is not None and nodata > BYTE_EXACT) else None


def _halved_parts(source: DatasetReader, summary: SceneSummary, *, height: int, width: int) -> Iterator[RebuiltWindow]:
    for row in range(0, height, BLOCK_PX):
        for col in range(0, width, BLOCK_PX):
            finer_height = min(2 * BLOCK_PX, source.height - 2 * row)
            finer_width = min(2 * BLOCK_PX, source.width - 2 * col)
            samples = source.read(window=RasterWindow(2 * col, 2 * row, finer_width, finer_height))
            pixels, valid, quality = halved(
                samples[:-2],
                samples[-1] == MASK_VALID,
                samples[-2].astype(np.uint8),
                fill=fill_value(summary),
                nodata=representable_nodata(summary),
            )
            window = Window(row=row, col=col, height=valid.shape[0], width=valid.shape[1])
            yield RebuiltWindow(window=window, pixels=pixels, valid=valid, quality=quality)


def _write_part(dataset: DatasetWriter, part: RebuiltWindow) -> tuple[Window, int]:
    """Write image bands, quality and mask; returns the window and its checksum."""
    samples = np.empty((dataset.count, part.window.height, part.window.width), dtype=part.pixels.dtype)
    samples[:-2] = part.pixels
    samples[-2] = part.quality
    samples[-1] = np.where(part.valid, MASK_VALID, 0)
    dataset.write(samples, window=raster_window(part.window))
    return part.window, checksum(part)


@contextmanager
def _created(path: Path, summary: SceneSummary, *, height: int, width: int) -> Iterator[DatasetWriter]:
    """A new working file for the scene's bands, its quality and its mask, at full or reduced resolution."""
    a, b, c, d, e, f = summary.georeference.transform
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=len(summary.band_names) + 2,
        dtype=summary.dtype,
        crs=read_crs(summary.georeference),
        transform=Affine(a, b, c, d, e, f) @ Affine.scale(summary.width / width, summary.height / height),
        nodata=tagged_nodata(summary),
        tiled=True,
        blockxsize=BLOCK_PX,
        blockysize=BLOCK_PX,
        # GDAL's default would make three 8-bit bands and the quality red, green, blue and alpha.
        photometric="MINISBLACK",
        alpha="NO",
        BIGTIFF="IF_SAFER",
    ) as dataset:
        plain = len(summary.band_names)
        dataset.descriptions = (*summary.band_names, QUALITY_BAND, "mask")
        dataset.scales = (*[1.0] * plain, 1 / STEPS_PER_DB, 1.0)
        dataset.units = (*[""] * plain, "dB", "")
        dataset.update_tags(plain + 1, MEANING=CODES_IN_WORDS)
        yield dataset


def _provenance(summary: SceneSummary) -> dict[str, str]:
    tags = {
        "TIFFTAG_DATETIME": tiff_datetime(summary.captured_ms),
        "TIANSHU_SCENE": str(summary.scene),
        "TIANSHU_NAME": summary.name,
        "TIANSHU_CAPTURED": utc_text(summary.captured_ms),
        "TIANSHU_MODEL": summary.model or "none",
        "TIANSHU_POLICY": summary.policy,
        "TIANSHU_PEAK_DN": str(summary.peak_dn),
        "TIANSHU_QUALITY_CODES": CODES_IN_WORDS,
    }
    nodata = representable_nodata(summary)
    return tags if nodata is None else tags | {"TIANSHU_NODATA": str(nodata)}

"""A rebuilt scene as an ordinary JPEG 2000 file, and a block's codestream as it came (edge: rasterio).

The .jp2 holds the bands of the scene in its own type, coded reversibly (5/3), with the georeference in GeoJP2 and GMLJP2 boxes. The
format has no mask: masked pixels hold the nodata value, or 0 in a scene without one. Beside the file lie

    NAME.jp2.aux.xml   nodata value and band names, as GDAL keeps them
    NAME.jp2.msk       the mask, where a pixel is masked; GDAL takes it up by its name

The file is read back and compared with what went in before it takes its name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.transform import Affine

from downlink.codestream import join_layers
from downlink.image_header import ImageHeader, unpack_header
from downlink.scene import SceneSummary
from ground.atomic_file import move_into_place, workshop
from ground.errors import CatalogueError
from ground.geolocation import read_crs
from ground.quality import QualityStatistics
from ground.raster_errors import REMEDY, told_as_ours
from ground.reconstruction import RebuiltWindow, representable_nodata
from ground.working_raster import BLOCK_PX, raster_window

TILE_PX: Final = 1024
"""Side of a tile of the codestream: readers decode a window without the whole."""
MASK_SUFFIX: Final = ".msk"
SIDE_SUFFIX: Final = ".aux.xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jp2Export:
    """What was written."""

    path: Path
    """The .jp2."""
    mask: Path | None
    """The mask beside it; None where every pixel is valid."""
    nodata: int | None
    """What masked pixels are marked with; None in a scene without a nodata value."""
    statistics: QualityStatistics
    """Pixels by quality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCodestream:
    """An image's layers as one JPEG 2000 codestream (.j2k), the bytes that came between its markers."""

    data: bytes
    """The codestream."""
    header: ImageHeader
    """What step 0 says: a decoder of the codestream gives its components, which are pixels only where nothing was done to them."""
    steps: int
    """Steps in it."""

    @property
    def holds_pixels(self) -> bool:
        """Whether the components are the bands themselves: neither transformed nor differences to a prediction."""
        return self.header.transform is None and self.header.reference is None


def write_jp2(path: Path, summary: SceneSummary, windows: Iterable[RebuiltWindow]) -> Jp2Export:
    """Write a rebuilt scene, in place of an older file if there is one.

    `windows` cover the scene without overlap, in any order. Raises CatalogueError when they do not or the files cannot be written;
    an older file then stays.
    """
    with workshop(path) as folder, told_as_ours(f"cannot write {path}", path):
        plain, mask = folder / "plain.tif", folder / "mask.tif"
        statistics = _write_plain(plain, mask, summary, windows)
        if statistics.pixels != summary.height * summary.width:
            raise CatalogueError(
                f"windows cover {statistics.pixels} px of scene {summary.name}, which has "
                f"{summary.height * summary.width}: give each pixel once",
                path=path,
            )
        finished = folder / "finished.jp2"
        options = {"CODEC": "JP2", "REVERSIBLE": "YES", "QUALITY": "100", "YCC": "NO"}
        rasterio.shutil.copy(plain, finished, driver="JP2OpenJPEG", BLOCKXSIZE=TILE_PX, BLOCKYSIZE=TILE_PX, **options)
        _require_same(finished, plain, path)
        is_masked = statistics.valid_px < statistics.pixels
        beside = [(mask, MASK_SUFFIX)] if is_masked else []
        aux = _beside(finished, SIDE_SUFFIX)
        if aux.exists():
            beside.append((aux, SIDE_SUFFIX))
        for suffix in (MASK_SUFFIX, SIDE_SUFFIX):
            _beside(path, suffix).unlink(missing_ok=True)
        for file, suffix in beside:
            move_into_place(file, _beside(path, suffix))
        move_into_place(finished, path)
    return Jp2Export(
        path=path,
        mask=_beside(path, MASK_SUFFIX) if is_masked else None,
        nodata=representable_nodata(summary),
        statistics=statistics,
    )


def stored_codestream(payloads: Sequence[bytes]) -> StoredCodestream:
    """The codestream of an image from its first payloads, without a gap from step 0 on.

    Raises LayerError or CodestreamError for payloads that are no image, or hold no coded samples yet.
    """
    header, packets = unpack_header(payloads[0])
    layers = [*([packets] if header.reference is None else []), *payloads[1:]]
    return StoredCodestream(data=join_layers(header.shape, layers), header=header, steps=len(payloads))


def _write_plain(path: Path, mask: Path, summary: SceneSummary, windows: Iterable[RebuiltWindow]) -> QualityStatistics:
    """The scene and its mask as plain tiled TIFF files."""
    statistics = QualityStatistics.none()
    a, b, c, d, e, f = summary.georeference.transform
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": summary.height,
        "width": summary.width,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "photometric": "MINISBLACK",
    }
    place: dict[str, Any] = {
        "crs": read_crs(summary.georeference),
        "transform": Affine(a, b, c, d, e, f),
        "nodata": representable_nodata(summary),
        "BIGTIFF": "IF_SAFER",
    }
    with (
        rasterio.open(
            path, "w", count=len(summary.band_names), dtype=summary.dtype, alpha="NO", **profile, **place
        ) as dataset,
        rasterio.open(mask, "w", count=1, dtype="uint8", compress="DEFLATE", **profile) as flags,
    ):
        dataset.descriptions = summary.band_names
        flags.update_tags(INTERNAL_MASK_FLAGS_1="2")  # GDAL's GMF_PER_DATASET: one mask for all bands
        for part in windows:
            dataset.write(part.pixels, window=raster_window(part.window))
            flags.write(np.where(part.valid, np.uint8(255), np.uint8(0)), 1, window=raster_window(part.window))
            statistics += QualityStatistics.of(part.valid, part.quality)
    return statistics


def _require_same(finished: Path, plain: Path, path: Path) -> None:
    """Raise CatalogueError where the finished file does not hold the samples of the plain one."""
    with rasterio.open(finished) as dataset, rasterio.open(plain) as expected:
        for _, window in expected.block_windows(1):
            if not np.array_equal(dataset.read(window=window), expected.read(window=window)):
                raise CatalogueError(
                    f"cannot write {path}: at row {window.row_off}, col {window.col_off} the disk does not hold what was "
                    f"written; {REMEDY}",
                    path=path,
                )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)

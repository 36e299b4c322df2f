"""The pixels of a scene file: windows of it through rasterio, by several threads at once (edge)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, Final, cast

import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window as RasterWindow

from downlink.scene import Window
from onboard.errors import SceneFileError, SceneFormatError, TileReadError
from onboard.sensor_frame import Mask, Pixels

GDAL_OPTIONS: Final[dict[str, Any]] = {
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
    "GDAL_CACHEMAX": 256 * 1024 * 1024,
    "GTIFF_DIRECT_IO": True,
}
"""Damage in a JPEG file that libjpeg only warns about becomes an error (JPEG inside TIFF stays silent about it). Decoded blocks are
kept within so many bytes, and not within GDAL's twentieth of the machine: rows of tiles are read once, whatever the scene's size.
Uncompressed GeoTIFFs are read past that cache, in half the time: the system keeps their pages already."""

NO_SIDE_FILES: Final[dict[str, Any]] = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": False}
"""Masks, overviews and metadata beside the file stay unread: such a file may name others, which any driver opens."""

DECIDED_AT_OPENING: Final = "GTiff"
"""This driver looks at these options when a file is opened, and not again when it is read."""

TILED_BLOCK_PX: Final = 1024
"""Blocks of at most this side are read by several threads at once."""


class RasterSource:
    """A `PixelSource` over an open rasterio dataset, and over as many more of the same file as threads read at once."""

    def __init__(
        self,
        dataset: rasterio.DatasetReader,
        name: str,
        image_bands: tuple[int, ...],
        alpha_band: int | None,
        open_again: Callable[[], rasterio.DatasetReader],
        gdal_options: Mapping[str, Any] = GDAL_OPTIONS,
    ) -> None:
        self._open_again = open_again
        self._gdal_options = gdal_options
        self._reads_options = dataset.driver != DECIDED_AT_OPENING
        self._is_tiled = all(side <= TILED_BLOCK_PX for side in dataset.block_shapes[0])
        self._changing = Lock()
        self._reading = Lock()
        self._idle, self._all = [dataset], [dataset]
        self._name = name
        self._image_bands = image_bands
        self._alpha_band = alpha_band
        flags = dataset.mask_flag_enums[image_bands[0] - 1]
        self._has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags

    def read_bands(self, window: Window) -> Pixels:
        """(bands, height, width) of a window inside the file. Raises TileReadError."""
        return self._read(window, list(self._image_bands))

    def read_mask(self, window: Window) -> Mask | None:
        """Where mask and alpha are not zero; None without either. Raises TileReadError."""
        valid: Mask | None = None
        if self._has_mask:
            valid = self._read(window, self._image_bands[0], masks=True) != 0
        if self._alpha_band is not None:
            opaque = self._read(window, self._alpha_band) != 0
            valid = opaque if valid is None else valid & opaque
        return valid

    def close(self) -> None:
        """Close the file."""
        for dataset in self._all:
            dataset.close()

    def _read(self, window: Window, bands: int | list[int], masks: bool = False) -> NDArray[Any]:
        area = RasterWindow(window.col, window.row, window.width, window.height)
        try:
            # Setting options takes as long as a tenth of reading a tile.
            with (
                rasterio.Env(**self._gdal_options) if self._reads_options else nullcontext(),
                self._dataset() as dataset,
            ):
                read = dataset.read_masks if masks else dataset.read
                return cast(NDArray[Any], read(bands, window=area))
        except (RasterioError, SceneFileError) as error:
            raise TileReadError(
                f"scene {self._name}: cannot read {window.height} x {window.width} px at row {window.row}, col "
                f"{window.col} ({error.__cause__ or error}); skip this tile or copy the file again",
                scene=self._name,
                window=window,
            ) from error

    @contextmanager
    def _dataset(self) -> Iterator[rasterio.DatasetReader]:
        """A dataset that no other thread uses meanwhile.

        Of a file in small blocks every thread has its own. One in strips, or in one block, is decoded anew by every dataset that
        reads of it: there the threads wait for each other.
        """
        with nullcontext() if self._is_tiled else self._reading:
            with self._changing:
                dataset = self._idle.pop() if self._idle else None
            if dataset is None:
                dataset = self._another()
            try:
                yield dataset
            finally:
                with self._changing:
                    self._idle.append(dataset)

    def _another(self) -> rasterio.DatasetReader:
        with rasterio.Env(**self._gdal_options):
            dataset = self._open_again()
        with self._changing:
            self._all.append(dataset)
        first = self._all[0]
        if (dataset.shape, dataset.dtypes) != (first.shape, first.dtypes):
            raise SceneFileError(
                f"{first.name} was replaced by another file while it was read; copy the scene again under a name of its own",
                path=Path(first.name),
            )
        return dataset


def opened(path: Path, drivers: tuple[str, ...] | None) -> rasterio.DatasetReader:
    """A scene file as rasterio has it; `drivers` are the GDAL drivers that may open it, None any.

    Raises SceneFileError (absent, a folder, no raster) and SceneFormatError (nothing but subdatasets).
    """
    if path.is_dir():
        raise SceneFileError(
            f"{path} is a folder; stack its bands first: gdalbuildvrt -separate scene.vrt {path}/*.tif", path=path
        )
    if not path.is_file():
        raise SceneFileError(f"no scene file at {path}; check the path", path=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # answered where the scene is placed on Earth
            # What `rasterio.open` makes; that function takes one driver alone.
            dataset = rasterio.DatasetReader(str(path), driver=None if drivers is None else list(drivers))
    except RasterioIOError as error:
        target = "" if drivers is None else f" -of {drivers[0]}: only {' and '.join(drivers)} are taken here"
        raise SceneFileError(
            f"{path} ({path.stat().st_size} bytes) does not open as a raster ({error}); copy it again, or convert it "
            f"with gdal_translate{target}",
            path=path,
        ) from error
    if dataset.count == 0 or dataset.height == 0 or dataset.width == 0:
        inner = dataset.subdatasets
        dataset.close()
        remedy = f"extract one of {', '.join(inner[:3])} with gdal_translate" if inner else "give a file with bands"
        raise SceneFormatError(
            f"{path} holds no pixels of its own; {remedy}", path=path, found="0 bands", accepted="1 or more bands"
        )
    return dataset

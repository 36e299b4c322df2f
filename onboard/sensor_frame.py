"""An opened scene: what is known of it, and windowed reads of its pixels and of their validity.

A pixel is valid when all three hold:

* the file's mask (internal or side file), where there is one, is not zero there;
* its alpha band, where there is one, is not zero there;
* some band differs from the nodata value, where one is declared (GDAL's rule: missing means missing in every band).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from downlink.scene import Georeference, Window
from onboard.errors import TileReadError, WindowOutsideError

Pixels = NDArray[Any]
"""(bands, height, width) of uint8 or uint16."""
Mask = NDArray[np.bool_]
"""(height, width), True where valid."""
LonLatCorners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


class PixelSource(Protocol):
    """Where the pixels of a scene come from. Windows given to it lie inside the scene."""

    def read_bands(self, window: Window) -> Pixels:
        """Image bands of a window. Raises TileReadError where the source is damaged."""

    def read_mask(self, window: Window) -> Mask | None:
        """Mask and alpha of a window, None when the scene has neither. Raises TileReadError."""

    def close(self) -> None:
        """Let go of the source; a second call does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFrame:
    """A scene as the sensor took it, read window by window and never as a whole. Not safe to share between threads."""

    name: str
    """Name of the scene: the file's name without its ending."""
    height: int
    """Rows."""
    width: int
    """Columns."""
    dtype: Literal["uint8", "uint16"]
    """Type of a sample."""
    band_names: tuple[str, ...]
    """One distinct name per image band; alpha is not among them."""
    nodata: float | None
    """Sample value of a missing pixel, the same in every band; None when none is declared."""
    georeference: Georeference
    """Pixel to map."""
    gsd_m: float | None
    """Ground sampling distance at the centre, in metres; None without a coordinate reference system."""
    footprint_lonlat: LonLatCorners | None
    """Corners (longitude, latitude) from the upper left, clockwise in the pixel frame; may cross the antimeridian."""
    captured_ms: int | None
    """Time of capture, Unix time in milliseconds; None when the file does not say."""
    notes: tuple[str, ...]
    """What a reader of the report should know: a fitted transform, an ignored nodata value."""
    source: PixelSource
    """Where the pixels come from."""

    def read(self, window: Window, halo_px: int = 0) -> Pixels:
        """Image bands of `window` grown by `halo_px` on all sides, (bands, height, width): see `read_around`."""
        return self.read_around(window, _grown(window, halo_px))

    def read_around(self, core: Window, padded: Window) -> Pixels:
        """Image bands of `padded`, which surrounds `core`, (bands, height, width).

        Where there is nothing to read the nearest pixel that there is is repeated: outside the scene, and around the
        core when only its surroundings are damaged. Raises TileReadError when the core itself cannot be read,
        WindowOutsideError when it misses the scene.
        """
        inside, core_inside = self._inside(padded), self._inside(core)
        try:
            pixels = self.source.read_bands(inside)
        except TileReadError:
            if inside == core_inside:
                raise
            inside = core_inside
            pixels = self.source.read_bands(inside)
        margins = _margins(padded, inside)
        return np.pad(pixels, ((0, 0), *margins), mode="edge") if any(map(any, margins)) else pixels

    def valid(self, window: Window, halo_px: int = 0) -> Mask:
        """Which pixels of the same window are valid, (height, width), to be read alone. Outside the scene nothing is.

        Raises TileReadError where the file is damaged, WindowOutsideError when the window misses the scene.
        """
        wanted = _grown(window, halo_px)
        inside = self._inside(wanted)
        valid = self.source.read_mask(inside)
        if self.nodata is not None:
            has_data = np.any(self.source.read_bands(inside) != self.nodata, axis=0)
            valid = has_data if valid is None else valid & has_data
        if valid is None:
            valid = _all_valid(inside.height, inside.width)
        margins = _margins(wanted, inside)
        return np.pad(valid, margins, constant_values=False) if any(map(any, margins)) else valid

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _inside(self, window: Window) -> Window:
        inside = window.intersection(Window(row=0, col=0, height=self.height, width=self.width))
        if inside is None:
            raise WindowOutsideError(
                f"window at row {window.row}, col {window.col} of {window.height} x {window.width} px misses scene "
                f"{self.name} of {self.height} x {self.width} px; ask for one that overlaps it",
                window=window,
                height=self.height,
                width=self.width,
            )
        return inside


@lru_cache(maxsize=4)
def _all_valid(height: int, width: int) -> Mask:
    """A mask of every pixel, one for all tiles of a size, which nobody may write to."""
    mask = np.ones((height, width), dtype=np.bool_)
    mask.setflags(write=False)
    return mask


def _grown(window: Window, halo_px: int) -> Window:
    return Window(
        row=window.row - halo_px,
        col=window.col - halo_px,
        height=window.height + 2 * halo_px,
        width=window.width + 2 * halo_px,
    )


def _margins(wanted: Window, inside: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows (above, below) and columns (left, right) of `wanted` that lie outside `inside`."""
    return (
        (inside.row - wanted.row, wanted.row_stop - inside.row_stop),
        (inside.col - wanted.col, wanted.col_stop - inside.col_stop),
    )

"""The grid on which a scene is painted: finer than the sensor's pixels and a little larger than the scene."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

BANDS = ("B02", "B03", "B04", "B08")
"""Band order of every (4, ...) array of this package: blue, green, red, near infrared (Sentinel-2 names)."""

SUBSAMPLES = 2
"""Canvas cells per pixel along each axis."""

MARGIN_PX = 12
"""Painted beyond each side of the scene, so that blur, shifts and shadows never see an edge (pixels)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """Sample positions, in pixel coordinates of the scene: pixel (0, 0) covers [0, 1) x [0, 1), x right, y down."""

    height_px: int
    """Rows of the scene (pixels, without the margin)."""
    width_px: int
    """Columns of the scene (pixels, without the margin)."""
    x: FloatArray = field(init=False)
    """Column positions of the cell centres, shape (columns,), pixels."""
    y: FloatArray = field(init=False)
    """Row positions of the cell centres, shape (rows,), pixels."""

    def __post_init__(self) -> None:
        if self.height_px < 64 or self.width_px < 64:
            raise ValueError(f"a scene of {self.height_px} x {self.width_px} px is too small: use at least 64 x 64")
        for name, extent_px in (("x", self.width_px), ("y", self.height_px)):
            cells = (extent_px + 2 * MARGIN_PX) * SUBSAMPLES
            object.__setattr__(self, name, (np.arange(cells) + 0.5) / SUBSAMPLES - MARGIN_PX)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of a painted layer, in cells."""
        return len(self.y), len(self.x)

    def grid(self) -> tuple[FloatArray, FloatArray]:
        """Column and row position of each cell, shapes (1, columns) and (rows, 1), to be broadcast."""
        return self.x[None, :], self.y[:, None]

    def window(self, x: float, y: float, radius_px: float) -> tuple[slice, slice]:
        """The (rows, columns) slices of the cells within `radius_px` of a point along each axis; may be empty."""
        return _span(y, radius_px, len(self.y)), _span(x, radius_px, len(self.x))

    def contains(self, x: float, y: float, border_px: float) -> bool:
        """Whether a point lies in the scene, at least `border_px` from its edges."""
        return border_px <= x <= self.width_px - border_px and border_px <= y <= self.height_px - border_px


def _span(centre_px: float, radius_px: float, cells: int) -> slice:
    first = int(np.floor((centre_px - radius_px + MARGIN_PX) * SUBSAMPLES))
    last = int(np.ceil((centre_px + radius_px + MARGIN_PX) * SUBSAMPLES))
    return slice(min(max(first, 0), cells), min(max(last, 0), cells))


def spectrum(blue: float, green: float, red: float, near_infrared: float) -> FloatArray:
    """A reflectance in DN (reflectance x 10000), shape (4, 1, 1), to be broadcast over a layer."""
    return np.array([blue, green, red, near_infrared], dtype=np.float64)[:, None, None]


def smoothstep(low: float, high: float, value: FloatArray) -> FloatArray:
    """0 below `low`, 1 above `high`, smooth between (Hermite cubic)."""
    t = value - low
    t /= high - low
    np.clip(t, 0.0, 1.0, out=t)
    weight = -2.0 * t
    weight += 3.0
    t *= t
    t *= weight
    return t

"""The land parted into districts, each with a grid of its own direction: what fields and town blocks are laid on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample_data.canvas import Canvas, FloatArray
from sample_data.noise import lattice_noise

Cells = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Row and column indices of n chosen cells of a canvas, as `numpy.nonzero` gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Districts:
    """Nearest-centre (Voronoi) districts at chosen cells."""

    index: NDArray[np.int64]
    """Number of each cell's district, (n,)."""
    along: FloatArray
    """Position along the district's grid, pixels, (n,)."""
    across: FloatArray
    """Position across it."""


def draw_districts(rng: np.random.Generator, canvas: Canvas, where: Cells, *, count: int) -> Districts:
    """Districts around random centres; borders and grids are slightly bent, as old roads are."""
    bend_x = 7.0 * lattice_noise(rng, canvas.x, canvas.y, 60.0)[where]
    bend_y = 7.0 * lattice_noise(rng, canvas.x, canvas.y, 60.0)[where]
    x, y = canvas.x[where[1]] + bend_x, canvas.y[where[0]] + bend_y
    nearest = np.full(x.shape, np.inf)
    index = np.zeros(x.shape, dtype=np.int64)
    centres = rng.uniform(0.0, 1.0, (count, 2)) * (canvas.width_px, canvas.height_px)
    for number, (centre_x, centre_y) in enumerate(centres):
        distance = (x - centre_x) ** 2 + (y - centre_y) ** 2
        closer = distance < nearest
        nearest = np.where(closer, distance, nearest)
        index[closer] = number
    angle_rad = rng.uniform(0.0, np.pi, count)
    cos, sin = np.cos(angle_rad)[index], np.sin(angle_rad)[index]
    # The grids bend less than the borders.
    x, y = x - 0.6 * bend_x, y - 0.6 * bend_y
    return Districts(index=index, along=x * cos + y * sin, across=-x * sin + y * cos)


def blend_cells(layer: FloatArray, opacity: FloatArray, paint: Callable[[Cells], FloatArray]) -> None:
    """Mix a cover into a layer (4, rows, columns), in place, painting only the cells where its opacity is not 0."""
    row, column = np.nonzero(opacity)
    under = layer[:, row, column]
    layer[:, row, column] = under + (paint((row, column)) - under) * opacity[row, column]


def choose(shares: FloatArray, pick: FloatArray) -> NDArray[np.int64]:
    """Index of the class that a uniform number in [0, 1) picks when classes have these shares."""
    limits = np.cumsum(shares) / np.sum(shares)
    found: NDArray[np.int64] = np.searchsorted(limits[:-1], pick, side="right").astype(np.int64)
    return found

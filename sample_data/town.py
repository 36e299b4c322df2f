"""Town from above: streets on the districts' grids, blocks between them, roofs, yards and gardens. DN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.canvas import Canvas, FloatArray, spectrum
from sample_data.districts import Cells, choose, draw_districts
from sample_data.noise import cell_hash, lattice_noise

STREET = spectrum(900, 1020, 1130, 1480)

ROOFS = np.array(
    [
        [950, 1200, 1900, 2400],  # terracotta
        [800, 980, 1500, 2050],  # weathered terracotta
        [2000, 2250, 2500, 2800],  # light plaster
        [3100, 3300, 3450, 3700],  # white
        [1250, 1400, 1550, 1900],  # grey
        [780, 860, 930, 1250],  # dark grey
        [430, 660, 540, 2900],  # garden
        [560, 700, 760, 1400],  # shaded yard
        [1350, 1650, 2000, 2500],  # bare yard
    ],
    dtype=np.float64,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a district is built."""

    block_px: tuple[float, float]
    """Blocks along and across the grid, streets included."""
    lot_px: tuple[float, float]
    """Lots along and across."""
    street_px: float
    """Width of a street."""
    whole: float
    """Share of the blocks that are of one piece."""
    roofs: tuple[float, ...]
    """Shares of `ROOFS`."""


STYLES = (
    Style(  # old town: tight rows of tiled roofs
        block_px=(9.0, 5.6), lot_px=(2.6, 2.3), street_px=0.8, whole=0.08,
        roofs=(0.34, 0.26, 0.10, 0.02, 0.10, 0.04, 0.04, 0.08, 0.02),
    ),
    Style(  # suburb: houses among gardens
        block_px=(13.0, 6.4), lot_px=(2.0, 1.9), street_px=0.9, whole=0.10,
        roofs=(0.14, 0.12, 0.08, 0.01, 0.07, 0.03, 0.42, 0.09, 0.04),
    ),
    Style(  # housing estates: slabs with green between
        block_px=(19.0, 12.0), lot_px=(5.5, 1.9), street_px=1.5, whole=0.12,
        roofs=(0.03, 0.07, 0.20, 0.03, 0.22, 0.08, 0.25, 0.08, 0.04),
    ),
    Style(  # trade and industry: large roofs and yards
        block_px=(27.0, 19.0), lot_px=(9.0, 6.5), street_px=1.8, whole=0.18,
        roofs=(0.06, 0.04, 0.22, 0.11, 0.22, 0.08, 0.06, 0.03, 0.18),
    ),
)  # fmt: skip
STYLE_SHARES = np.array([0.30, 0.34, 0.21, 0.15])


def paint_town(rng: np.random.Generator, canvas: Canvas, where: Cells) -> FloatArray:
    """Reflectance of town at the cells `where`, (4, n)."""
    districts = draw_districts(rng, canvas, where, count=26)
    salt = int(rng.integers(1 << 20))
    style = choose(STYLE_SHARES, cell_hash(districts.index, districts.index, salt))
    size = 0.85 + 0.4 * cell_hash(districts.index, districts.index, salt + 1)
    block_along_px = np.array([s.block_px[0] for s in STYLES])[style] * size
    block_across_px = np.array([s.block_px[1] for s in STYLES])[style] * size
    column = np.floor(districts.along / block_along_px).astype(np.int64)
    row = np.floor(districts.across / block_across_px).astype(np.int64) + 4096 * districts.index
    in_along, in_across = districts.along % block_along_px, districts.across % block_across_px
    # Every few streets one is broader.
    avenue = 1.0 + 0.9 * ((column % 5 == 0) | (row % 6 == 0))
    street_px = np.array([s.street_px for s in STYLES])[style] * avenue
    street = (in_along < street_px) | (in_across < street_px)
    lot_column = np.floor(in_along / np.array([s.lot_px[0] for s in STYLES])[style]).astype(np.int64) + 64 * column
    lot_row = np.floor(in_across / np.array([s.lot_px[1] for s in STYLES])[style]).astype(np.int64) + 64 * row
    pick = cell_hash(lot_column, lot_row, salt + 2)
    # Terraces: in part of the rows all lots look alike. Some blocks are of one piece: a school, a hall, a park.
    pick = np.where(cell_hash(column, lot_row, salt + 3) < 0.35, cell_hash(column, lot_row, salt + 4), pick)
    whole = cell_hash(column, row, salt + 5) < np.array([s.whole for s in STYLES])[style]
    pick = np.where(whole, cell_hash(column, row, salt + 6), pick)
    roof = choose(np.array([s.roofs for s in STYLES]).ravel(), (style + pick) / len(STYLES)) % len(ROOFS)
    brightness = 0.82 + 0.36 * cell_hash(lot_column, lot_row, salt + 7)
    brightness *= 1.0 + 0.10 * lattice_noise(rng, canvas.x, canvas.y, 25.0)[where]
    town = np.moveaxis(ROOFS[roof], -1, 0) * brightness
    painted: FloatArray = np.where(street, STREET[:, 0], town)
    return painted

"""How a scene is cut into tiles: cores that cover it once, each inside a larger window that the detector sees."""

from __future__ import annotations

from dataclasses import dataclass

from downlink.scene import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class TileWindow:
    """One cell of the tile grid."""

    index: int
    """Row-major number in the grid, from 0."""
    row: int
    """Grid row."""
    col: int
    """Grid column."""
    core: Window
    """The pixels this tile owns, clipped to the scene; cores cover the scene and share no pixel."""
    padded: Window
    """What the detector sees: always tile_px + 2 * halo_px on a side, so it reaches outside the scene at its border."""


def tile_grid(height: int, width: int, *, tile_px: int = 512, halo_px: int = 64) -> tuple[TileWindow, ...]:
    """Tiles of a scene of `height` x `width` pixels, row-major.

    An object whose box lies within `halo_px` of its centre in x and y is whole in the padded window of the tile that
    owns the centre. Raises ValueError for a size below 1 or a negative halo.
    """
    if height < 1 or width < 1 or tile_px < 1 or halo_px < 0:
        raise ValueError(
            f"no tiles for a scene of {height} x {width} px with tile_px={tile_px}, halo_px={halo_px}; "
            "sizes start at 1, the halo at 0"
        )
    padded_px = tile_px + 2 * halo_px
    columns = range(0, width, tile_px)
    tiles = []
    for grid_row, top in enumerate(range(0, height, tile_px)):
        for grid_col, left in enumerate(columns):
            tiles.append(
                TileWindow(
                    index=grid_row * len(columns) + grid_col,
                    row=grid_row,
                    col=grid_col,
                    core=Window(row=top, col=left, height=min(tile_px, height - top), width=min(tile_px, width - left)),
                    padded=Window(row=top - halo_px, col=left - halo_px, height=padded_px, width=padded_px),
                )
            )
    return tuple(tiles)

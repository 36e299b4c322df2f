"""The tile grid: exact cover, and the same windows as SAHI's slicing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard.tiles import tile_grid

sizes = st.integers(1, 90)


@given(sizes, sizes, st.integers(1, 40), st.integers(0, 12))
def test_cores_cover_every_pixel_once(height: int, width: int, tile_px: int, halo_px: int) -> None:
    owners = np.zeros((height, width), dtype=int)
    tiles = tile_grid(height, width, tile_px=tile_px, halo_px=halo_px)
    for tile in tiles:
        assert owners[tile.core.slices].shape == (tile.core.height, tile.core.width)
        owners[tile.core.slices] += 1
    assert (owners == 1).all()
    columns = -(-width // tile_px)
    assert [tile.index for tile in tiles] == list(range(len(tiles)))
    assert all(tile.index == tile.row * columns + tile.col for tile in tiles)
    assert all(tile.core.row == tile.row * tile_px and tile.core.col == tile.col * tile_px for tile in tiles)


@given(sizes, sizes, st.integers(1, 40), st.integers(0, 12), st.data())
def test_a_small_object_is_whole_where_its_centre_is_owned(
    height: int, width: int, tile_px: int, halo_px: int, data: st.DataObject
) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    (owner,) = (t for t in tile_grid(height, width, tile_px=tile_px, halo_px=halo_px) if t.core.contains(x, y))
    for dx in (-halo_px, halo_px):
        for dy in (-halo_px, halo_px):
            assert owner.padded.contains(x + dx, y + dy)
    assert (owner.padded.height, owner.padded.width) == (tile_px + 2 * halo_px, tile_px + 2 * halo_px)


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (2, 3), (5, 2)])
def test_padded_windows_are_the_slices_of_sahi(rows: int, cols: int) -> None:
    slicing = pytest.importorskip("sahi.slicing")
    height, width, halo = rows * 512, cols * 512, 64
    boxes = slicing.get_slice_bboxes(
        image_height=height + 2 * halo,
        image_width=width + 2 * halo,
        slice_height=640,
        slice_width=640,
        auto_slice_resolution=False,
        overlap_height_ratio=0.2,
        overlap_width_ratio=0.2,
    )
    ours = [tile.padded.shifted(halo, halo) for tile in tile_grid(height, width)]
    assert [[w.col, w.row, w.col_stop, w.row_stop] for w in ours] == [list(box) for box in boxes]


@pytest.mark.parametrize("sizes", [(0, 5, 512, 64), (5, 0, 512, 64), (5, 5, 0, 64), (5, 5, 512, -1)])
def test_impossible_sizes_are_refused(sizes: tuple[int, int, int, int]) -> None:
    height, width, tile_px, halo_px = sizes
    with pytest.raises(ValueError, match=f"{height} x {width} px"):
        tile_grid(height, width, tile_px=tile_px, halo_px=halo_px)

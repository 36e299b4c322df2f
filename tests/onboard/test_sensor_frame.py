"""Windowed reads over a source in memory: halos, validity, damage."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.scene import Georeference, Window
from onboard.errors import TileReadError, WindowOutsideError
from onboard.sensor_frame import Mask, Pixels, SensorFrame


@dataclass
class MemorySource:
    """Pixels in memory; windows that touch `damaged` do not read."""

    pixels: Pixels
    mask: Mask | None = None
    damaged: Window | None = None
    closed: bool = False

    def read_bands(self, window: Window) -> Pixels:
        if self.damaged is not None and window.intersection(self.damaged):
            raise TileReadError("damaged", scene="memory", window=window)
        return self.pixels[(slice(None), *window.slices)]

    def read_mask(self, window: Window) -> Mask | None:
        return None if self.mask is None else self.mask[window.slices]

    def close(self) -> None:
        self.closed = True


def frame_over(source: MemorySource, nodata: float | None = None) -> SensorFrame:
    bands, height, width = source.pixels.shape
    return SensorFrame(
        name="memory",
        height=height,
        width=width,
        dtype="uint16",
        band_names=tuple(f"B{band}" for band in range(1, bands + 1)),
        nodata=nodata,
        georeference=Georeference(crs_wkt=None, transform=(1, 0, 0, 0, 1, 0)),
        gsd_m=None,
        footprint_lonlat=None,
        captured_ms=None,
        notes=(),
        source=source,
    )


def numbered(bands: int, height: int, width: int) -> Pixels:
    return np.arange(1, bands * height * width + 1, dtype=np.uint16).reshape(bands, height, width)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 15), st.data())
def test_a_halo_reads_as_the_padded_scene(height: int, width: int, halo_px: int, data: st.DataObject) -> None:
    pixels = numbered(2, height, width)
    frame = frame_over(MemorySource(pixels))
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(
        row=row,
        col=col,
        height=data.draw(st.integers(1, height - row)),
        width=data.draw(st.integers(1, width - col)),
    )
    padded = np.pad(pixels, ((0, 0), (halo_px, halo_px), (halo_px, halo_px)), mode="edge")
    rows = slice(row, row + window.height + 2 * halo_px)
    cols = slice(col, col + window.width + 2 * halo_px)
    assert np.array_equal(frame.read(window, halo_px), padded[:, rows, cols])
    inside = np.pad(np.ones((height, width), dtype=bool), halo_px)
    assert np.array_equal(frame.valid(window, halo_px), inside[rows, cols])


def test_a_pixel_is_missing_when_every_band_says_nodata_or_the_mask_does() -> None:
    pixels = numbered(2, 2, 3)
    pixels[:, 0, 0] = 700
    pixels[0, 0, 1] = 700
    mask = np.ones((2, 3), dtype=bool)
    mask[1, 2] = False
    valid = frame_over(MemorySource(pixels, mask), nodata=700).valid(Window(row=0, col=0, height=2, width=3))
    assert valid.tolist() == [[False, True, True], [True, True, False]]


def test_where_nothing_is_missing_tiles_share_a_mask_that_nobody_can_write_to() -> None:
    frame = frame_over(MemorySource(numbered(1, 8, 8)))
    here, there = (frame.valid(Window(row=0, col=col, height=4, width=4)) for col in (0, 4))
    assert here.all() and there is here
    with pytest.raises(ValueError, match="read-only"):
        here[0, 0] = False


def test_damage_in_the_halo_costs_the_halo_only() -> None:
    pixels = numbered(1, 8, 8)
    frame = frame_over(MemorySource(pixels, damaged=Window(row=4, col=4, height=4, width=4)))
    core = Window(row=0, col=0, height=4, width=4)
    read = frame.read(core, halo_px=2)
    assert np.array_equal(read, np.pad(pixels[:, :4, :4], ((0, 0), (2, 2), (2, 2)), mode="edge"))
    with pytest.raises(TileReadError) as caught:
        frame.read(core.shifted(4, 4), halo_px=2)
    assert caught.value.window == core.shifted(4, 4)


def test_a_window_off_the_scene_is_refused() -> None:
    frame = frame_over(MemorySource(numbered(1, 4, 5)))
    with pytest.raises(WindowOutsideError, match="row 4, col 0 of 2 x 2 px misses scene memory of 4 x 5 px") as caught:
        frame.read(Window(row=4, col=0, height=2, width=2), halo_px=0)
    assert (caught.value.height, caught.value.width) == (4, 5)


def test_leaving_the_context_closes_the_source() -> None:
    source = MemorySource(numbered(1, 1, 1))
    with frame_over(source):
        assert not source.closed
    assert source.closed

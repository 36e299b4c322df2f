"""A shift between two pictures is measured to a few hundredths of a pixel, or not trusted."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.reference_canvas import Canvas
from downlink.scene import Window
from onboard.registration import Registration, register

STACKS = Path(__file__).parents[2].parent / "shared/data/multitemporal"
MARGIN_PX = 8


def landscape(rng: np.random.Generator, *, bands: int = 3, side: int = 160) -> np.ndarray:
    """Levels (bands, side, side) with details of all sizes; bands share most of them."""
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(rng.normal(0, 1, (side, side))) / np.maximum(frequencies, 1 / side) ** 1.5
    spectrum *= frequencies < 0.35
    shared = np.fft.irfft2(spectrum, (side, side))
    return np.stack([1500 + 100 * band + (300 + 60 * band) * shared / shared.std() for band in range(bands)])


def moved(levels: np.ndarray, rows: float, cols: float) -> np.ndarray:
    """Levels at (r + rows, c + cols), band-limited: an oracle that knows nothing of taps."""
    phase = np.fft.fftfreq(levels.shape[1])[:, None] * rows + np.fft.fftfreq(levels.shape[2])[None] * cols
    shifted: np.ndarray = np.real(np.fft.ifft2(np.fft.fft2(levels) * np.exp(2j * np.pi * phase)))
    return shifted


def measured(
    new: np.ndarray, old: np.ndarray, *, new_valid: np.ndarray | None = None, old_valid: np.ndarray | None = None
) -> Registration | None:
    height, width = old.shape[1:]
    inner = (slice(MARGIN_PX, height - MARGIN_PX), slice(MARGIN_PX, width - MARGIN_PX))
    window = Window(row=MARGIN_PX, col=MARGIN_PX, height=height - 2 * MARGIN_PX, width=width - 2 * MARGIN_PX)
    everywhere = np.ones((height, width), bool)
    whole = Window(row=0, col=0, height=height, width=width)
    return register(
        new[:, *inner],
        (everywhere if new_valid is None else new_valid)[inner],
        window,
        Canvas(window=whole, pixels=old, valid=everywhere if old_valid is None else old_valid),
        row_shift_px=0.0,
        col_shift_px=0.0,
        search_px=3.0,
    )


def levels16(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 65535).astype(np.uint16)


def off(found: Registration | None, rows: float, cols: float) -> float:
    assert found is not None and found.trusted, found
    return max(abs(found.row_shift_px - rows), abs(found.col_shift_px - cols))


@settings(max_examples=12, deadline=None)
@given(st.floats(-2.8, 2.8), st.floats(-2.8, 2.8), st.integers(0, 1000))
def test_any_shift_in_reach_is_found(rows: float, cols: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    old = landscape(rng)
    new = 0.8 * moved(old, rows, cols) + 120 + rng.normal(0, 12, old.shape)
    assert off(measured(levels16(new), levels16(old)), rows, cols) < 0.05


def test_changes_and_unknown_pixels_do_not_pull() -> None:
    rng = np.random.default_rng(4)
    old = landscape(rng)
    new = moved(old, 0.6, -1.3) + rng.normal(0, 12, old.shape)
    new[:, 30:80, 90:140] = 6000 + 500 * rng.normal(0, 1, (50, 50))
    new_valid, old_valid = np.ones(old.shape[1:], bool), np.ones(old.shape[1:], bool)
    new_valid[100:, :40] = False
    new[:, 100:, :40] = 0
    old_valid[:25] = False
    old[:, :25] = 0
    found = measured(levels16(new), levels16(old), new_valid=new_valid, old_valid=old_valid)
    assert off(found, 0.6, -1.3) < 0.05


def test_two_places_are_not_registered() -> None:
    untrusted = 0
    for seed in range(8):
        found = measured(
            levels16(landscape(np.random.default_rng(seed))), levels16(landscape(np.random.default_rng(100 + seed)))
        )
        untrusted += found is None or not found.trusted
    assert untrusted == 8


@pytest.mark.parametrize("case", ["flat", "unknown", "tiny"])
def test_where_nothing_can_be_compared_there_is_none(case: str) -> None:
    levels = levels16(landscape(np.random.default_rng(1)))
    if case == "flat":
        assert measured(np.full_like(levels, 700), levels) is None
    elif case == "unknown":
        assert measured(levels, levels, old_valid=np.zeros(levels.shape[1:], bool)) is None
    else:
        assert measured(levels[:, :40, :40], levels[:, :40, :40]) is None


def stack(pattern: str) -> np.ndarray:
    if not STACKS.is_dir():
        pytest.skip(f"no multi-temporal stacks at {STACKS}")
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(next(STACKS.glob(pattern))) as dataset:
        pixels: np.ndarray = dataset.read()
    return pixels


@pytest.mark.parametrize("pattern", ["naip*/*2018*.tif", "landsat*/*2010.tif", "s2_l1c*/*2015-08-30.tif"])
@pytest.mark.parametrize(("rows", "cols"), [(0.0, 0.0), (0.37, -0.71), (-2.4, 1.55)])
def test_known_shifts_of_real_scenes(pattern: str, rows: float, cols: float) -> None:
    old = stack(pattern)[:4, :256, :256]
    new = 0.9 * moved(old.astype(float), rows, cols) + 7
    assert off(measured(levels16(new), old.astype(np.uint16)), rows, cols) < 0.05


def test_real_scenes_of_one_place_ten_days_apart() -> None:
    """The two lie half a pixel apart, whichever bands are asked."""
    new, old = stack("s2_l1c*/*2015-09-09.tif"), stack("s2_l1c*/*2015-08-30.tif")
    answers = [measured(new[bands], old[bands]) for bands in ([2, 3], [7], [1, 8])]
    for found in answers:
        assert off(found, 0.48, 0.42) < 0.12

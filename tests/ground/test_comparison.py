import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.scene import Window
from ground.comparison import (
    NOTHING_COMPARED,
    region_mask,
    roi_psnr_db,
    scene_psnr_db,
    squared_error,
    valid_fraction,
)
from ground.errors import ComparisonError


def test_psnr_of_a_known_error() -> None:
    original = np.full((3, 8, 8), 1000, np.uint16)
    rebuilt = original + np.uint16(10)
    everywhere = np.ones((8, 8), bool)
    # mse 100, peak 10000: 80 - 20 = 60 dB
    assert scene_psnr_db(original, rebuilt, everywhere, peak_dn=10_000) == pytest.approx(60.0)
    assert scene_psnr_db(original, original, everywhere, peak_dn=10_000) == math.inf
    assert scene_psnr_db(original, rebuilt, ~everywhere, peak_dn=10_000) is None
    assert squared_error(original, rebuilt, everywhere).mse == 100
    assert NOTHING_COMPARED.mse is None and not NOTHING_COMPARED.identical


def test_differences_of_unsigned_samples_do_not_wrap() -> None:
    low, high = np.zeros((1, 1, 1), np.uint16), np.full((1, 1, 1), 65_535, np.uint16)
    where = np.ones((1, 1), bool)
    assert squared_error(low, high, where).total == squared_error(high, low, where).total == 65_535**2


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_parts_of_a_scene_add_up_to_the_whole(seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    original, rebuilt = random.integers(0, 256, (2, 2, 9, 6)).astype(np.uint8)
    where = random.integers(0, 2, (9, 6)).astype(bool)
    parts = squared_error(original[:, :cut], rebuilt[:, :cut], where[:cut]) + squared_error(
        original[:, cut:], rebuilt[:, cut:], where[cut:]
    )
    assert parts == squared_error(original, rebuilt, where)
    assert parts.samples == 2 * where.sum()


def test_regions_of_interest_count_each_pixel_once_and_only_where_valid() -> None:
    original = np.zeros((1, 10, 10), np.uint8)
    rebuilt = original.copy()
    rebuilt[0, 2, 2] = 5
    rebuilt[0, 9, 9] = 255  # outside the regions
    valid = np.ones((10, 10), bool)
    valid[3, 3] = False
    regions = [Window(row=1, col=1, height=3, width=3), Window(row=2, col=2, height=2, width=2)]
    # 25 over the 8 valid pixels of the union
    assert roi_psnr_db(original, rebuilt, valid, regions=regions, peak_dn=255) == pytest.approx(
        10 * math.log10(255**2 / (25 / 8))
    )
    assert roi_psnr_db(original, rebuilt, valid, regions=[], peak_dn=255) is None


def test_region_mask_of_a_part_of_the_scene() -> None:
    regions = [Window(row=-2, col=4, height=5, width=3)]
    whole = region_mask((8, 8), regions)
    assert whole[:3, 4:7].all() and whole.sum() == 9
    np.testing.assert_array_equal(region_mask((4, 3), regions, origin=(1, 5)), whole[1:5, 5:8])


def test_valid_fraction_is_of_what_had_data() -> None:
    on_board = np.array([[1, 1, 1, 0]], bool)
    assert valid_fraction(np.array([[1, 0, 0, 0]], bool), on_board) == pytest.approx(1 / 3)
    assert valid_fraction(on_board, on_board) == 1
    assert valid_fraction(on_board, np.zeros_like(on_board)) is None


def test_arrays_that_do_not_match_are_refused() -> None:
    image, where = np.zeros((2, 3, 3), np.uint16), np.ones((3, 3), bool)
    with pytest.raises(ComparisonError, match=r"\(1, 3, 3\).*\(2, 3, 3\)"):
        squared_error(image, image[:1], where)
    with pytest.raises(ComparisonError, match="uint8"):
        squared_error(image, image.astype(np.uint8), where)
    with pytest.raises(ComparisonError, match="mask"):
        squared_error(image, image, where[:2])
    with pytest.raises(ComparisonError, match="float32"):
        squared_error(image.astype(np.float32), image.astype(np.float32), where)
    with pytest.raises(ComparisonError, match=r"\(3, 3\)"):
        valid_fraction(where[:2], where)

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground.errors import GroundError
from ground.quality import QualityStatistics, psnr_of_code_db, quality_code


def test_code_is_psnr_in_half_decibels_rounded_down() -> None:
    # 20 log10(255) - 10 log10(6.5025) = 40.0 dB exactly; a hair more error falls to the step below.
    assert quality_code(mse=6.5025, lossless=False, peak_dn=255) == 80
    assert quality_code(mse=6.51, lossless=False, peak_dn=255) == 79
    assert quality_code(mse=100.0, lossless=False, peak_dn=10_000) == 120


def test_byte_exact_and_clipped_codes() -> None:
    assert quality_code(mse=0.0, lossless=True, peak_dn=255) == 255
    assert quality_code(mse=0.0, lossless=False, peak_dn=255) == 254
    assert quality_code(mse=1e-12, lossless=False, peak_dn=65_535) == 254
    assert quality_code(mse=1e12, lossless=False, peak_dn=255) == 1
    assert quality_code(mse=math.inf, lossless=False, peak_dn=255) == 1


@given(st.floats(1e-3, 1e8), st.floats(1e-3, 1e8), st.integers(1, 65_535))
def test_more_error_never_has_a_better_code_and_no_code_flatters(low: float, high: float, peak_dn: int) -> None:
    low, high = sorted((low, high))
    better = quality_code(mse=low, lossless=False, peak_dn=peak_dn)
    assert better >= quality_code(mse=high, lossless=False, peak_dn=peak_dn)
    psnr_db = psnr_of_code_db(better)
    assert psnr_db is not None
    assert better == 1 or psnr_db <= 10 * math.log10(peak_dn**2 / low) + 1e-9


@pytest.mark.parametrize(("mse", "peak_dn"), [(-1.0, 255), (math.nan, 255), (4.0, 0)])
def test_numbers_without_a_quality_are_refused(mse: float, peak_dn: int) -> None:
    with pytest.raises(GroundError, match="must be"):
        quality_code(mse=mse, lossless=False, peak_dn=peak_dn)


def test_code_back_to_psnr() -> None:
    assert psnr_of_code_db(0) is None
    assert psnr_of_code_db(77) == 38.5
    assert psnr_of_code_db(255) == math.inf
    with pytest.raises(GroundError, match="256"):
        psnr_of_code_db(256)


def test_statistics_count_every_pixel_once_and_parts_add_up() -> None:
    quality = np.array([[0, 0, 70, 90], [255, 255, 90, 90]], np.uint8)
    valid = np.array([[0, 0, 1, 1], [1, 0, 1, 1]], bool)
    whole = QualityStatistics.of(valid, quality)
    assert (whole.valid_px, whole.nodata_px, whole.missing_px, whole.pixels) == (5, 1, 2, 8)
    assert whole.valid_fraction == 5 / 8
    assert whole.arrived_fraction == 6 / 8
    assert whole.byte_exact_fraction == 2 / 8
    assert whole.code_at_share(0.5) == 90
    assert whole.code_at_share(0.1) == 70
    parts = QualityStatistics.of(valid[:, :3], quality[:, :3]) + QualityStatistics.of(valid[:, 3:], quality[:, 3:])
    assert parts == whole
    assert QualityStatistics.none() + whole == whole
    assert QualityStatistics.none().code_at_share(0.5) is None

"""Figures over several scenes: pooled, not averaged, and silent where nothing was compared."""

import math

import pytest

from ground.comparison import NOTHING_COMPARED, SquaredError
from mission.measures import SceneQuality, latency_figures, quality_figures


def quality(scene, regions=NOTHING_COMPARED, *, peak_dn=10_000, original=100, rebuilt=100, region=0, region_rebuilt=0):
    return SceneQuality(
        scene=scene, regions=regions, peak_dn=peak_dn, original_valid=original, rebuilt_valid=rebuilt,
        region_pixels=region, region_rebuilt=region_rebuilt,
    )  # fmt: skip


def test_errors_of_scenes_are_pooled_each_against_its_own_full_scale():
    # A tenth of full scale squared is 1 %: 20 dB in both, though one is 8-bit and small, the other 16-bit and large.
    small = quality(SquaredError(total=round(25.5**2) * 50, samples=50), peak_dn=255)
    large = quality(SquaredError(total=1000**2 * 5000, samples=5000))
    assert quality_figures([small, large]).scene_psnr_db == pytest.approx(20.0, abs=0.01)
    exact = quality(SquaredError(total=0, samples=5050))
    assert quality_figures([small, large, exact]).scene_psnr_db == pytest.approx(20 + 10 * math.log10(2), abs=0.01)


def test_identical_scenes_have_no_psnr_but_say_so():
    figures = quality_figures([quality(SquaredError(total=0, samples=9), SquaredError(total=0, samples=3))])
    assert (figures.scene_psnr_db, figures.scene_lossless) == (None, True)
    assert (figures.roi_psnr_db, figures.roi_lossless) == (None, True)


def test_where_nothing_came_nothing_is_claimed():
    figures = quality_figures([quality(NOTHING_COMPARED, original=100, rebuilt=0, region=7)])
    assert (figures.scene_psnr_db, figures.scene_lossless, figures.roi_lossless) == (None, False, False)
    assert (figures.valid_fraction, figures.roi_valid_fraction) == (0.0, 0.0)
    nothing = quality_figures([quality(NOTHING_COMPARED, original=0, rebuilt=0)])
    assert (nothing.valid_fraction, nothing.roi_valid_fraction) == (0.0, None)


def test_shares_count_pixels_not_scenes():
    one = quality(SquaredError(total=5, samples=5), original=900, rebuilt=900, region=10, region_rebuilt=10)
    other = quality(SquaredError(total=5, samples=5), original=100, rebuilt=0, region=30, region_rebuilt=10)
    figures = quality_figures([one, other])
    assert (figures.valid_fraction, figures.roi_valid_fraction) == (0.9, 0.5)


def test_latencies_are_first_median_and_ninetieth_percentile():
    figures = latency_figures([40.0, 10.0, 30.0, 20.0, 110.0])
    assert (figures.first_alert, figures.alerts_p50) == (10.0, 30.0)
    assert figures.alerts_p90 == pytest.approx(82.0)
    assert latency_figures([]).model_dump() == {"first_alert": None, "alerts_p50": None, "alerts_p90": None}

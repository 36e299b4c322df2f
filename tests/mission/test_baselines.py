"""The baselines: exact ones are exact and small, lossy ones grow with the quality asked for."""

import numpy as np
import pytest

from downlink.codestream import first_layers
from downlink.scene import Window
from mission import baselines
from mission.baselines import LADDER_PERCENT, lossless, lossy_at_equal_quality, read_whole

REGIONS = [Window(row=10, col=20, height=40, width=50), Window(row=60, col=5, height=20, width=30)]


@pytest.fixture(scope="module")
def pixels():
    """Smooth relief with noise, (2, 90, 110) uint16."""
    rows, cols = np.mgrid[:90, :110]
    relief = 2000 + 600 * np.sin(rows / 9) * np.cos(cols / 13)
    noise = np.random.default_rng(0xBA5E).normal(0, 12, (2, 90, 110))
    return (relief + noise).astype(np.uint16)


def test_the_lossy_baseline_costs_more_the_better_it_must_be(pixels):
    sizes = [lossy_at_equal_quality(pixels, REGIONS, mse) for mse in (4000.0, 900.0, 300.0, 120.0, 40.0)]
    assert all(size is not None for size in sizes)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] < lossless(pixels).size_bytes < pixels.nbytes


def test_the_lossy_baseline_lies_between_the_two_layers_around_its_target(pixels):
    coded = baselines.encode_jpeg2000(pixels, reversible=False, quality_percent=LADDER_PERCENT)
    mask = np.zeros(pixels.shape[1:], bool)
    for window in REGIONS:
        mask[window.slices] = True
    ladder = [baselines._judge(pixels, first_layers(coded, n), mask) for n in range(1, len(LADDER_PERCENT) + 1)]
    assert [size for size, _ in ladder] == sorted(size for size, _ in ladder)
    target_mse = 200.0
    found = lossy_at_equal_quality(pixels, REGIONS, target_mse)
    target_db = -10 * np.log10(target_mse)
    below = max(size for size, reached_db in ladder if reached_db < target_db)
    above = min(size for size, reached_db in ladder if reached_db >= target_db)
    assert below < found <= above


def test_a_target_that_no_layer_reaches_or_no_region_states_has_no_lossy_baseline(pixels):
    assert lossy_at_equal_quality(pixels, REGIONS, 1e-9) is None
    assert lossy_at_equal_quality(pixels, REGIONS, 0.0) is None
    assert lossy_at_equal_quality(pixels, [], 100.0) is None
    assert lossy_at_equal_quality(pixels, [Window(row=500, col=500, height=9, width=9)], 100.0) is None


def test_the_easiest_target_is_met_by_the_first_layer(pixels):
    coded = baselines.encode_jpeg2000(pixels, reversible=False, quality_percent=LADDER_PERCENT)
    assert lossy_at_equal_quality(pixels, REGIONS, 1e9) == len(first_layers(coded, 1))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_better_of_two_exact_codecs_is_taken(dtype):
    ramp = np.broadcast_to((np.arange(4 * 200) // 4 % 256).astype(dtype), (1, 100, 800)).copy()
    noise = np.random.default_rng(3).normal(100, 9, (3, 64, 80)).astype(dtype)
    assert "zstd" in lossless(ramp).codec
    assert lossless(ramp).size_bytes < 1000
    assert "JPEG 2000" in lossless(noise).codec
    assert lossless(noise).size_bytes < 3 * 64 * 80 * np.dtype(dtype).itemsize


@pytest.mark.parametrize("shape", [(1, 1, 1), (13, 5, 3), (1, 1, 300)])
def test_tiny_scenes_have_an_exact_baseline_too(shape):
    assert lossless(np.full(shape, 0x1234, np.uint16)).size_bytes > 0


def test_scenes_too_large_to_hold_are_not_read():
    class Huge:
        height, width, band_names = 100_000, 100_000, ("B02",)

        def read(self, window):
            raise AssertionError("must not be read")

    assert read_whole(Huge()) is None

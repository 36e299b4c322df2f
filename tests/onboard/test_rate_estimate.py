"""The estimate of bits agrees with theory where there is one, and ranks as the coder does."""

import numpy as np
import pytest

from downlink.image_encoding import encode_image
from downlink.scene import Window
from onboard.rate_estimate import byte_ratios, estimate_rate, sample_corners


def noise(sigma: float, *, bands: int = 2, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, (4, bands, 64, 64))


def test_white_noise_takes_what_shannon_says() -> None:
    estimate = estimate_rate(noise(32.0))
    # Gaussian: half a bit for every halving of the squared error.
    for mse in (256.0, 64.0, 4.0):
        assert estimate.bits_at(mse) == pytest.approx(0.5 * np.log2(32**2 / mse), abs=0.06)
        assert estimate.mse_at(estimate.bits_at(mse)) == pytest.approx(mse, rel=0.05)
    assert estimate.bits_at(5000.0) == 0


def test_bands_that_say_the_same_are_counted_once() -> None:
    one = noise(32.0, bands=1)
    twice = np.concatenate([one, one + noise(1.0, bands=1, seed=2)], axis=1)
    assert estimate_rate(twice).bits_at(16.0) < 0.6 * estimate_rate(noise(32.0)).bits_at(16.0)


def test_ratios_are_one_against_itself_and_small_against_little() -> None:
    alone = estimate_rate(noise(32.0))
    ladder = [0.05, 0.5, 2.0]
    assert byte_ratios(alone, alone, ladder_bits=ladder, header_bits=0.0) == pytest.approx(1.0, abs=0.02)
    little = byte_ratios(alone, estimate_rate(noise(2.0)), ladder_bits=ladder, header_bits=0.0)
    assert little[:-1].max() < 0.05 and 0.3 < little[-1] < 0.6


def test_the_lossless_end_is_near_that_of_the_coder() -> None:
    rng = np.random.default_rng(6)
    levels = 4000 + rng.normal(0, 9, (3, 256, 256)).cumsum(axis=2) + rng.normal(0, 9, (3, 256, 256)).cumsum(axis=1)
    pixels = np.clip(np.rint(levels), 0, 65535).astype(np.uint16)
    corners = sample_corners(256, 256, most=8)
    tiles = np.stack([pixels[:, row : row + 64, col : col + 64] for row, col in corners]) - pixels.mean()
    window = Window(row=0, col=0, height=256, width=256)
    coded = encode_image(
        pixels, window, valid=np.ones((256, 256), bool), quality_percent=(1.0, 100.0), levels=5, nodata=None
    )
    bits = 8 * sum(map(len, coded.payloads)) / pixels.size
    assert estimate_rate(tiles).bits[0] == pytest.approx(bits, rel=0.15)


@pytest.mark.parametrize(("height", "width", "expected"), [(63, 500, 0), (64, 64, 1), (512, 512, 8), (128, 200, 6)])
def test_corners_lie_within_and_apart(height: int, width: int, expected: int) -> None:
    corners = sample_corners(height, width, most=8)
    assert len(corners) == len(set(corners)) == expected
    assert all(0 <= row <= height - 64 and 0 <= col <= width - 64 for row, col in corners)

"""The forecast of coding: lawful for any image, and near to what the coder does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.image_encoding import encode_image
from downlink.scene import Window
from onboard.coding_forecast import HEADER_BYTES, forecast
from onboard.policy import load_policy

PERCENT = load_policy().blocks.quality_percent


def texture(seed, *, contrast, bands=4, size_px=256, dtype=np.uint16):
    """Smooth ground with edges and some noise, alike in all bands."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((size_px, size_px)))
    frequency = np.hypot(np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)[None])
    ground = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / size_px) ** 1.6, s=(size_px, size_px))
    ground = contrast * (ground / ground.std() + 2 * (ground > ground.std()))
    each = [ground * (1 + 0.2 * band) + rng.normal(0, contrast / 30, ground.shape) for band in range(bands)]
    top = np.iinfo(dtype).max
    return np.clip(np.stack(each) + top / 8, 0, top).astype(dtype)


def decibels(one, other):
    return abs(10 * math.log10(one / other))


@given(
    st.integers(0, 99), st.integers(1, 5), st.integers(1, 70), st.integers(1, 70), st.sampled_from((np.uint8, np.uint16)),
    st.floats(0, 1), st.lists(st.floats(0.01, 99), max_size=5),
)  # fmt: skip
def test_any_image_has_a_lawful_forecast(seed, bands, height, width, dtype, valid_share, percents):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, rng.integers(1, np.iinfo(dtype).max), (bands, height, width)).astype(dtype)
    valid = rng.random((height, width)) < valid_share
    before = pixels.copy()
    found = forecast(pixels, valid, (*sorted(set(percents)), 100.0))
    assert len(found.size_bytes) == len(found.mse) == len(set(percents)) + 1
    assert all(size_bytes >= 1 for size_bytes in found.size_bytes)
    assert found.mse[-1] == 0 and list(found.mse) == sorted(found.mse, reverse=True) and np.isfinite(found.mse).all()
    assert found == forecast(pixels, valid, (*sorted(set(percents)), 100.0))
    assert np.array_equal(pixels, before)


def test_an_image_of_one_value_is_all_said_in_its_first_step():
    found = forecast(np.full((4, 512, 512), 1234, np.uint16), np.ones((512, 512), bool), PERCENT)
    assert found.size_bytes[0] == HEADER_BYTES and sum(found.size_bytes) < 100
    assert not any(found.mse)


def test_steps_fill_what_they_may_have_and_no_more_than_there_is_to_say():
    pixels, valid = texture(1, contrast=60.0), np.ones((256, 256), bool)
    total = np.cumsum(forecast(pixels, valid, PERCENT).size_bytes)
    allowed = np.array(PERCENT) / 100 * pixels.nbytes
    assert (total[:-1] <= allowed[:-1]).all() and (total[1:-1] > 0.9 * allowed[1:-1]).all()
    assert total[-1] < 0.9 * allowed[-1]


def test_pixels_without_data_cost_no_bits():
    pixels, half = texture(2, contrast=60.0), np.ones((256, 256), bool)
    half[:, 128:] = False
    whole = sum(forecast(pixels, np.ones_like(half), PERCENT).size_bytes)
    assert sum(forecast(pixels, half, PERCENT).size_bytes) == pytest.approx(whole / 2, rel=0.2)


def test_stronger_texture_costs_more_and_is_left_more_wrong():
    valid = np.ones((256, 256), bool)
    found = [forecast(texture(3, contrast=contrast), valid, PERCENT) for contrast in (5.0, 25.0, 125.0, 625.0)]
    assert [sum(one.size_bytes) for one in found] == sorted(sum(one.size_bytes) for one in found)
    for step in range(len(PERCENT) - 2):
        errors = [one.mse[step] for one in found]
        assert errors == sorted(errors)


@pytest.mark.parametrize(
    ("contrast", "bands", "dtype"), [(60.0, 4, np.uint16), (900.0, 1, np.uint16), (12.0, 3, np.uint8), (15.0, 4, np.uint16)]
)  # fmt: skip
def test_the_forecast_is_near_what_the_coder_does(contrast, bands, dtype):
    pixels, valid = texture(7, contrast=contrast, bands=bands, dtype=dtype), np.ones((256, 256), bool)
    coded = encode_image(
        pixels, Window(row=0, col=0, height=256, width=256), valid=valid, quality_percent=PERCENT, levels=5, nodata=None
    )
    found = forecast(pixels, valid, PERCENT)
    total, really = np.cumsum(found.size_bytes), np.cumsum([len(payload) for payload in coded.payloads])
    assert total[-1] == pytest.approx(really[-1], rel=0.2)
    assert total[1:-1] == pytest.approx(really[1:-1], rel=0.1)
    assert all(
        decibels(one, other) < 2.5 for one, other in zip(found.mse, coded.mse, strict=True) if min(one, other) > 1
    )

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from downlink.scene import Window
from onboard.errors import DetectorInputError
from onboard.network_input import (
    compress_above_dark,
    compress_dn,
    dark_level,
    network_input,
    select_bands,
    window_inputs,
)

WANTED = ("B08", "B04", "B03")


def test_picks_bands_by_name_in_the_networks_order():
    pixels = np.arange(4, dtype=np.uint16)[:, None, None] * np.ones((4, 2, 3), np.uint16)
    picked = select_bands(pixels, ("B02", "B03", "B04", "B08"), WANTED)
    assert picked[:, 0, 0].tolist() == [3, 2, 1]


@pytest.mark.parametrize("names", [("green", "red", "NIR"), ("b3", "B4", "b8"), (" B03", "B04 ", "Near Infrared")])
def test_synonyms_name_the_same_band(names):
    pixels = np.array([3, 4, 8], np.uint16)[:, None, None]
    assert select_bands(pixels, names, WANTED).ravel().tolist() == [8, 4, 3]


def test_digital_numbers_become_the_root_of_reflectance():
    dn = np.array([0, 100, 2500, 10_000, 65_535], np.uint16)
    assert compress_dn(dn) == pytest.approx([0.0, 0.1, 0.5, 1.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint16, (3, 4, 5)))
def test_input_is_monotone_float32_between_0_and_1(pixels):
    image = network_input(pixels, WANTED, WANTED)
    assert image.dtype == np.float32 and image.shape == pixels.shape
    assert image.min() >= 0 and image.max() <= 1
    order = np.argsort(pixels.ravel(), kind="stable")
    assert (np.diff(image.ravel()[order]) >= 0).all()


def test_eight_bits_are_read_as_the_true_colour_stretch():
    white = np.full((3, 1, 1), 255, np.uint8)
    assert network_input(white, WANTED, WANTED).ravel() == pytest.approx([0.3558**0.5] * 3)


def test_missing_bands_are_named_with_what_is_there():
    with pytest.raises(DetectorInputError, match="missing B08; the scene has B02, B03, B04") as caught:
        network_input(np.zeros((3, 4, 4), np.uint16), ("B02", "B03", "B04"), WANTED)
    assert caught.value.present == ("B02", "B03", "B04")
    assert caught.value.needed == WANTED


def test_names_must_go_with_the_bands():
    with pytest.raises(DetectorInputError, match="one name per band"):
        network_input(np.zeros((4, 4, 4), np.uint16), WANTED, WANTED)


def test_other_number_types_are_refused():
    with pytest.raises(DetectorInputError, match="float64"):
        network_input(np.zeros((3, 4, 4)), WANTED, WANTED)


@pytest.mark.parametrize("kind", ["sqrt_above_dark", "sqrt_reflectance"])
@pytest.mark.parametrize("side", [40, 300])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_made_in_place_is_bit_for_bit_what_the_plain_formula_makes(kind, side, dtype):
    rng = np.random.default_rng(side)
    top = np.iinfo(dtype).max
    pixels = np.minimum(rng.gamma(1.5, top / 20, (3, side, side)), top).astype(dtype)
    numbers = pixels if dtype == np.uint16 else pixels * np.float32(3558.0 / 255.0)
    plain = compress_dn(numbers) if kind == "sqrt_reflectance" else compress_above_dark(numbers, dark_level(numbers))
    seen = network_input(pixels, WANTED, WANTED, kind=kind)
    assert seen.dtype == np.float32 and np.array_equal(seen, plain)


@pytest.mark.parametrize("sides", [(64,), (64, 64), (280, 280, 280)])
def test_windows_share_the_dark_level_of_the_whole(sides):
    rng = np.random.default_rng(3)
    pixels = rng.integers(50, 6000, (3, 300, 300)).astype(np.uint16)
    pixels[:, :100, :100] += 700
    windows = [Window(row=7 * i, col=20 - 5 * i, height=side, width=side) for i, side in enumerate(sides)]
    whole = network_input(pixels, WANTED, WANTED, kind="sqrt_above_dark")
    parts = window_inputs(pixels, WANTED, WANTED, kind="sqrt_above_dark", windows=windows)
    assert len(parts) == len(windows)
    for part, window in zip(parts, windows, strict=True):
        assert np.array_equal(part, whole[:, *window.slices])


def test_the_dark_level_is_an_order_statistic_of_the_valid_pixels():
    rng = np.random.default_rng(8)
    pixels = rng.integers(1, 4000, (2, 200, 160)).astype(np.uint16)
    pixels[:, :40] = 0
    sample = pixels[:, ::4, ::4].reshape(2, -1)
    valid = sample[:, sample.any(axis=0)]
    expected = np.sort(valid, axis=1)[:, int(valid.shape[1] * 0.005)]
    assert dark_level(pixels).tolist() == expected.tolist()

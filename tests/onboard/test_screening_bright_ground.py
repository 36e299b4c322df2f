"""Snow, sand and roofs are as bright as cloud: they are kept and named, or, where no band can tell, the reason says so."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from downlink.scene import TileOutcome
from onboard.cloud import CloudSettings, bright_surfaces, cloud_mask
from onboard.screening import Screening, ScreeningSettings, screen

NAMES = ("B02", "B03", "B04", "B08", "B11")
RGB, RGBN, ALL = NAMES[:3], NAMES[:4], NAMES
SIDE = 256
CLOUD = (0.55, 0.54, 0.54, 0.60, 0.48)
"""Reflectance in blue, green, red, NIR and SWIR at 1.6 um; so below."""
FRESH_SNOW = (0.90, 0.90, 0.88, 0.84, 0.12)
OLD_SNOW = (0.70, 0.70, 0.68, 0.56, 0.06)
DUNES = (0.21, 0.31, 0.42, 0.50, 0.58)
BEACH = (0.27, 0.33, 0.38, 0.43, 0.47)
CONCRETE_ROOF = (0.36, 0.40, 0.43, 0.47, 0.62)
FOREST = (0.05, 0.06, 0.04, 0.30, 0.14)
STREET = (0.12, 0.13, 0.14, 0.18, 0.22)


def relief(seed: int) -> NDArray[np.float64]:
    """Light and shade of a rough terrain, (SIDE, SIDE), from 0.75 to 1.05."""
    rough = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), 6, mode="wrap")
    return 0.75 + 0.3 * (rough - rough.min()) / np.ptp(rough)


def terrain(levels: tuple[float, ...], seed: int = 3) -> NDArray[np.float64]:
    """(bands, SIDE, SIDE) of one surface under light and shade."""
    return np.array(levels)[:, np.newaxis, np.newaxis] * relief(seed)


def sensed(reflectance: NDArray[np.float64], bands: int) -> NDArray[np.uint16]:
    """Digital numbers of the first bands, with noise."""
    noise = np.random.default_rng(17).normal(0, 25, (bands, *reflectance.shape[1:]))
    return (reflectance[:bands] * 10_000 + noise).clip(1, 65_535).round().astype(np.uint16)


def screened(reflectance: NDArray[np.float64], names: tuple[str, ...], **changes: Any) -> Screening:
    pixels = sensed(reflectance, len(names))
    return screen(pixels, np.ones(pixels.shape[1:], dtype=bool), names, ScreeningSettings(**changes))


def town(roof: tuple[float, ...], *, pitch: int, side: int) -> NDArray[np.float64]:
    """Square roofs of `side` pixels in streets."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    is_roof = (rows % pitch < side) & (columns % pitch < side)
    return np.where(is_roof, np.array(roof)[:, np.newaxis, np.newaxis], np.array(STREET)[:, np.newaxis, np.newaxis])


@pytest.mark.parametrize("names", [RGB, RGBN, ALL])
def test_cloud_is_cloud_with_any_bands(names: tuple[str, ...]) -> None:
    result = screened(terrain(CLOUD), names)
    assert result.outcome is TileOutcome.CLOUD and (result.cloud_fraction or 0) > 0.99
    assert (result.snow_fraction, result.ground_fraction) == (0, 0)
    assert ("snow looks the same" in result.reason) == (names != ALL)


@pytest.mark.parametrize("snow", [FRESH_SNOW, OLD_SNOW])
def test_snow_is_kept_and_named_where_swir_tells_it(snow: tuple[float, ...]) -> None:
    result = screened(terrain(snow), ALL)
    assert (result.outcome, result.cloud_fraction) == (TileOutcome.KEPT, 0.0)
    assert result.snow_fraction == pytest.approx(1.0, abs=0.001)
    assert result.reason.endswith("0.0 % cloud, 100.0 % as bright as cloud but taken for snow")


def test_snow_in_mountains_between_clouds_is_kept() -> None:
    picture = terrain(FOREST)
    picture[:, :100] = terrain(OLD_SNOW)[:, :100]
    picture[:, 100:150] = terrain(CLOUD)[:, 100:150]
    result = screened(picture, ALL)
    assert result.outcome is TileOutcome.KEPT
    assert result.cloud_fraction == pytest.approx(50 / 256, abs=0.03)
    assert result.snow_fraction == pytest.approx(100 / 256, abs=0.03)


def test_old_snow_is_told_by_near_infrared_alone() -> None:
    result = screened(terrain(OLD_SNOW), RGBN)
    assert result.outcome is TileOutcome.KEPT and "taken for snow" in result.reason


@pytest.mark.parametrize(("snow", "names"), [(FRESH_SNOW, RGBN), (FRESH_SNOW, RGB), (OLD_SNOW, RGB)])
def test_snow_that_no_band_tells_from_cloud_never_goes_unreported(
    snow: tuple[float, ...], names: tuple[str, ...]
) -> None:
    result = screened(terrain(snow), names)
    assert result.outcome is TileOutcome.CLOUD
    assert result.reason.endswith("allowed; snow looks the same in these bands")
    kept = screened(terrain(snow), names, keep_what_may_be_snow=True)
    assert kept.outcome is TileOutcome.KEPT
    assert kept.reason.endswith("100.0 % cloud or snow, which these bands do not tell apart")


def test_cloud_is_set_aside_over_ice_too_where_swir_tells_it() -> None:
    assert screened(terrain(CLOUD), ALL, keep_what_may_be_snow=True).outcome is TileOutcome.CLOUD


@pytest.mark.parametrize("names", [RGB, RGBN, ALL])
@pytest.mark.parametrize("sand", [DUNES, BEACH])
def test_sand_is_kept_and_named(sand: tuple[float, ...], names: tuple[str, ...]) -> None:
    result = screened(terrain(sand), names)
    assert (result.outcome, result.cloud_fraction) == (TileOutcome.KEPT, 0.0)
    assert (result.ground_fraction or 0) > 0.9 and "taken for bright ground" in result.reason


@pytest.mark.parametrize("names", [RGB, RGBN, ALL])
def test_a_town_of_small_white_roofs_is_kept_and_named(names: tuple[str, ...]) -> None:
    result = screened(town(CLOUD, pitch=7, side=4), names)  # decimated by 2: two samples on a side
    assert result.outcome is TileOutcome.KEPT and (result.cloud_fraction or 0) < 0.002
    assert result.ground_fraction == pytest.approx(16 / 49, abs=0.03) and "taken for bright ground" in result.reason


@pytest.mark.parametrize("names", [RGB, RGBN, ALL])
def test_halls_with_white_roofs_are_kept(names: tuple[str, ...]) -> None:
    result = screened(town(CLOUD, pitch=40, side=24), names)
    assert result.outcome is TileOutcome.KEPT
    assert (result.cloud_fraction or 0) + (result.ground_fraction or 0) == pytest.approx(0.36, abs=0.05)


def test_roofs_that_fill_the_tile_are_told_by_swir() -> None:
    result = screened(terrain(CONCRETE_ROOF), ALL)
    assert (result.outcome, result.cloud_fraction) == (TileOutcome.KEPT, 0.0)
    assert "taken for bright ground" in result.reason


def test_eight_bit_snow_is_told_by_swir_and_sand_by_colour() -> None:
    def picture(levels: tuple[float, ...]) -> NDArray[np.uint8]:
        return (sensed(terrain(levels, seed=5) ** 0.5 * 0.027, len(levels)) * 0.96).clip(0, 255).astype(np.uint8)

    def look(levels: tuple[float, ...]) -> Screening:
        return screen(picture(levels), np.ones((SIDE, SIDE), dtype=bool), NAMES, ScreeningSettings())

    assert "taken for snow" in look(FRESH_SNOW).reason and look(FRESH_SNOW).outcome is TileOutcome.KEPT
    assert look(DUNES).outcome is TileOutcome.KEPT and look(DUNES).cloud_fraction == 0


def test_eight_bit_cloud_may_be_darker_in_near_infrared_whose_gain_nobody_knows() -> None:
    shade = relief(8)[np.newaxis]
    cloud = (np.array([250, 248, 251, 160, 240])[:, np.newaxis, np.newaxis] * (0.8 + 0.2 * shade)).astype(np.uint8)
    everywhere = np.ones((SIDE, SIDE), dtype=bool)
    for names in (RGBN, ALL):
        assert screen(cloud[: len(names)], everywhere, names, ScreeningSettings()).outcome is TileOutcome.CLOUD
    cloud[3] = 40  # foam and shallows
    assert screen(cloud[:4], everywhere, RGBN, ScreeningSettings()).outcome is TileOutcome.KEPT


def test_a_band_that_the_sensor_clips_does_not_hide_the_heart_of_a_cloud() -> None:
    pixels = sensed(terrain(tuple(1.2 * level for level in CLOUD)), 5)
    pixels[0] = pixels[0].clip(max=3900)  # as blue of Landsat 5
    everywhere = np.ones((SIDE, SIDE), dtype=bool)
    clipped = screen(pixels, everywhere, NAMES, ScreeningSettings())
    assert clipped.outcome is TileOutcome.CLOUD and (clipped.cloud_fraction or 0) > 0.95
    desert = sensed(terrain(DUNES), 5)
    desert[0] = 2100  # even, not clipped
    assert screen(desert, everywhere, NAMES, ScreeningSettings()).cloud_fraction == 0


def test_a_cloud_grows_into_its_rim_and_no_further() -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(rows - 128, columns - 128)
    veil = np.clip((90 - distance) / 60, 0, 1)  # thins out from 30 to 90 pixels
    picture = np.array(FOREST)[:, None, None] * (1 - veil) + np.array(CLOUD)[:, None, None] * veil
    pixels = sensed(picture, 5)
    masks = [cloud_mask(pixels, NAMES, CloudSettings(rim_px=rim)) for rim in (0, 1, 3)]
    heart, one, three = (mask for mask in masks if mask is not None)
    square = np.ones((3, 3), dtype=bool)
    assert heart.sum() > 3000 and not (heart & ~one).any() and not (one & ~three).any()
    assert one.sum() > heart.sum() + 150
    assert not (one & ~ndimage.binary_dilation(heart, square)).any()
    assert not (three & ~ndimage.binary_dilation(heart, square, iterations=3)).any()


@given(st.permutations(range(5)), st.integers(3, 5), st.integers(0, 2**32 - 1), st.booleans())
def test_no_pixel_is_two_things_and_the_order_of_bands_does_not_matter(
    order: list[int], bands: int, seed: int, eight_bit: bool
) -> None:
    random = np.random.default_rng(seed)
    kinds = np.array([CLOUD, FRESH_SNOW, DUNES, FOREST, CONCRETE_ROOF]).T[:, random.integers(0, 5, (8, 9))]
    pixels = sensed(kinds.repeat(4, axis=1).repeat(4, axis=2), bands)
    if eight_bit:
        pixels = (pixels // 36).clip(0, 255).astype(np.uint8)
    names, order = NAMES[:bands], [index for index in order if index < bands]
    found = bright_surfaces(pixels, names, CloudSettings())
    again = bright_surfaces(pixels[order], tuple(names[index] for index in order), CloudSettings())
    assert found is not None and again is not None
    assert (found.cloud.astype(int) + found.snow + found.ground).max() <= 1
    assert found.tells_snow == (bands == 5)
    for name in ("cloud", "snow", "ground"):
        assert np.array_equal(getattr(found, name), getattr(again, name))

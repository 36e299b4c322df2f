"""Screening: what is set aside and why, what must never be, and cloud against real masks."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from downlink.scene import TileOutcome, Window
from onboard.cloud import BandRole, CloudSettings, band_roles, cloud_mask
from onboard.ingest import IngestSettings, open_scene
from onboard.screening import Screening, ScreeningSettings, screen
from onboard.tiles import tile_grid

NAMES = ("B02", "B03", "B04", "B08")
SETTINGS = ScreeningSettings()
SHARED_SURFACES = {
    "vegetation": (400, 700, 400, 3500, 1800),
    "sea": (250, 200, 120, 60, 30),
    "turbid water": (900, 1300, 1400, 700, 100),
    "desert": (1500, 2300, 3300, 4000, 5000),
    "bare soil": (900, 1200, 1600, 2300, 3000),
    "snow": (8500, 8600, 8400, 7500, 800),
    "concrete": (1500, 1700, 1900, 2200, 2700),
}
"""DN of blue, green, red, NIR and SWIR at 1.6 um, as in Sentinel-2 scenes."""


def surface(levels: tuple[int, ...], *, noise_dn: float = 40, size: int = 128) -> NDArray[np.uint16]:
    noise = np.random.default_rng(11).normal(0, noise_dn, (len(levels), size, size))
    return (np.array(levels).reshape(-1, 1, 1) + noise).clip(1, 65_535).round().astype(np.uint16)


def everywhere(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    return np.ones(pixels.shape[1:], dtype=bool)


def screened(pixels: NDArray[Any], names: tuple[str, ...] = NAMES, **changes: Any) -> Screening:
    return screen(pixels, everywhere(pixels), names, ScreeningSettings(**changes))


def test_a_tile_with_too_few_valid_pixels_is_nodata() -> None:
    pixels = surface(SHARED_SURFACES["sea"][:4])
    valid = np.zeros((128, 128), dtype=bool)
    assert screen(pixels, valid, NAMES, SETTINGS).outcome is TileOutcome.NODATA
    valid.ravel()[:163] = True
    result = screen(pixels, valid, NAMES, SETTINGS)
    assert result.outcome is TileOutcome.NODATA
    assert result.reason == "nodata: 1.0 % of pixels valid, at least 1.0 % needed"
    valid.ravel()[163] = True
    assert screen(pixels, valid, NAMES, SETTINGS).outcome is TileOutcome.KEPT


@pytest.mark.parametrize(
    ("dtype", "top", "setting"), [("uint8", 255, None), ("uint16", 65_535, None), ("uint16", 4_095, 4_095)]
)
def test_a_burnt_out_tile_is_saturated(dtype: str, top: int, setting: int | None) -> None:
    pixels = surface((100, 110, 120, 130)).clip(1, 200).astype(dtype)
    pixels[:2, :118] = top
    result = screened(pixels, saturated_dn=setting)
    assert result.saturated_fraction == pytest.approx(118 / 128)
    assert result.outcome is TileOutcome.SATURATED
    assert result.reason == "saturated: 92.2 % of valid pixels at the top of the range, at most 90.0 % allowed"
    pixels[1] = 100  # one band of four: the others still show the ground
    assert screened(pixels, saturated_dn=setting).saturated_fraction == 0


@given(
    st.sampled_from(["uint8", "uint16"]),
    st.integers(0, 65_535),
    st.integers(1, 4),
    st.sampled_from([NAMES, ("blue", "green", "red", "nir"), ("B1", "B2", "B3", "B4")]),
    st.integers(0, 2**32 - 1),
)
def test_a_featureless_tile_never_passes(dtype: str, level: int, bands: int, names: tuple[str, ...], seed: int) -> None:
    top = int(np.iinfo(dtype).max)
    level = min(level, top)
    ripple = np.random.default_rng(seed).integers(0, 3, (bands, 40, 40)) if dtype == "uint16" else 0
    sigma = 1.0 if dtype == "uint16" else 0.0
    pixels = np.clip(np.full((bands, 40, 40), level) + ripple, 0, top).astype(dtype)
    result = screened(pixels, names[:bands], blank_sigma_dn=(0.3, max(1.5 * sigma, 0.3)))
    assert result.outcome is not TileOutcome.KEPT


@pytest.mark.parametrize("level", [9_000, 30_000, 60_000])
def test_a_white_tile_with_sensor_noise_never_passes(level: int) -> None:
    white = surface((level,) * 4, noise_dn=level * 0.0015)
    for names in (NAMES, ("B1", "B2", "B3", "B4")):
        assert screened(white, names).outcome in (TileOutcome.BLANK, TileOutcome.CLOUD)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_one_ship_on_a_featureless_sea_is_kept(dtype: str) -> None:
    pixels = np.full((4, 512, 512), 20, dtype=dtype)
    pixels[:, 301, 77:79] = 90
    result = screened(pixels)
    assert result.outcome is TileOutcome.KEPT and result.texture_dn == 0


def test_calm_sea_is_kept() -> None:
    sea = surface(SHARED_SURFACES["sea"][:4], noise_dn=3, size=512)
    assert screened(sea).reason == "kept: 100.0 % valid, texture 3.0 DN, 0.0 % cloud"


def test_every_piece_of_real_sea_and_port_is_kept(shared_data: Path) -> None:
    tiles = flat = 0
    for path in sorted((shared_data / "s2_ships" / "images").glob("*.tif")):
        with open_scene(path) as frame:
            for tile in tile_grid(frame.height, frame.width, tile_px=256):
                pixels = frame.read(tile.core)
                result = screen(pixels, frame.valid(tile.core), frame.band_names, SETTINGS)
                assert result.outcome is TileOutcome.KEPT, (path.name, tile.core, result)
                tiles += 1
                flat += result.texture_dn < 20
    assert tiles > 250 and flat > 20


@pytest.mark.parametrize("name", SHARED_SURFACES)
def test_ground_snow_and_water_are_not_cloud(name: str) -> None:
    result = screened(surface(SHARED_SURFACES[name]), ("B02", "B03", "B04", "B08", "B11"))
    assert (result.outcome, result.cloud_fraction) == (TileOutcome.KEPT, 0.0)


def test_thick_cloud_is_cloud_and_its_share_is_measured() -> None:
    pixels = surface(SHARED_SURFACES["sea"], size=512)
    pixels[:, :256] = surface((5000, 4900, 4900, 5400, 4200), size=512, noise_dn=300)[:, :256]
    names = ("B02", "B03", "B04", "B08", "B11")
    half = screened(pixels, names)
    assert (half.outcome, half.cloud_fraction) == (TileOutcome.KEPT, pytest.approx(0.5, abs=0.01))
    pixels[:, 256:400] = pixels[:, 100:244]
    most = screened(pixels, names)
    assert most.outcome is TileOutcome.CLOUD
    assert most.reason == f"cloud: {100 * (most.cloud_fraction or 0):.1f} % of valid pixels, at most 70.0 % allowed"
    assert screened(pixels, names, max_cloud_fraction=0.9).outcome is TileOutcome.KEPT


def test_high_cloud_shows_in_the_cirrus_band_alone() -> None:
    pixels = np.concatenate([surface(SHARED_SURFACES["vegetation"]), surface((600,), noise_dn=20)])
    assert screened(pixels, ("B02", "B03", "B04", "B08", "B11", "B10")).outcome is TileOutcome.CLOUD
    assert screened(pixels, ("B02", "B03", "B04", "B08", "B11", "B09")).outcome is TileOutcome.KEPT


def test_eight_bit_cloud_is_near_white() -> None:
    picture = np.random.default_rng(2).integers(215, 250, (3, 128, 128)).astype("uint8")
    assert screened(picture, ("red", "green", "blue")).outcome is TileOutcome.CLOUD
    assert screened(picture // 2, ("red", "green", "blue")).cloud_fraction == 0
    picture[2] //= 2
    assert screened(picture, ("red", "green", "blue")).cloud_fraction == 0


def test_small_bright_things_are_not_cloud() -> None:
    pixels = surface(SHARED_SURFACES["sea"][:4], size=512)
    for row in range(5, 500, 20):
        for col in range(5, 500, 30):
            pixels[:, row : row + 6, col : col + 6] = 6000
    assert screened(pixels).cloud_fraction == 0


@pytest.mark.parametrize("names", [("B1", "B2", "B3", "B4"), ("B8A", "B11", "B12", "B01"), ("red", "nir", "x", "y")])
def test_bands_that_cannot_tell_cloud_leave_it_unjudged(names: tuple[str, ...]) -> None:
    result = screened(surface((5000, 4900, 4900, 5400), noise_dn=300), names)
    assert (result.outcome, result.cloud_fraction) == (TileOutcome.KEPT, None)
    assert "cloud not judged" in result.reason


def test_names_that_mean_different_bands_need_roles() -> None:
    landsat_5 = CloudSettings(band_roles={"B1": BandRole.BLUE, "B2": BandRole.GREEN, "B3": BandRole.RED})
    assert band_roles(("B1", "B2", "B3", "B4"), CloudSettings()) == {}
    assert band_roles(("B3", "B2", "B1"), landsat_5) == {BandRole.RED: 0, BandRole.GREEN: 1, BandRole.BLUE: 2}
    assert band_roles(("B8A", "B08", "Red "), CloudSettings()) == {BandRole.NIR: 0, BandRole.RED: 2}


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_specks_are_taken_out_as_scipy_does(height: int, width: int, seed: int) -> None:
    bright = np.random.default_rng(seed).random((height, width)) < 0.8
    pixels = np.where(bright, 250, 10).astype("uint8")
    square = np.ones((3, 3), dtype=bool)
    eroded = ndimage.binary_erosion(bright, square, border_value=1)
    mask = cloud_mask(np.stack([pixels] * 3), ("red", "green", "blue"), CloudSettings())
    assert mask is not None and np.array_equal(mask, ndimage.binary_dilation(eroded, square))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["uint8", "uint16"]))
def test_what_lies_under_invalid_pixels_does_not_matter(seed: int, dtype: str) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (2, 30, 50)).astype(dtype)
    valid = random.random((30, 50)) < 0.5
    other = np.where(valid, pixels, random.integers(0, np.iinfo(dtype).max + 1, pixels.shape)).astype(dtype)
    one, two = (screen(each, valid, ("B1", "B2"), ScreeningSettings(saturated_dn=200)) for each in (pixels, other))
    assert one == two
    chosen = (pixels[:, valid] >= 200).sum(axis=0) >= 1
    assert one.saturated_fraction == pytest.approx(chosen.mean())


def test_pixels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        screen(np.zeros((1, 4, 4), dtype="float32"), np.ones((4, 4), dtype=bool), ("B1",), SETTINGS)
    with pytest.raises(ValueError, match="bands B1"):
        screen(np.zeros((2, 4, 4), dtype="uint8"), np.ones((4, 4), dtype=bool), ("B1",), SETTINGS)
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        screen(np.zeros((1, 4, 4), dtype="uint8"), np.ones((4, 5), dtype=bool), ("B1",), SETTINGS)


LANDSAT_8 = CloudSettings(
    band_roles={
        "B2": BandRole.BLUE,
        "B3": BandRole.GREEN,
        "B4": BandRole.RED,
        "B5": BandRole.NIR,
        "B6": BandRole.SWIR16,
        "B9": BandRole.CIRRUS,
    },
    reflectance_gain=2e-5,
    reflectance_offset=-0.1,
)


@pytest.mark.parametrize(
    ("name", "cloud", "agreement", "found"),
    [
        ("ukis_sentinel2", CloudSettings(), 0.94, 0.75),
        ("ukis_landsat5", CloudSettings(), 0.92, 0.80),
        ("l8_gulfcoast_cloudy", LANDSAT_8, 0.94, 0.18),
        ("multisensor_041027_LC08_20150604", LANDSAT_8, 0.94, 0.65),
    ],
)
def test_cloud_agrees_with_reference_masks_and_loses_nothing_useful(
    shared_data: Path, name: str, cloud: CloudSettings, agreement: float, found: float
) -> None:
    settings, allow = ScreeningSettings(cloud=cloud), IngestSettings(allow_no_crs=True)
    with (
        open_scene(shared_data / "clouds" / f"{name}.tif", allow) as frame,
        open_scene(shared_data / "clouds" / f"{name}_mask.tif", allow) as mask,
    ):
        scene = Window(row=0, col=0, height=frame.height, width=frame.width)
        pixels, truth = frame.read(scene), mask.read(scene)[0] == (4 if name.startswith("ukis") else 2)
        swath = np.any(pixels != 0, axis=0)
        guess = cloud_mask(pixels, frame.band_names, cloud)
        assert guess is not None
        assert (guess == truth)[swath].mean() > agreement
        assert guess[truth & swath].mean() > found
        useful = lost = 0
        for row, col in product(range(0, frame.height - 31, 16), range(0, frame.width - 31, 16)):
            place = (slice(row, row + 32), slice(col, col + 32))
            if truth[place].mean() <= 0.7 and swath[place].all():
                result = screen(pixels[:, *place], swath[place], frame.band_names, settings)
                useful += 1
                lost += result.outcome is not TileOutcome.KEPT
    assert useful > 800 and lost <= 0.01 * useful

"""Water and land: what is told apart, what cannot be, and distances against an independent implementation."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from downlink.scene import Window
from onboard.cloud import BandRole
from onboard.errors import WaterBandsError
from onboard.ingest import open_scene
from onboard.water import WaterSettings, land_distance_px, patches_of, tells_water, water_mask

NAMES = ("B02", "B03", "B04", "B08")
SURFACES = {
    "open sea": ((250, 200, 120, 60), True),
    "sea under glint": ((620, 560, 540, 590), True),
    "sea under haze": ((1500, 1450, 1350, 1400), True),
    "turbid water": ((900, 1300, 1400, 700), True),
    "black water": ((30, 8, 4, 12), True),
    "vegetation": ((400, 700, 400, 3500), False),
    "bare soil": ((900, 1200, 1600, 2300), False),
    "concrete": ((1500, 1700, 1900, 2200), False),
    "white roof": ((4200, 4300, 4300, 4400), False),
    "cloud": ((5000, 4900, 4900, 5400), False),
    "dark forest": ((180, 260, 170, 1500), False),
}
"""DN of blue, green, red and NIR as in Sentinel-2 scenes, and whether it is water."""


def flat(levels: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.broadcast_to(np.array(levels, dtype=dtype).reshape(-1, 1, 1), (len(levels), 3, 5))


@pytest.mark.parametrize("name", SURFACES)
def test_surfaces_are_told_apart(name: str) -> None:
    levels, is_water = SURFACES[name]
    assert (water_mask(flat(levels), NAMES) == is_water).all()


def test_offset_and_gain_mean_the_same_reflectance() -> None:
    settings = WaterSettings(
        reflectance_gain=2e-5, reflectance_offset=-0.1, band_roles={"B3": BandRole.GREEN, "B5": BandRole.NIR}
    )
    for levels, is_water in SURFACES.values():
        landsat = tuple(round((level * 1e-4 + 0.1) / 2e-5) for level in (levels[1], levels[3]))
        assert (water_mask(flat(landsat), ("B3", "B5"), settings) == is_water).all()


def test_eight_bits_are_judged_by_the_ratio() -> None:
    assert water_mask(flat((40, 60, 50, 30), "uint8"), NAMES).all()
    assert not water_mask(flat((40, 60, 50, 130), "uint8"), NAMES).any()
    assert water_mask(flat((250, 250, 250, 255), "uint8"), NAMES).all(), "brightness says nothing in eight bits"


@pytest.mark.parametrize("names", [("red", "green", "blue"), ("B02", "B04", "B08"), ("B1", "B2", "B3")])
def test_bands_that_cannot_tell_are_refused(names: tuple[str, ...]) -> None:
    assert not tells_water(names)
    with pytest.raises(WaterBandsError, match=rf"{names[0]}.*green and near infrared") as caught:
        water_mask(flat((40, 60, 50)), names)
    assert caught.value.present == names
    assert tells_water(NAMES)


@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 9), st.floats(0.1, 0.9), st.integers(0, 2**32 - 1))
def test_patches_are_those_of_scipy(height: int, width: int, least: int, share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    labels, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, range(count + 1))
    assert np.array_equal(patches_of(mask, min_px=least), mask & (sizes[labels] >= least))


@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 12), st.floats(0.5, 1), st.integers(0, 2**32 - 1))
def test_distances_are_those_of_scipy(height: int, width: int, farthest: int, share: float, seed: int) -> None:
    water = np.random.default_rng(seed).random((height, width)) < share
    distance = land_distance_px(water, min_land_px=1, farthest_px=farthest)
    expected = ndimage.distance_transform_edt(water) if not water.all() else np.full(water.shape, np.inf)
    expected[expected > farthest] = np.inf
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance, expected, rtol=1e-6)


def test_a_ship_at_sea_is_no_land_and_one_at_the_quay_is_part_of_it() -> None:
    water = np.ones((200, 300), dtype=bool)
    water[:, :10] = False  # 2000 pixels of land
    water[50:56, 60:100] = False  # a ship at sea
    water[150:156, 10:50] = False  # a ship along the quay
    distance = land_distance_px(water)
    assert distance[53, 60] == 51 and np.isinf(distance[53, 75])
    assert distance[153, 30] == 0 and distance[153, 55] == 6
    assert np.isinf(land_distance_px(np.ones((4, 5), dtype=bool))).all()


def test_a_snake_of_land_is_one_patch() -> None:
    rows, columns = np.mgrid[:41, :61]
    snake = (rows % 2 == 0) | (columns == np.where(rows % 4 == 1, 60, 0))
    assert patches_of(snake, min_px=int(snake.sum())).all(where=snake)
    assert not patches_of(snake, min_px=int(snake.sum()) + 1).any()


def test_real_ships_lie_in_water_and_towns_do_not(shared_data: Path) -> None:
    with open_scene(shared_data / "s2_ships" / "images" / "valencia_2023-08-23.tif") as frame:
        pixels = frame.read(Window(row=0, col=0, height=frame.height, width=frame.width))
        water = water_mask(pixels, frame.band_names)
    distance = land_distance_px(water)
    assert 0.78 < water.mean() < 0.81
    assert water[900:1200, 900:1500].mean() > 0.995 and np.isinf(distance[900:1200, 900:1500]).mean() > 0.9
    assert water[700:1200, :150].mean() < 0.02 and (distance[700:1200, :150] == 0).mean() > 0.97

"""The land gate: stops what is land for certain and out of reach of water; haze, foam, glint, docks and yards pass."""

import numpy as np
import pytest

from onboard.land_gate import LandGate, inland_blocks, only_afloat

BANDS = ("B02", "B03", "B04", "B08")
WATER, FIELD, YARD = (700, 550, 330, 180), (500, 700, 600, 2800), (1500, 1600, 1700, 1800)


def ground(kind: tuple[int, ...], *, side: int = 256, spread: float = 30, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = np.array(kind)[:, None, None] + rng.normal(0, spread, (4, side, side))
    return np.clip(pixels, 1, 65_535).astype(np.uint16)


def inland(pixels: np.ndarray, valid: np.ndarray | None = None, **limits: object) -> np.ndarray:
    known = np.ones(pixels.shape[1:], bool) if valid is None else valid
    blocks = inland_blocks(pixels, known, BANDS, LandGate(**limits))  # type: ignore[arg-type]
    assert blocks is not None
    return blocks


def test_fields_are_inland_and_the_shore_is_not() -> None:
    pixels = ground(FIELD)
    assert inland(pixels).all()
    pixels[:, :, :64] = ground(WATER)[:, :, :64]
    blocks = inland(pixels)
    assert not blocks[:, :6].any()  # four blocks of water and two beside them
    assert blocks[:, 6:].all()


def test_a_basin_as_wide_as_a_ship_keeps_its_quays() -> None:
    pixels = ground(FIELD)
    pixels[:, 96:208, 130:138] = ground(WATER)[:, 96:208, 130:138]
    blocks = inland(pixels)
    assert not blocks[6:13, 6:11].any()
    assert blocks[:, :5].all() and blocks[:, 12:].all()


def test_shadow_and_small_ponds_keep_nothing() -> None:
    pixels = ground(FIELD)
    pixels[:, 100:108, 100:108] = ground(WATER)[:, 100:108, 100:108]
    assert inland(pixels).all()


@pytest.mark.parametrize(
    "kind",
    [(1500, 1400, 1300, 1250), (2500, 2500, 2500, 2600), (1800, 1700, 1650, 1700), (7000, 7000, 7100, 7300)],
    ids=["haze", "glint", "foam", "cloud"],
)
def test_bright_water_is_never_inland(kind: tuple[int, ...]) -> None:
    assert not inland(ground(kind, spread=150)).any()


def test_yards_are_land_beside_fields_alone() -> None:
    pixels = ground(YARD)
    assert not inland(pixels).any()
    pixels[:, :, 32:] = ground(FIELD)[:, :, 32:]
    assert inland(pixels)[:, 1:].all()


def test_a_ship_in_midstream_passes_with_its_water() -> None:
    pixels = ground(FIELD)
    pixels[:, 120:150] = ground(WATER)[:, 120:150]
    pixels[:, 128:140, 60:120] = ground(YARD)[:, 128:140, 60:120]
    assert not inland(pixels)[8, :].any()


def test_water_at_the_tiles_edge_counts_however_little_of_it_there_is() -> None:
    pixels = ground(FIELD)
    pixels[:, 48:64, :5] = ground(WATER)[:, 48:64, :5]
    assert not inland(pixels)[3, 0]


def test_pixels_without_data_are_neither_land_nor_water() -> None:
    pixels, valid = ground(FIELD), np.ones((256, 256), bool)
    valid[:, :128] = False
    pixels[:, :, :128] = 0
    assert inland(pixels, valid)[:, 9:].all()
    assert not inland(pixels, np.zeros_like(valid)).any()


def test_what_cannot_be_judged_is_not_judged() -> None:
    pixels = ground(FIELD)
    valid = np.ones((256, 256), bool)
    assert inland_blocks(pixels[:3], valid, BANDS[:3], LandGate()) is None
    assert inland_blocks(pixels, valid, BANDS, LandGate(enabled=False)) is None
    assert inland(ground(FIELD, side=200)).shape == (13, 13)
    assert inland_blocks((pixels // 16).astype(np.uint8), valid, BANDS, LandGate()) is not None


def test_only_what_floats_lets_land_be_left_out() -> None:
    assert only_afloat(("ship",)) and only_afloat(("Ship", "barge"))
    assert not only_afloat(("ship", "car")) and not only_afloat(())

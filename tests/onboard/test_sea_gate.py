"""The sea gate: even, empty water is stopped; whatever else passes, and every labelled ship of the real scenes does."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.sea_gate import GateVerdict, SeaGate, may_hold_objects, quiet_blocks

SHIPS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "s2_ships"
BANDS = ("B02", "B03", "B04", "B08")
LEVELS = np.array([700, 550, 330, 180])


def sea(seed: int = 0, *, sigma: float = 12, side: int = 256, brighter: int = 0) -> np.ndarray:
    """(4, side, side) of water with swell of `sigma` DN and noise of its half."""
    rng = np.random.default_rng(seed)
    swell = np.sin(np.add.outer(np.arange(side) / 3.1, np.arange(side) / 5.3)) * sigma * 1.2
    noise = rng.normal(0, sigma / 2, (4, side, side))
    return np.clip(LEVELS[:, None, None] + brighter + swell + noise, 0, 65_535).astype(np.uint16)


def judge(pixels: np.ndarray, valid: np.ndarray | None = None, gate: SeaGate | None = None) -> GateVerdict:
    if valid is None:
        valid = np.ones(pixels.shape[1:], bool)
    return may_hold_objects(pixels, valid, BANDS, gate or SeaGate())


@pytest.mark.parametrize("sigma", [1, 6, 12, 20])
@pytest.mark.parametrize("side", [64, 200, 512])
def test_empty_sea_is_stopped(sigma: float, side: int) -> None:
    verdict = judge(sea(3, sigma=sigma, side=side))
    assert not verdict.passes
    assert "open sea" in verdict.reason


def test_a_slow_gradient_of_brightness_is_sea_still() -> None:
    """From one side of the tile to the other the water brightens by more than a small ship would."""
    pixels = sea(4, side=512)
    gradient = np.linspace(0, 400, 512).astype(np.uint16)
    assert not judge(pixels + gradient).passes
    pixels[:, 100:102, 40:43] += 350  # as bright as the far side
    assert judge(pixels + gradient).passes


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    row=st.integers(0, 190),
    col=st.integers(0, 190),
    band=st.sampled_from([1, 2, 3]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 40)),
    rise=st.integers(450, 20_000),
)
def test_a_ship_anywhere_in_any_of_the_bands_passes(
    seed: int, row: int, col: int, band: int, size: tuple[int, int], rise: int
) -> None:
    """From 0.045 of reflectance: the faintest of the labelled Sentinel-2 ships rises by 0.049."""
    pixels = sea(seed, side=200)
    pixels[band, row : row + size[0], col : col + size[1]] += np.uint16(rise)
    assert judge(pixels).passes


def test_what_is_not_plain_open_water_passes() -> None:
    hazy = sea(1, brighter=900)
    assert "not all open water" in judge(hazy).reason
    glint = sea(2, sigma=60)
    assert "uneven water" in judge(glint).reason
    whitecaps = sea(5)
    rng = np.random.default_rng(5)
    whitecaps[:, rng.integers(0, 256, 40), rng.integers(0, 256, 40)] += 300
    coast = sea(6)
    coast[3, :40, :50] = 2500
    shallows = sea(7)
    shallows[1:3, 200:] += 500
    for pixels in (hazy, glint, whitecaps, coast, shallows):
        assert judge(pixels).passes


def test_what_cannot_be_judged_passes() -> None:
    calm = sea(8)
    valid = np.ones(calm.shape[1:], bool)
    assert not judge(calm).passes
    gate = SeaGate()
    assert may_hold_objects((calm // 16).astype(np.uint8), valid, BANDS, gate).passes
    assert may_hold_objects(calm, valid, ("B02", "B03", "B04", "pan"), gate).passes
    assert may_hold_objects(calm[:3], valid, ("red", "green", "blue"), gate).passes
    assert not may_hold_objects(calm, valid, ("blue", "green", "red", "nir"), gate).passes
    assert judge(calm, gate=SeaGate(enabled=False)).passes
    assert judge(calm, np.zeros_like(valid)).passes


def test_pixels_without_data_neither_stop_nor_pass_a_tile() -> None:
    pixels = sea(9)
    valid = np.ones((256, 256), bool)
    valid[:, :90] = False
    empty = pixels.copy()
    empty[:, :, :90] = 0
    assert not judge(empty, valid).passes
    bright = pixels.copy()
    bright[:, :, :90] = 9000
    assert not judge(bright, valid).passes
    bright[3, 128, 95] += 900
    assert judge(bright, valid).passes


def test_the_reflectance_of_a_digital_number_is_asked_for() -> None:
    pixels = sea(10)
    pixels[3, 50:53, 50:52] += 250
    assert judge(pixels).passes
    assert not judge(pixels // 4 * 2).passes
    assert judge(pixels // 4 * 2, gate=SeaGate(reflectance_gain=2e-4)).passes


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot judge"):
        may_hold_objects(sea(), np.ones((4, 4), bool), BANDS, SeaGate())
    with pytest.raises(ValueError, match="cannot judge"):
        may_hold_objects(sea(), np.ones((256, 256), bool), BANDS[:3], SeaGate())


@pytest.mark.skipif(not SHIPS.is_dir(), reason="no real Sentinel-2 scenes at ../shared/data/s2_ships")
def test_no_labelled_ship_is_lost_and_real_sea_is_stopped() -> None:
    rasterio = pytest.importorskip("rasterio")
    ships = lost = stopped = 0
    for path in sorted((SHIPS / "images").glob("*.tif")):
        with rasterio.open(path) as scene:
            pixels, names = scene.read(), scene.descriptions
        labels = np.loadtxt(SHIPS / "labels_obb" / f"{path.stem}.txt", ndmin=2)
        height, width = pixels.shape[1:]
        centres = labels[:, 1:].reshape(-1, 4, 2).mean(axis=1) * [width, height]
        for top in range(0, height, 128):
            for left in range(0, width, 128):
                tile = pixels[:, top : top + 128, left : left + 128]
                verdict = may_hold_objects(tile, np.ones(tile.shape[1:], bool), names, SeaGate())
                inside = (centres // 128 == (left // 128, top // 128)).all(axis=1).sum()
                ships += inside
                lost += 0 if verdict.passes else inside
                stopped += not verdict.passes
    assert ships == 257
    assert lost == 0
    assert stopped >= 150


def quiet(pixels: np.ndarray, valid: np.ndarray | None = None, gate: SeaGate | None = None) -> np.ndarray:
    known = np.ones(pixels.shape[1:], bool) if valid is None else valid
    blocks = quiet_blocks(pixels, known, BANDS, gate or SeaGate())
    assert blocks is not None
    return blocks


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), sigma=st.sampled_from([1, 6, 12, 20]), side=st.sampled_from([64, 200, 256]))
def test_all_blocks_of_a_tile_that_is_stopped_are_quiet(seed: int, sigma: float, side: int) -> None:
    pixels = sea(seed, sigma=sigma, side=side)
    assert not judge(pixels).passes
    assert quiet(pixels).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    row=st.integers(0, 190),
    col=st.integers(0, 190),
    band=st.sampled_from([1, 2, 3]),
    rise=st.integers(450, 20_000),
)
def test_the_block_of_a_ship_is_not_quiet_and_far_ones_are(seed: int, row: int, col: int, band: int, rise: int) -> None:
    pixels = sea(seed, side=256)
    pixels[:, :, 216:] = np.array([800, 900, 1000, 3000], np.uint16)[:, None, None]  # land beside, in every tile
    pixels[band, row : row + 3, col : col + 7] += np.uint16(rise)
    blocks = quiet(pixels)
    assert not blocks[row // 16, col // 16]
    assert not blocks[:, 14:].any()
    far = [(r, c) for r in range(16) for c in range(12) if max(abs(r - row // 16), abs(c - col // 16)) > 2]
    assert all(blocks[r, c] for r, c in far)


def test_blocks_that_cannot_be_judged_are_not() -> None:
    calm, valid = sea(8), np.ones((256, 256), bool)
    assert quiet_blocks((calm // 16).astype(np.uint8), valid, BANDS, SeaGate()) is None
    assert quiet_blocks(calm[:3], valid, BANDS[:3], SeaGate()) is None
    assert quiet_blocks(calm, valid, BANDS, SeaGate(enabled=False)) is None
    assert not quiet(sea(2, sigma=60)).any()
    empty = calm.copy()
    valid[:, :96] = False
    empty[:, :, :96] = 0
    assert quiet(empty, valid).all()


def plain_levels(band: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(means, darkest of each block and those around it, brightest pixel) of every block of a band, one block after the other."""
    rows, columns = (side // 16 for side in band.shape)
    means, tops = np.zeros((rows, columns), int), np.zeros((rows, columns), int)
    for row, col in np.ndindex(rows, columns):
        block = band[16 * row : 16 * row + 16, 16 * col : 16 * col + 16].astype(int)
        means[row, col], tops[row, col] = block[4::8, 2::4].sum() // 8, block.max()
    darkest = np.array(
        [
            [means[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2].min() for col in range(columns)]
            for row in range(rows)
        ]
    )
    return means, darkest, tops


def plain_sigma(band: np.ndarray, means: np.ndarray, blocks: np.ndarray) -> float:
    """Distance between the quartiles of the samples of some blocks around their means, as a standard deviation."""
    around = sorted(
        int(value) - int(means[row, col])
        for row, col in np.argwhere(blocks)
        for value in band[16 * row : 16 * row + 16, 16 * col : 16 * col + 16][4::8, 2::4].flat
    )
    low, high = (around[round(share * (len(around) - 1))] for share in (0.25, 0.75))
    return (high - low) * (1 / 1.349)


def plain_verdict(pixels: np.ndarray) -> tuple[bool, str, float]:
    """Passes, the reason and the texture of a tile of whole blocks that is valid all over."""
    levels = [plain_levels(pixels[index]) for index in (3, 2, 1)]
    nir, green = levels[0][0], levels[2][0]
    if nir.max() * 1e-4 > 0.08 or (nir >= green).any():
        return True, f"not all open water: near infrared up to {nir.max() * 1e-4:.3f}", 0.0
    sigmas = []
    for name, index, (means, darkest, tops) in zip(("nir", "red", "green"), (3, 2, 1), levels, strict=True):
        sigmas.append(plain_sigma(pixels[index], means, np.ones(means.shape, bool)))
        limit = max(8.0 * sigmas[-1] * 1e-4, 0.015)
        if limit > 0.03:
            return True, f"uneven water: its own {name} may rise by {limit:.3f}", 0.0
        rise = int((tops - darkest).max()) * 1e-4
        if rise > limit:
            return True, f"{name} rises by {rise:.3f} above the sea around it, water by {limit:.3f}", 0.0
    return False, f"open sea and nothing above it, near infrared up to {nir.max() * 1e-4:.3f}", max(sigmas)


def plain_quiet(pixels: np.ndarray) -> np.ndarray:
    """Quiet blocks of such a tile."""
    levels = [plain_levels(pixels[index]) for index in (3, 2, 1)]
    water = (levels[0][0] * 1e-4 <= 0.08) & (levels[0][0] < levels[2][0])
    quiet = water.copy()
    for index, (means, darkest, tops) in zip((3, 2, 1), levels, strict=True) if water.any() else ():
        limit = max(8.0 * plain_sigma(pixels[index], means, water) * 1e-4, 0.015)
        if limit > 0.03:
            return np.zeros_like(quiet)
        quiet &= (tops - darkest) * 1e-4 <= limit
    return quiet


@pytest.mark.parametrize("seed", range(24))
def test_blocks_are_judged_as_one_after_the_other_would_be(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = 16 * int(rng.integers(1, 9)), 16 * int(rng.integers(1, 9))
    pixels = sea(seed, sigma=float(rng.choice([2, 8, 20, 30])), side=128)[:, :height, :width].copy()
    if seed % 4 == 1:
        pixels[:, height // 2 :, : width // 3] += np.uint16(rng.integers(100, 3000))
    if seed % 4 == 2:
        pixels[rng.integers(1, 4), rng.integers(0, height, 5), rng.integers(0, width, 5)] += np.uint16(
            rng.integers(50, 600)
        )
    if seed % 4 == 3:
        pixels[:] = rng.integers(0, 65_536, pixels.shape) >> rng.integers(0, 16)
    verdict = judge(pixels)
    assert (verdict.passes, verdict.reason, verdict.texture_dn) == plain_verdict(pixels)
    assert np.array_equal(quiet(pixels), plain_quiet(pixels))


@pytest.mark.parametrize("bright_dn", [4000, 12_000, 60_000])
def test_one_sample_far_above_the_water_leaves_the_spread_as_it_is(bright_dn: int) -> None:
    pixels = sea(5, sigma=8.0, side=128)
    pixels[1, 4 + 8 * 3, 2 + 4 * 5] = bright_dn  # green, at a place that is sampled
    assert judge(pixels).reason == plain_verdict(pixels)[1]
    assert np.array_equal(quiet(pixels), plain_quiet(pixels))
    assert quiet(pixels).any() and not quiet(pixels).all()


@pytest.mark.skipif(not SHIPS.is_dir(), reason="no real Sentinel-2 scenes at ../shared/data/s2_ships")
def test_real_tiles_are_judged_as_one_block_after_the_other_would_be() -> None:
    rasterio = pytest.importorskip("rasterio")
    outcomes = set()
    for path in sorted((SHIPS / "images").glob("*.tif"))[::3]:
        with rasterio.open(path) as scene:
            if scene.descriptions != BANDS:
                continue
            pixels = scene.read()
        for top, left in ((0, 0), (256, 128), (128, 384)):
            tile = pixels[:, top : top + 128, left : left + 128]
            if tile.shape[1:] != (128, 128):
                continue
            verdict = judge(tile)
            assert (verdict.passes, verdict.reason, verdict.texture_dn) == plain_verdict(tile)
            assert np.array_equal(quiet(tile), plain_quiet(tile))
            outcomes.add(verdict.reason.split(" ")[0])
    assert len(outcomes) >= 2

"""Ships laid at berths: labels follow pixels, nothing is laid on land or on what lies there already."""

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="opencv comes with the train extra", exc_type=ImportError)

from onboard.rotated_boxes import overlaps  # noqa: E402
from onboard.training.berths import moor  # noqa: E402
from onboard.training.ship_cutouts import ShipCutout, turned  # noqa: E402

BANDS = ("B08", "B04", "B03")
WATER, LAND = (130, 260, 480), (3000, 1500, 1400)


def cutout():
    """A ship of 24 x 8 px lying along x on its own rim of water."""
    inside = np.zeros((20, 40), np.uint8)
    inside[6:14, 8:32] = 1
    contrast = inside[..., None] * np.array([2300, 2100, 1800], np.float32)
    mask = cv2.GaussianBlur(cv2.dilate(inside, np.ones((5, 5), np.uint8)).astype(np.float32), (0, 0), 1.0)
    corners = np.array([[8.0, 6.0], [32.0, 6.0], [32.0, 14.0], [8.0, 14.0]])
    return ShipCutout(contrast=contrast, mask=mask, corners_px=corners, class_id=3)


def harbour(quay_px=60, size=160):
    """Land on the left, water on the right."""
    pixels = np.full((size, size, 3), WATER, np.float32)
    pixels[:, :quay_px] = LAND
    return pixels


def test_turned_corners_follow_turned_pixels():
    for angle, zoom in ((0.3, 1.0), (1.2, 1.4), (-2.5, 0.8)):
        ship = turned(cutout(), angle, zoom)
        rows, cols = np.nonzero(ship.contrast[..., 0] > 1150)
        seen = cv2.minAreaRect(np.column_stack([cols, rows]).astype(np.float32) + 0.5)
        weights = ship.contrast[..., 0]
        centre = [
            np.average(place + 0.5, weights=weights) for place in np.meshgrid(*map(np.arange, weights.shape[::-1]))
        ]
        assert np.allclose(centre, ship.corners_px.mean(axis=0), atol=0.3)
        assert np.isclose(max(seen[1]), 24 * zoom, atol=2) and np.isclose(min(seen[1]), 8 * zoom, atol=2)
        along = ship.corners_px[1] - ship.corners_px[0]
        assert np.isclose(np.linalg.norm(along), 24 * zoom) or np.isclose(np.linalg.norm(along), 8 * zoom)


def test_moored_ships_lie_on_water_beside_the_quay_and_their_labels_on_them():
    rng = np.random.default_rng(4)
    moored = 0
    for _ in range(30):
        pixels = harbour()
        before = pixels.copy()
        corners = moor(pixels, cutout(), np.empty((0, 4, 2)), bands=BANDS, rng=rng)
        if corners is None:
            assert np.array_equal(pixels, before)
            continue
        moored += 1
        changed = np.abs(pixels - before)[..., 0] > 600
        rows, cols = np.nonzero(changed)
        assert np.allclose((cols.mean() + 0.5, rows.mean() + 0.5), corners.mean(axis=0), atol=1.2)
        assert corners[:, 0].min() > 58 and corners[:, 0].min() < 66
    assert moored >= 20


def test_a_second_ship_lies_alongside_and_not_on_the_first():
    rng = np.random.default_rng(5)
    for _ in range(10):
        pixels, taken = harbour(), np.empty((0, 4, 2))
        for _ in range(6):
            corners = moor(pixels, cutout(), taken, bands=BANDS, rng=rng)
            if corners is not None:
                taken = np.concatenate([taken, corners[None]])
        assert len(taken) >= 2
        for index, box in enumerate(taken):
            others = np.delete(taken, index, axis=0)
            shared, _ = overlaps(np.repeat(box[None], len(others), axis=0), others)
            assert shared.max() < 0.2


def test_no_berth_without_an_edge_without_water_and_where_bands_do_not_tell():
    rng = np.random.default_rng(6)
    nothing = np.empty((0, 4, 2))
    for pixels in (np.full((160, 160, 3), WATER, np.float32), np.full((160, 160, 3), LAND, np.float32)):
        before = pixels.copy()
        assert moor(pixels, cutout(), nothing, bands=BANDS, rng=rng) is None and np.array_equal(pixels, before)
    assert moor(harbour(), cutout(), nothing, bands=("red", "green", "blue"), rng=rng) is None

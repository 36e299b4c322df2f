"""Ships set down beside what stands in the water: at quays, at moles, alongside each other.

Most ships of a port are moored, and moored ones are what a network misses in ports that it has not seen. Ships that were cut out of open
water and laid at real quays show it more berths than the few labelled ones.
"""

from __future__ import annotations

import cv2
import numpy as np

from onboard.training.ship_cutouts import ShipCutout, add_ship, turned
from onboard.water import tells_water, water_mask

_ALONGSIDE_SHARE = 0.8
"""Ships that lie along what they are moored to; the others lie with bow or stern to it."""
_LARGEST_GAP_PX = 1.5
_FREE_SHARE = 0.9
"""Of a ship's own pixels, those that must be water."""
_EDGE_SIGMA_PX = 2.5
"""The direction of a quay is told from so far around."""
_ZOOMS = (0.75, 1.5)
_PAINT_SIGMA = 0.15
"""By which the bands of a deck differ from those of the ship that was cut out, natural logarithm."""
_TRIES = 6


def moor(
    pixels: np.ndarray, cutout: ShipCutout, taken: np.ndarray, *, bands: tuple[str, ...], rng: np.random.Generator
) -> np.ndarray | None:
    """Lay a ship at a berth of `pixels` (in place); (4, 2) its corners, None where no berth is free.

    `pixels` is (size, size, bands) float32 digital numbers, `taken` (ships, 4, 2) what lies there already. Without green and near
    infrared nothing tells water, and no ship is moored.
    """
    if not tells_water(bands):
        return None
    size = len(pixels)
    water = water_mask(np.clip(pixels, 0, 65_535).astype(np.uint16).transpose(2, 0, 1), bands)
    from_edge = cv2.distanceTransform(water.astype(np.uint8), cv2.DIST_L2, 3)
    rows, cols = np.nonzero((from_edge > 0) & (from_edge < 2))
    if not len(rows):
        return None
    smooth = cv2.GaussianBlur(water.astype(np.float32), (0, 0), _EDGE_SIGMA_PX)
    free = water & ~_covered(taken, size)
    for index in rng.integers(0, len(rows), _TRIES):
        row, col = int(rows[index]), int(cols[index])
        outwards = _outwards(smooth, row, col)
        if outwards is None:
            continue
        moored = _laid(cutout, (col + 0.5, row + 0.5), outwards, rng)
        corner = np.round(moored.corners_px.mean(axis=0) - len(moored.mask) / 2).astype(int)
        if (corner < 0).any() or (corner + len(moored.mask) > size).any():
            continue
        own = _covered(moored.corners_px[None], size)
        if own.any() and free[own].mean() >= _FREE_SHARE:
            return _set_down(pixels, moored, corner)
    return None


def _set_down(pixels: np.ndarray, moored: ShipCutout, corner: np.ndarray) -> np.ndarray:
    """Adds the ship on whole pixels; its corners follow."""
    add_ship(pixels, moored.contrast, moored.mask, int(corner[1]), int(corner[0]))
    shift = corner + len(moored.mask) / 2 - moored.corners_px.mean(axis=0)
    return np.asarray(moored.corners_px + shift)


def _laid(
    cutout: ShipCutout, edge_px: tuple[float, float], outwards: np.ndarray, rng: np.random.Generator
) -> ShipCutout:
    """The ship turned for a berth at `edge_px` x, y; its corners in the chip, its pixels in a square around its centre."""
    first, second = (cutout.corners_px[index + 1] - cutout.corners_px[index] for index in (0, 1))
    sides = np.array([np.linalg.norm(first), np.linalg.norm(second)])
    along = first if sides[0] >= sides[1] else second
    alongside = rng.random() < _ALONGSIDE_SHARE
    wanted = np.array([-outwards[1], outwards[0]]) if alongside else outwards
    if rng.random() < 0.5:
        wanted = -wanted
    angle = np.arctan2(wanted[1], wanted[0]) - np.arctan2(along[1], along[0])
    zoom = float(np.exp(rng.uniform(*np.log(_ZOOMS))))
    reach = zoom * (sides.min() if alongside else sides.max()) / 2 + rng.uniform(0.0, _LARGEST_GAP_PX)
    ship = turned(cutout, float(angle), zoom)
    paint = rng.uniform(0.6, 1.2) * np.exp(rng.normal(0.0, _PAINT_SIGMA, ship.contrast.shape[2]))
    centre = np.array(edge_px) + outwards * reach
    return ShipCutout(
        contrast=ship.contrast * paint.astype(np.float32),
        mask=ship.mask,
        corners_px=ship.corners_px - ship.corners_px.mean(axis=0) + centre,
        class_id=ship.class_id,
    )


def _outwards(smooth: np.ndarray, row: int, col: int) -> np.ndarray | None:
    """Unit vector x, y from the edge onto the water; None at the border and where no direction stands out."""
    if not (0 < row < smooth.shape[0] - 1 and 0 < col < smooth.shape[1] - 1):
        return None
    slope = np.array([smooth[row, col + 1] - smooth[row, col - 1], smooth[row + 1, col] - smooth[row - 1, col]])
    steepness = float(np.linalg.norm(slope))
    return None if steepness < 0.1 else slope / steepness


def _covered(corners: np.ndarray, size: int) -> np.ndarray:
    """(size, size) bool: pixels inside any of (ships, 4, 2)."""
    inside = np.zeros((size, size), np.uint8)
    for box in corners:
        cv2.fillConvexPoly(inside, np.round((box - 0.5) * 16).astype(np.int32), 1, shift=4)
    return inside > 0

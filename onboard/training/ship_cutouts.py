"""Ships cut out of labelled scenes as contrast against their own water, and set down on other water."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from onboard.training.augmentation import is_calm
from onboard.training.labelled_scene import LabelledScene
from onboard.training.plan import BANDS

_LEAST_AROUND_PX = 20
"""Pixels of water around a ship without which its level is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipCutout:
    """A ship with a rim of water, freed of the water's level."""

    contrast: np.ndarray
    """(height, width, bands) float32 digital numbers above the water around it."""
    mask: np.ndarray
    """(height, width) float32, 1 on the ship and falling to 0 over the rim."""
    corners_px: np.ndarray
    """(4, 2) corners x, y in the cutout."""
    class_id: int
    """Class of the object."""


def cut_out_ships(scene: LabelledScene, bands: tuple[str, ...], margin_px: int = 6) -> list[ShipCutout]:
    """Ships that lie alone on calm water, as contrast against that water."""
    cutouts = []
    height, width = scene.pixels.shape[:2]
    for corners, class_id in zip(scene.ships_px, scene.classes, strict=True):
        low = np.floor(corners.min(axis=0)).astype(int) - margin_px
        high = np.ceil(corners.max(axis=0)).astype(int) + margin_px
        if (low < 0).any() or high[0] > width or high[1] > height:
            continue
        patch = scene.pixels[low[1] : high[1], low[0] : high[0]].astype(np.float32)
        moved = corners - low
        inside = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, np.round(moved - 0.5).astype(np.int32), 1)
        near = cv2.dilate(inside, np.ones((5, 5), np.uint8))
        around = patch[near == 0]
        if len(around) < _LEAST_AROUND_PX or not is_calm(around[None], bands):
            continue
        mask = cv2.GaussianBlur(near.astype(np.float32), (0, 0), 1.0)
        cutouts.append(
            ShipCutout(contrast=patch - np.median(around, axis=0), mask=mask, corners_px=moved, class_id=int(class_id))
        )
    return cutouts


def turned(cutout: ShipCutout, angle: float, zoom: float = 1.0) -> ShipCutout:
    """The cutout turned by `angle` radians about its ship's centre, from x towards y, and enlarged, in a square that holds it."""
    height, width = cutout.mask.shape
    side = int(np.ceil(zoom * np.hypot(height, width))) + 2
    centre = cutout.corners_px.mean(axis=0)
    cos, sin = np.cos(angle), np.sin(angle)
    linear = zoom * np.array([[cos, -sin], [sin, cos]])
    shift = side / 2 - linear @ centre
    to_pixel_centres = linear @ (0.5, 0.5) + shift - 0.5
    warp = np.column_stack([linear, to_pixel_centres])
    layers = [cutout.mask, *cutout.contrast.transpose(2, 0, 1)]
    mask, *contrast = (cv2.warpAffine(layer, warp, (side, side), flags=cv2.INTER_LINEAR) for layer in layers)
    return ShipCutout(
        contrast=np.stack(contrast, axis=2),
        mask=mask,
        corners_px=cutout.corners_px @ linear.T + shift,
        class_id=cutout.class_id,
    )


def add_ship(chip: np.ndarray, contrast: np.ndarray, mask: np.ndarray, row: int, col: int) -> None:
    """Add `contrast` (h, w, bands), weighed by `mask` (h, w), to `chip` (in place) from `row`, `col` on; it has to lie inside."""
    place = chip[row : row + mask.shape[0], col : col + mask.shape[1]]
    place += contrast * mask[..., None]
    np.maximum(place, 0.0, out=place)


def paste_ship(
    chip: np.ndarray, ship: np.ndarray, mask: np.ndarray, row: int, col: int, *, bands: tuple[str, ...] = BANDS
) -> bool:
    """Add a ship, given as contrast against its own water, onto calm water of `chip` (in place).

    `ship` is (h, w, bands) float32 difference from the water around it, `mask` (h, w) 0..1 feathered. Returns False
    and leaves the chip alone where the place is not calm.
    """
    height, width = mask.shape
    place = chip[row : row + height, col : col + width]
    if place.shape[:2] != mask.shape or not is_calm(place, bands):
        return False
    add_ship(chip, ship, mask, row, col)
    return True

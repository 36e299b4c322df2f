"""Objects that are neither learned nor held against: taken out of the labels, and painted over with the ground around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from onboard.training.labelled_scene import LabelledScene

_MARGIN_PX = 4
"""Painted beyond the box: wakes and blur reach over it."""
_RING_PX = 4
"""Width of the ring whose pixels are painted with."""


def without_classes(scene: LabelledScene, classes: Sequence[int]) -> LabelledScene:
    """The scene without its objects of `classes`, for training; the scene itself where it has none.

    Left in the picture and out of the labels, they would teach that such a thing is nothing. Each is painted over with pixels drawn
    from a ring around it, where no other object is touched.
    """
    left_out = np.isin(scene.classes, list(classes))
    if not left_out.any():
        return scene
    pixels = scene.pixels.copy()
    for corners in scene.ships_px[left_out]:
        _paint_over(pixels, corners, scene.ships_px[~left_out])
    return replace(scene, pixels=pixels, ships_px=scene.ships_px[~left_out], classes=scene.classes[~left_out])


def _paint_over(pixels: np.ndarray, corners: np.ndarray, others: np.ndarray) -> None:
    inside = _grown(_mask(corners[None], pixels.shape[:2]), _MARGIN_PX)
    kept = _grown(_mask(others, pixels.shape[:2]), 1)
    ring = (_grown(inside, _RING_PX) > inside) & (kept == 0)
    source = pixels[ring]
    rows, cols = np.nonzero(inside & (kept == 0))
    if len(source):
        # A fixed seed: the same labels give the same picture.
        pixels[rows, cols] = source[np.random.default_rng(len(rows)).integers(len(source), size=len(rows))]


def _mask(corners: np.ndarray, size_px: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(size_px, np.uint8)
    for box in corners:
        cv2.fillConvexPoly(mask, np.round(box - 0.5).astype(np.int32), 1)
    return mask


def _grown(mask: np.ndarray, by_px: int) -> np.ndarray:
    side = 2 * by_px + 1
    return np.asarray(cv2.dilate(mask, np.ones((side, side), np.uint8)))

"""Draws training chips from labelled scenes: where to look, how to turn, which ships to paste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from onboard.network_input import TRUE_COLOUR_DN_PER_COUNT, compress_above_dark, dark_level
from onboard.training.augmentation import vary_radiometry
from onboard.training.berths import moor
from onboard.training.labelled_scene import LabelledScene
from onboard.training.plan import BANDS
from onboard.training.ship_cutouts import cut_out_ships, paste_ship

_SHIP_SHARE, _COAST_SHARE = 0.55, 0.25
"""Chips centred near a ship, and near a coast (the hard negatives); the rest fall anywhere."""
_ADRIFT_SHARE, _MOORED_SHARE = 0.35, 0.4
"""Chips into which ships are pasted on open water, and at berths."""
_MIN_VISIBLE = 0.5
"""A ship of which less than this share of its corners and centre is in the chip is not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipBatch:
    """One training batch."""

    images: np.ndarray
    """(chips, bands, size, size) float32 network input."""
    boxes: np.ndarray
    """(ships, 5) float32 centre x, centre y, long side, short side in pixels, angle in radians [-pi/4, 3pi/4)."""
    chip_index: np.ndarray
    """(ships,) int64, which chip each box belongs to."""
    classes: np.ndarray
    """(ships,) int64 class of each box."""


class ChipSampler:
    """An endless, seeded source of augmented chips."""

    def __init__(self, scenes: Sequence[LabelledScene], *, bands: tuple[str, ...], chip_px: int, seed: int) -> None:
        self._scenes = scenes = tuple(_in_digital_numbers(scene) for scene in scenes)
        self._bands = bands
        self._chip_px = chip_px
        self._rng = np.random.default_rng(seed)
        ships = np.array([max(len(scene.ships_px), 1) for scene in scenes], dtype=np.float64)
        areas = np.array([scene.pixels.shape[0] * scene.pixels.shape[1] for scene in scenes], dtype=np.float64)
        # Square roots: a port with 50 ships teaches more than one with 12, but not four times more.
        self._ship_weights = np.sqrt(ships) / np.sqrt(ships).sum()
        self._area_weights = np.sqrt(areas) / np.sqrt(areas).sum()
        self._dark = [dark_level(scene.pixels.transpose(2, 0, 1)) for scene in scenes]
        self._coasts = [coast_points(scene.pixels, bands) for scene in self._scenes]
        self._cutouts = [cutout for scene in scenes for cutout in cut_out_ships(scene, bands)]

    def batch(self, chips: int) -> ChipBatch:
        """Draw `chips` chips."""
        drawn = [self.chip() for _ in range(chips)]
        return ChipBatch(
            images=np.stack([image for image, _, _ in drawn]),
            boxes=boxes_of_corners(np.concatenate([corners for _, corners, _ in drawn])),
            chip_index=np.concatenate([np.full(len(corners), i, np.int64) for i, (_, corners, _) in enumerate(drawn)]),
            classes=np.concatenate([classes for _, _, classes in drawn]),
        )

    def chip(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One chip: (bands, size, size) float32 network input, (ships, 4, 2) corners in it, and their (ships,) classes."""
        index, centre = self._place()
        scene = self._scenes[index]
        matrix = self._turn(centre)
        to_pixel_centres = matrix @ np.array([0.5, 0.5, 1.0]) - 0.5
        warp = np.column_stack([matrix[:, :2], to_pixel_centres])
        pixels = _warped(scene.pixels, warp, self._chip_px)
        corners = scene.ships_px @ matrix[:, :2].T + matrix[:, 2]
        visible = self._visible(corners)
        corners, classes = corners[visible], scene.classes[visible]
        if self._cutouts and self._rng.random() < _ADRIFT_SHARE:
            corners, classes = self._paste(pixels, corners, classes)
        if self._cutouts and self._rng.random() < _MOORED_SHARE:
            corners, classes = self._moor(pixels, corners, classes)
        seen, dark = vary_radiometry(pixels, self._dark[index], self._bands, rng=self._rng)
        return compress_above_dark(seen.transpose(2, 0, 1), dark), corners, classes

    def _place(self) -> tuple[int, np.ndarray]:
        rng = self._rng
        share = rng.random()
        if share < _SHIP_SHARE:
            index = int(rng.choice(len(self._scenes), p=self._ship_weights))
            scene = self._scenes[index]
            if len(scene.ships_px):
                centre = scene.ships_px[rng.integers(len(scene.ships_px))].mean(axis=0)
                return index, centre + rng.uniform(-0.35, 0.35, 2) * self._chip_px
        index = int(rng.choice(len(self._scenes), p=self._area_weights))
        scene = self._scenes[index]
        if share < _SHIP_SHARE + _COAST_SHARE and len(self._coasts[index]):
            coast = self._coasts[index]
            return index, coast[rng.integers(len(coast))] + rng.uniform(-0.2, 0.2, 2) * self._chip_px
        height, width = scene.pixels.shape[:2]
        return index, rng.uniform(0, 1, 2) * (width, height)

    def _turn(self, centre: np.ndarray) -> np.ndarray:
        """2x3 matrix from scene to chip pixels: half of the chips keep the grid (sharp), half turn and zoom freely."""
        rng = self._rng
        if rng.random() < 0.5:
            centre = np.round(centre)
            angle, zoom = float(rng.integers(4)) * np.pi / 2, 1.0
        else:
            angle, zoom = rng.uniform(0, 2 * np.pi), float(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))
        flip = np.diag([1.0, -1.0 if rng.random() < 0.5 else 1.0])
        cos, sin = np.cos(angle), np.sin(angle)
        linear = zoom * np.array([[cos, -sin], [sin, cos]]) @ flip
        return np.column_stack([linear, self._chip_px / 2 - linear @ centre])

    def _visible(self, corners: np.ndarray) -> np.ndarray:
        points = np.concatenate([corners, corners.mean(axis=1, keepdims=True)], axis=1)
        inside = ((points >= 0) & (points < self._chip_px)).all(axis=2)
        return np.asarray(inside.mean(axis=1) >= _MIN_VISIBLE)

    def _paste(self, pixels: np.ndarray, corners: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Paste up to three ships on calm water of `pixels` (in place); returns all corners and classes."""
        rng = self._rng
        for _ in range(int(rng.integers(1, 4))):
            cutout = self._cutouts[rng.integers(len(self._cutouts))]
            height, width = cutout.mask.shape
            row, col = (int(rng.integers(0, self._chip_px - side)) for side in (height, width))
            moved = cutout.corners_px + np.array([col, row])
            if len(corners) and np.linalg.norm(corners.mean(axis=1) - moved.mean(axis=0), axis=1).min() < 40:
                continue
            contrast = cutout.contrast * np.float32(rng.uniform(0.6, 1.2))
            if paste_ship(pixels, contrast, cutout.mask, row, col, bands=self._bands):
                corners = np.concatenate([corners, moved[None]])
                classes = np.append(classes, cutout.class_id)
        return corners, classes

    def _moor(self, pixels: np.ndarray, corners: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lay up to four ships at berths of `pixels` (in place); a second may come to lie alongside the first."""
        for _ in range(int(self._rng.integers(1, 5))):
            cutout = self._cutouts[self._rng.integers(len(self._cutouts))]
            moored = moor(pixels, cutout, corners, bands=self._bands, rng=self._rng)
            if moored is not None:
                corners = np.concatenate([corners, moored[None]])
                classes = np.append(classes, cutout.class_id)
        return corners, classes


def _warped(pixels: np.ndarray, warp: np.ndarray, side_px: int) -> np.ndarray:
    """(side, side, bands) float32 of (height, width, bands); OpenCV warps four bands at a time."""
    parts = [
        cv2.warpAffine(
            np.ascontiguousarray(pixels[..., first : first + 4]), warp, (side_px, side_px),
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        ).reshape(side_px, side_px, -1)
        for first in range(0, pixels.shape[2], 4)
    ]  # fmt: skip
    return np.concatenate(parts, axis=2).astype(np.float32)


def _in_digital_numbers(scene: LabelledScene) -> LabelledScene:
    """An 8-bit scene on the scale that the detector reads it on; any other as it is."""
    if scene.pixels.dtype != np.uint8:
        return scene
    return replace(scene, pixels=np.round(scene.pixels * TRUE_COLOUR_DN_PER_COUNT).astype(np.uint16))


def coast_points(pixels: np.ndarray, bands: tuple[str, ...] = BANDS, step_px: int = 8) -> np.ndarray:
    """(points, 2) x, y where water meets land, on a grid of `step_px`; (height, width, bands) pixels.

    Water is near infrared below green; where one of them is absent, where even ground meets uneven.
    """
    if "B08" in bands and "B03" in bands:
        water = (pixels[..., bands.index("B08")] < pixels[..., bands.index("B03")]).astype(np.float32)
    else:
        detail = np.abs(pixels[..., 0] - cv2.blur(pixels[..., 0].astype(np.float32), (5, 5)))
        smooth = cv2.blur(detail, (15, 15))
        water = (smooth < float(smooth.mean())).astype(np.float32)
    share = cv2.blur(water, (31, 31))[::step_px, ::step_px]
    rows, cols = np.nonzero((share > 0.2) & (share < 0.8))
    return np.column_stack([cols, rows]).astype(np.float64) * step_px


def boxes_of_corners(corners: np.ndarray) -> np.ndarray:
    """(ships, 4, 2) corners to (ships, 5) float32 x, y, long, short, angle in [-pi/4, 3pi/4), the network's terms."""
    corners = corners.reshape(-1, 4, 2)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]
    lengths = np.stack([np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)], axis=1)
    along = np.where((lengths[:, 0] >= lengths[:, 1])[:, None], first, second)
    angle = (np.arctan2(along[:, 1], along[:, 0]) + np.pi / 4) % np.pi - np.pi / 4
    sides = np.sort(lengths, axis=1)[:, ::-1]
    return np.column_stack([corners.mean(axis=1), sides, angle]).astype(np.float32)

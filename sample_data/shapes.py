"""Antialiased shapes on a canvas: oriented boxes, discs and polylines, painted with soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sample_data.canvas import SUBSAMPLES, Canvas, FloatArray

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """An oriented rectangle in pixel coordinates."""

    x: float
    """Centre column, pixels."""
    y: float
    """Centre row, pixels."""
    length_px: float
    """Extent along the axis."""
    width_px: float
    """Extent across the axis."""
    angle_rad: float
    """Direction of the axis, from +x towards +y."""

    @property
    def radius_px(self) -> float:
        """Half the diagonal."""
        return 0.5 * float(np.hypot(self.length_px, self.width_px))

    def local(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coordinates along and across the axis, from the centre, pixels."""
        cos, sin = np.cos(self.angle_rad), np.sin(self.angle_rad)
        return (x - self.x) * cos + (y - self.y) * sin, -(x - self.x) * sin + (y - self.y) * cos

    def point(self, along_px: float, across_px: float) -> Point:
        """Pixel coordinates of a point given along and across the axis from the centre."""
        cos, sin = float(np.cos(self.angle_rad)), float(np.sin(self.angle_rad))
        return self.x + along_px * cos - across_px * sin, self.y + along_px * sin + across_px * cos

    def grown(self, margin_px: float) -> Box:
        """The same box, `margin_px` larger on each side."""
        return Box(
            x=self.x,
            y=self.y,
            length_px=self.length_px + 2 * margin_px,
            width_px=self.width_px + 2 * margin_px,
            angle_rad=self.angle_rad,
        )

    def corners(self) -> tuple[Point, Point, Point, Point]:
        """The four corners, counterclockwise seen with y up (RFC 7946's exterior ring order on a north-up map)."""
        half_l, half_w = self.length_px / 2, self.width_px / 2
        signs = ((1, 1), (1, -1), (-1, -1), (-1, 1))
        a, b, c, d = (self.point(s * half_l, t * half_w) for s, t in signs)
        return a, b, c, d


def box_distance(box: Box, x: FloatArray, y: FloatArray) -> FloatArray:
    """Signed distance to a box (negative inside), pixels."""
    along, across = box.local(x, y)
    dx, dy = np.abs(along) - box.length_px / 2, np.abs(across) - box.width_px / 2
    outside = np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0))
    return outside + np.minimum(np.maximum(dx, dy), 0.0)


def coverage(distance_px: FloatArray) -> FloatArray:
    """Share of a canvas cell inside a shape, from the signed distance of its centre."""
    return np.clip(0.5 - distance_px * SUBSAMPLES, 0.0, 1.0)


def paint_box(layer: FloatArray, canvas: Canvas, box: Box, colour: FloatArray, opacity: float = 1.0) -> None:
    """Paint a box of one colour (4, 1, 1) onto a (4, rows, columns) layer, in place."""
    rows, columns = canvas.window(box.x, box.y, box.radius_px + 1)
    distance = box_distance(box, canvas.x[None, columns], canvas.y[rows, None])
    blend(layer, rows, columns, colour, opacity * coverage(distance))


def paint_disc(layer: FloatArray, canvas: Canvas, centre: Point, radius_px: float, colour: FloatArray) -> None:
    """Paint a disc onto a (4, rows, columns) layer, in place."""
    rows, columns = canvas.window(centre[0], centre[1], radius_px + 1)
    distance = np.hypot(canvas.x[None, columns] - centre[0], canvas.y[rows, None] - centre[1]) - radius_px
    blend(layer, rows, columns, colour, coverage(distance))


def segment_boxes(points: Sequence[Point], width_px: float) -> list[Box]:
    """A polyline as boxes, one for each segment, each lengthened by half a width so that the joints close."""
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(points):
        length_px = float(np.hypot(x1 - x0, y1 - y0))
        if length_px == 0.0:
            continue
        boxes.append(
            Box(
                x=(x0 + x1) / 2,
                y=(y0 + y1) / 2,
                length_px=length_px + width_px * 0.5,
                width_px=width_px,
                angle_rad=float(np.arctan2(y1 - y0, x1 - x0)),
            )
        )
    return boxes


def blend(layer: FloatArray, rows: slice, columns: slice, colour: FloatArray, alpha: FloatArray) -> None:
    """Mix a colour (4, 1, 1) or (4, rows, columns) into a window of a layer, in place."""
    part = layer[:, rows, columns]
    part += (colour - part) * alpha

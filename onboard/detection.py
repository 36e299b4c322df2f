"""A detection: one object seen in an image, as an oriented box."""

from __future__ import annotations

import math
from dataclasses import dataclass

Corner = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One object with a calibrated confidence and the four corners of its oriented box."""

    class_id: int
    """Index into the model's classes."""
    confidence: float
    """Calibrated probability, 0..1, that an object of this class is there."""
    corners_px: tuple[Corner, Corner, Corner, Corner]
    """Corners (x, y) in turn around the box, in pixels of the array that was passed in.

    x is the column, y the row; the pixel in row 0, column 0 covers [0, 1) x [0, 1)."""

    def __post_init__(self) -> None:
        if self.class_id < 0:
            raise ValueError(f"class_id {self.class_id} is negative; it indexes the model's classes")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence {self.confidence} is not a probability; calibrate it to 0..1")
        if len(self.corners_px) != 4 or not all(math.isfinite(value) for corner in self.corners_px for value in corner):
            raise ValueError(f"corners_px {self.corners_px} are not four finite (x, y) pairs")

    @property
    def center_px(self) -> Corner:
        """Mean of the corners (x, y)."""
        return sum(x for x, _ in self.corners_px) / 4, sum(y for _, y in self.corners_px) / 4

    @property
    def length_px(self) -> float:
        """The longer side."""
        first, second, third, _ = self.corners_px
        return max(math.dist(first, second), math.dist(second, third))

    def shifted(self, dx: float, dy: float) -> Detection:
        """The same detection in a frame whose origin lies (dx, dy) pixels to the left and above."""
        first, second, third, fourth = ((x + dx, y + dy) for x, y in self.corners_px)
        return Detection(class_id=self.class_id, confidence=self.confidence, corners_px=(first, second, third, fourth))

"""What a step of an image leaves wrong, measured on the pixels as the ground has them (pure numpy).

Not every row is looked at: of an image with more than `MEASURED_PIXELS` pixels and at least `LEAST_ROWS` rows a regular sample is,
every n-th from the middle of the first n on. Neighbouring rows go wrong alike, so the sample says what all of them would.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

MEASURED_PIXELS: Final = 1 << 16
"""Of larger images every n-th row is measured, so that about so many pixels are."""
LEAST_ROWS: Final = 64
"""Rows that are measured where an image has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distortion:
    """Mean squared error in DN squared, over valid pixels and all bands."""

    mse: float
    """Every valid pixel alike."""
    weighted_mse: float
    """Each pixel weighted by what it matters; equal to `mse` without weights."""


NO_DISTORTION: Final = Distortion(mse=0.0, weighted_mse=0.0)


class DistortionMeter:
    """Compares what is rebuilt of one image with the image, on its sampled rows."""

    def __init__(
        self, pixels: np.ndarray, valid: np.ndarray, weights: np.ndarray | None, *, all_rows: bool = False
    ) -> None:
        """`pixels` (bands, h, w), `valid` (h, w) bool, `weights` (h, w) of 0 or more; None weighs all valid pixels alike."""
        height, width = valid.shape
        stride = 1 if all_rows else max(1, min(height // LEAST_ROWS, height * width // MEASURED_PIXELS))
        sampled = slice(stride // 2, None, stride)
        mattering = valid if weights is None else valid & (weights > 0)
        if not mattering[sampled].any():
            sampled = slice(None)
        self.rows: slice = sampled
        """The rows that are looked at."""
        self._pixels = pixels[:, sampled].astype(np.float32)
        self._valid = valid[sampled].astype(np.float64)
        self._weights = self._valid if weights is None else weights[sampled] * self._valid

    def distortion(self, rebuilt: np.ndarray) -> Distortion:
        """Of `rebuilt`, the sampled rows (bands, rows, w) of an image."""
        error = np.zeros(self._valid.shape)
        for band, other in zip(self._pixels, rebuilt, strict=True):
            difference = band - other
            error += np.multiply(difference, difference, dtype=np.float64)
        mse = self._mean(error, self._valid)
        return Distortion(
            mse=mse, weighted_mse=mse if self._weights is self._valid else self._mean(error, self._weights)
        )

    def _mean(self, error: np.ndarray, weights: np.ndarray) -> float:
        total = float(weights.sum()) * len(self._pixels)
        return float(np.vdot(error, weights)) / total if total else 0.0


def never_rising(steps: list[Distortion]) -> list[Distortion]:
    """What may be stated of each step: no less than of any later one."""
    stated: list[Distortion] = []
    for step in reversed(steps):
        after = stated[-1] if stated else step
        stated.append(Distortion(mse=max(step.mse, after.mse), weighted_mse=max(step.weighted_mse, after.weighted_mse)))
    return stated[::-1]

"""What coding an image would give, before it is coded: bytes and error of every step (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockForecast:
    """The expected outcome of `downlink.image_encoding.encode_image`."""

    size_bytes: tuple[int, ...]
    """Payload bytes of each step, not cumulative."""
    mse: tuple[float, ...]
    """Mean squared error over valid pixels and all bands once the step has arrived, in DN squared; the last is 0."""


def forecast(pixels: np.ndarray, valid: np.ndarray, quality_percent: Sequence[float]) -> BlockForecast:
    """Expected bytes and error of coding `pixels` (bands, height, width), uint8 or uint16, with `valid` (height, width)."""
    raw_bytes = pixels.size * pixels.itemsize
    known = pixels[:, ::8, ::8].astype(np.float64)
    variance = float(np.mean(np.diff(known, axis=2) ** 2)) / 2 if known.shape[2] > 1 else 0.0
    total = [raw_bytes * min(percent, 50.0) / 100 for percent in quality_percent]
    sizes = np.diff([0.0, *total])
    bits = np.array(total) * 8 / max(1, pixels.size)
    mse = [float(variance * 4.0**-rate) for rate in bits[:-1]]
    return BlockForecast(size_bytes=tuple(int(size) for size in sizes), mse=(*mse, 0.0))

"""A rebuilt window at half the resolution, for the overviews of its file (pure numpy).

Image bands are the rounded mean of the pixels that have data, so that masked pixels do not darken their neighbours.
Quality codes are not numbers to average (255 is no decibel): a reduced pixel carries the lowest code of the pixels that
went into it. Where no pixel has data the code is that of the best of them, 0 or 255.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ground.quality import BYTE_EXACT, Mask, QualityCodes
from ground.reconstruction import Pixels


def halved(
    pixels: Pixels, valid: Mask, quality: QualityCodes, *, fill: int, nodata: int | None
) -> tuple[Pixels, Mask, QualityCodes]:
    """Half of (bands, height, width) pixels with their mask and codes; odd edges round up, as GDAL's overviews do.

    A mean that lands on `nodata` moves by one DN, so that value and mask agree.
    """
    data = _two_by_two(valid).sum(axis=(-3, -1), dtype=np.uint32)
    sums = _two_by_two(np.where(valid, pixels, 0)).sum(axis=(-3, -1), dtype=np.uint32)
    means = (sums + data // 2) // np.maximum(data, 1)
    if nodata is not None:
        means[means == nodata] = nodata + 1 if nodata == 0 else nodata - 1
    reduced_valid = data > 0
    reduced: Pixels = np.where(reduced_valid, means, fill).astype(pixels.dtype.name)
    lowest = _two_by_two(np.where(valid, quality, BYTE_EXACT), padding=BYTE_EXACT).min(axis=(-3, -1))
    best = _two_by_two(quality).max(axis=(-3, -1))
    return reduced, reduced_valid, np.where(reduced_valid, lowest, best).astype(np.uint8)


def _two_by_two(values: NDArray[Any], *, padding: int = 0) -> NDArray[Any]:
    """(..., height, width) as (..., rows, 2, cols, 2), odd edges padded."""
    height, width = values.shape[-2:]
    margins = [(0, 0)] * (values.ndim - 2) + [(0, height % 2), (0, width % 2)]
    padded = np.pad(values, margins, constant_values=padding)
    return padded.reshape(*values.shape[:-2], (height + 1) // 2, 2, (width + 1) // 2, 2)

"""What was lost between a scene as taken and as rebuilt (pure numpy).

Pixels that never came are not compared: a PSNR is over the pixels that are there, and is only honest beside the
share of pixels that are (`valid_fraction`). Sums are exact integers and parts add up, so a scene larger than memory is
compared window by window with the same result in any order.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downlink.scene import Window
from ground.errors import ComparisonError
from ground.quality import Mask

UnsignedPixels = NDArray[np.unsignedinteger[Any]]
"""(bands, height, width), uint8 or uint16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredError:
    """Sum of squared differences; parts of a scene add up."""

    total: int
    """Over all samples compared, in DN squared."""
    samples: int
    """Samples compared: pixels times bands."""

    def __add__(self, other: "SquaredError") -> "SquaredError":
        return SquaredError(total=self.total + other.total, samples=self.samples + other.samples)

    @property
    def mse(self) -> float | None:
        """Mean squared error in DN squared; None when nothing was compared."""
        return self.total / self.samples if self.samples else None

    @property
    def identical(self) -> bool:
        """Whether something was compared and nothing differed."""
        return self.samples > 0 and self.total == 0

    def psnr_db(self, peak_dn: int) -> float | None:
        """Peak signal to noise ratio, 10 log10(peak^2 / mse); infinite when identical, None when nothing was compared."""
        if not self.samples:
            return None
        if not self.total:
            return math.inf
        return 20 * math.log10(peak_dn) - 10 * math.log10(self.total / self.samples)


NOTHING_COMPARED = SquaredError(total=0, samples=0)


def squared_error(original: UnsignedPixels, rebuilt: UnsignedPixels, where: Mask) -> SquaredError:
    """Compare the pixels of (bands, height, width) arrays where the (height, width) mask is True.

    Raises ComparisonError for arrays of different shape or type, or samples that are not uint8 or uint16.
    """
    for name, found, expected in (
        ("shape", rebuilt.shape, original.shape),
        ("type", rebuilt.dtype, original.dtype),
        ("mask shape", where.shape, original.shape[1:]),
    ):
        if found != expected:
            raise ComparisonError(
                f"rebuilt scene has {name} {found}, the original {expected}: compare the same window of both",
                found=found,
                expected=expected,
            )
    if original.dtype not in (np.uint8, np.uint16):
        raise ComparisonError(
            f"samples of type {original.dtype} are not compared; scenes are uint8 or uint16",
            found=str(original.dtype),
            expected="uint8 or uint16",
        )
    difference = original[:, where].astype(np.int64) - rebuilt[:, where]
    return SquaredError(total=int((difference * difference).sum()), samples=difference.size)


def scene_psnr_db(original: UnsignedPixels, rebuilt: UnsignedPixels, valid: Mask, *, peak_dn: int) -> float | None:
    """PSNR over the valid pixels of a scene in all bands; infinite when identical, None without valid pixels."""
    return squared_error(original, rebuilt, valid).psnr_db(peak_dn)


def roi_psnr_db(
    original: UnsignedPixels, rebuilt: UnsignedPixels, valid: Mask, *, regions: Iterable[Window], peak_dn: int
) -> float | None:
    """PSNR over the valid pixels of the regions of interest; where regions overlap, a pixel counts once."""
    return squared_error(original, rebuilt, valid & region_mask(valid.shape, regions)).psnr_db(peak_dn)


def region_mask(shape: tuple[int, ...], regions: Iterable[Window], *, origin: tuple[int, int] = (0, 0)) -> Mask:
    """(height, width) mask, True inside any region. `origin` (row, col) is where the mask's first pixel lies in the scene."""
    mask = np.zeros(shape, dtype=np.bool_)
    frame = Window(row=origin[0], col=origin[1], height=shape[0], width=shape[1])
    for region in regions:
        inside = region.intersection(frame)
        if inside is not None:
            mask[inside.shifted(-origin[0], -origin[1]).slices] = True
    return mask


def valid_fraction(rebuilt_valid: Mask, original_valid: Mask) -> float | None:
    """Share of the pixels with data on board that are on the ground; None for a scene without data.

    Raises ComparisonError for masks of different shape.
    """
    if rebuilt_valid.shape != original_valid.shape:
        raise ComparisonError(
            f"rebuilt mask has shape {rebuilt_valid.shape}, the original {original_valid.shape}: compare the same window",
            found=rebuilt_valid.shape,
            expected=original_valid.shape,
        )
    with_data = int(np.count_nonzero(original_valid))
    return int(np.count_nonzero(rebuilt_valid & original_valid)) / with_data if with_data else None

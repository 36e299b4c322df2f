"""How good a rebuilt pixel is, in one byte, and the sums over a scene.

    code       meaning
    0          nothing came: the pixel is masked
    1 to 254   estimated PSNR in steps of half a decibel: PSNR = code / 2 dB, from the mean squared error that the
               onboard computer measured and stated for the image the pixel came from
    255        byte-exact: the same number as on board, in every band

The estimate holds for an image as a whole, not for each of its pixels. It is rounded down from the error as stated
(which an image header carries within 4.5 %, 0.2 dB) and clipped to 1 and 254. A pixel that came and has no data on
board is 255 too: it is known exactly that nothing was there.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ground.errors import QualityError

NOTHING_CAME: Final = 0
WORST_ESTIMATE: Final = 1
BEST_ESTIMATE: Final = 254
BYTE_EXACT: Final = 255
STEPS_PER_DB: Final = 2

CODES_IN_WORDS: Final = "0 = nothing came; 1..254 = estimated PSNR in dB times 2; 255 = byte-exact"
"""One line for file metadata."""

Mask = NDArray[np.bool_]
"""(height, width)."""
QualityCodes = NDArray[np.uint8]
"""(height, width), codes as above."""


def quality_code(*, mse: float, lossless: bool, peak_dn: int) -> int:
    """Code of an image with a stated mean squared error (DN squared) in a scene whose full scale is `peak_dn`.

    PSNR = 10 log10(peak_dn^2 / mse). Raises QualityError for an error that is negative or not a number, or a peak
    below 1.
    """
    if math.isnan(mse) or mse < 0:
        raise QualityError(f"mean squared error {mse} is not a distortion: it must be 0 or more", value=mse)
    if peak_dn < 1:
        raise QualityError(f"peak of {peak_dn} DN gives no PSNR: it must be 1 or more", value=peak_dn)
    if lossless:
        return BYTE_EXACT
    if mse == 0:
        return BEST_ESTIMATE
    if math.isinf(mse):
        return WORST_ESTIMATE
    half_decibels = math.floor(STEPS_PER_DB * (20 * math.log10(peak_dn) - 10 * math.log10(mse)))
    return max(WORST_ESTIMATE, min(BEST_ESTIMATE, half_decibels))


def psnr_of_code_db(code: int) -> float | None:
    """PSNR that a code stands for: None where nothing came, infinite for byte-exact. Raises QualityError outside 0..255."""
    if not NOTHING_CAME <= code <= BYTE_EXACT:
        raise QualityError(f"quality code {code} is outside 0..255", value=code)
    if code == NOTHING_CAME:
        return None
    return math.inf if code == BYTE_EXACT else code / STEPS_PER_DB


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityStatistics:
    """Counts of pixels by quality, over a scene or a part of it; parts add up."""

    valid_px: int
    """Pixels that came and have data."""
    valid_by_code: tuple[int, ...]
    """256 counts of valid pixels, by code."""
    nodata_px: int
    """Pixels that came and have no data on board."""
    missing_px: int
    """Pixels that never came."""

    @classmethod
    def of(cls, valid: Mask, quality: QualityCodes) -> Self:
        """Count the pixels of a window."""
        by_code = np.bincount(quality[valid], minlength=256)
        missing = int(np.count_nonzero(quality == NOTHING_CAME))
        return cls(
            valid_px=int(by_code.sum()),
            valid_by_code=tuple(int(count) for count in by_code),
            nodata_px=int(quality.size - by_code.sum() - missing),
            missing_px=missing,
        )

    @classmethod
    def none(cls) -> Self:
        """Of no pixel: the neutral element of addition."""
        return cls(valid_px=0, valid_by_code=(0,) * 256, nodata_px=0, missing_px=0)

    def __add__(self, other: "QualityStatistics") -> "QualityStatistics":
        return QualityStatistics(
            valid_px=self.valid_px + other.valid_px,
            valid_by_code=tuple(a + b for a, b in zip(self.valid_by_code, other.valid_by_code, strict=True)),
            nodata_px=self.nodata_px + other.nodata_px,
            missing_px=self.missing_px + other.missing_px,
        )

    @property
    def pixels(self) -> int:
        return self.valid_px + self.nodata_px + self.missing_px

    @property
    def valid_fraction(self) -> float:
        """Share of all pixels that came and have data."""
        return self.valid_px / self.pixels if self.pixels else 0.0

    @property
    def arrived_fraction(self) -> float:
        """Share of all pixels of which something came, those without data included."""
        return (self.valid_px + self.nodata_px) / self.pixels if self.pixels else 0.0

    @property
    def byte_exact_fraction(self) -> float:
        """Share of all pixels that are as on board, those without data included."""
        return (self.valid_by_code[BYTE_EXACT] + self.nodata_px) / self.pixels if self.pixels else 0.0

    def code_at_share(self, share: float) -> int | None:
        """Code that `share` (0 to 1) of the valid pixels do not exceed; 0.5 is the median. None without valid pixels."""
        if not self.valid_px:
            return None
        below = np.cumsum(self.valid_by_code)
        return int(np.searchsorted(below, max(1.0, share * self.valid_px)))

"""How many bits an image takes at a given squared error, guessed from its details without coding it (pure numpy).

Bands are decorrelated, pixels taken apart by an orthonormal Haar transform, and the coefficients of each small square of a subband count as
normal with the variance found there. Reverse water-filling (T. Cover, J. Thomas, Elements of Information Theory, 13.3) then gives
bits and squared error for one level of the water after the other. The guess is meant for comparing two ways to code one image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

TILE_PX: Final = 64
"""Side of the squares that are looked at."""
DECOMPOSITIONS: Final = 4
SQUARE_PX: Final = 8
"""Side of the squares of coefficients that share a variance."""
WATER_LEVELS: Final = 2.0 ** np.arange(-3.5, 26.5, 0.5)
"""From about the error of rounding, where coding is lossless, to that of no image, DN squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateEstimate:
    """Bits per sample and mean squared error at each of the water levels: the more water, the fewer bits and the more error."""

    bits: np.ndarray
    """(levels,) float64, falling."""
    mse: np.ndarray
    """(levels,) float64, rising, DN squared."""

    def mse_at(self, bits: float) -> float:
        """Mean squared error once so many bits per sample are spent."""
        return float(np.exp(np.interp(bits, self.bits[::-1], np.log(self.mse[::-1]))))

    def bits_at(self, mse: float) -> float:
        """Bits per sample that a mean squared error takes; 0 where nothing need be coded."""
        return float(np.interp(math.log(mse), np.log(self.mse), self.bits, right=0.0))


def sample_corners(height: int, width: int, *, most: int) -> list[tuple[int, int]]:
    """(row, column) of up to `most` tiles spread evenly over an image; none where it is smaller than one."""
    rows, cols = height // TILE_PX, width // TILE_PX
    count = rows * cols
    chosen = (
        range(count)
        if count <= most
        else (number * count // most + (number % 3) % (count // most) for number in range(most))
    )
    return [(place // cols * TILE_PX, place % cols * TILE_PX) for place in chosen]


def estimate_rate(tiles: np.ndarray) -> RateEstimate:
    """The estimate for samples or differences (tiles, bands, TILE_PX, TILE_PX) of one image, unknown ones 0."""
    components = _decorrelated(tiles.astype(np.float32))
    counts, variances = [], []
    rest = components
    for _ in range(DECOMPOSITIONS):
        rest, *details = _haar(rest)
        for detail in details:
            count, variance = _square_variances(detail)
            counts.append(np.full(variance.size, count))
            variances.append(variance)
    # What is left are means; they differ over the whole image.
    coarse = rest.transpose(1, 0, 2, 3).reshape(rest.shape[1], -1)
    counts.append(np.full(len(coarse), coarse.shape[1]))
    variances.append(coarse.var(axis=1))
    return _water_filled(np.concatenate(counts), np.concatenate(variances).astype(np.float64), components.size)


def byte_ratios(
    alone: RateEstimate, difference: RateEstimate, *, ladder_bits: Sequence[float], header_bits: float
) -> np.ndarray:
    """Bits of the difference over those alone, at the quality that coding alone has at each of `ladder_bits`, and lossless at the end.

    `ladder_bits` are per sample, and so are `header_bits`, which naming the reference takes.
    """
    spent = [min(bits, float(alone.bits[0])) for bits in ladder_bits]
    ratios = [(difference.bits_at(alone.mse_at(bits)) + header_bits) / max(bits, 1e-6) for bits in spent]
    return np.array([*ratios, (difference.bits[0] + header_bits) / max(float(alone.bits[0]), 1e-6)])


def _decorrelated(tiles: np.ndarray) -> np.ndarray:
    """Bands turned to the principal axes of their details."""
    bands = tiles.shape[1]
    if bands == 1:
        return tiles
    details = np.diff(tiles, axis=3).transpose(1, 0, 2, 3).reshape(bands, -1)
    axes = np.linalg.eigh(np.asarray(details @ details.T, np.float64))[1]
    turned: np.ndarray = np.einsum("cb,nbhw->nchw", axes.T.astype(np.float32), tiles, optimize=True)
    return turned


def _haar(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One orthonormal step: the means, and details across, down and both."""
    top, bottom = levels[..., ::2, :], levels[..., 1::2, :]
    total, down = top + bottom, top - bottom
    left, right = (slice(0, None, 2), slice(1, None, 2))
    return (
        (total[..., left] + total[..., right]) / 2,
        (total[..., left] - total[..., right]) / 2,
        (down[..., left] + down[..., right]) / 2,
        (down[..., left] - down[..., right]) / 2,
    )


def _square_variances(detail: np.ndarray) -> tuple[int, np.ndarray]:
    """Coefficients per square, and the mean square of each square."""
    side = min(SQUARE_PX, detail.shape[-1])
    across = detail.shape[-1] // side
    squares = (detail * detail).reshape(-1, across, side, across, side)
    return side * side, squares.mean(axis=(2, 4)).ravel()


def _water_filled(counts: np.ndarray, variances: np.ndarray, samples: int) -> RateEstimate:
    above = np.maximum(np.log2(np.maximum(variances, 1e-9)[None] / WATER_LEVELS[:, None]), 0)
    under = np.minimum(variances[None], WATER_LEVELS[:, None])
    return RateEstimate(bits=above @ counts / (2 * samples), mse=np.maximum(under @ counts / samples, 1e-6))

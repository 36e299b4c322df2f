"""Bands of an image decorrelated reversibly, in whole numbers (pure numpy).

The bands of a scene look alike, so coding each on its own says much of it several times. A Karhunen-Loeve transform
gathers what they share in the first component. Ours is fitted to the covariance of the *differences* between neighbouring pixels, not of
the pixels: what a wavelet coder spends its bits on are details, and bands may agree in their details where they do not in their levels.

The orthonormal matrix A is factored into unit triangular matrices, A = P L U S (P. Hao, Q. Shi, Matrix factorizations for reversible
integer mapping, IEEE Trans. Signal Processing 49, 2001): each of the three steps adds to a band a rounded sum of other bands, so it is
undone exactly by subtracting the same sum. The coefficients are 16-bit fixed point, and both ends compute in
integers alone: what one machine codes another decodes to the bit.
"""

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.errors import LayerError

MOST_BANDS: Final = 16
"""Images of more bands are coded band by band: the coefficients would weigh more than they save."""
FRACTION_BITS: Final = 10
COEFFICIENT_LIMIT: Final = 1 << 15
LEAST_SAVING: Final = 0.02
"""Share of the coded bits that the transform must promise to save."""
CODED_BITS_FLOOR: Final = 0.7
"""A band whose details are weaker than this many DN costs no fewer bits for it: rounding makes noise of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BandTransform:
    """One reversible transform over the bands of an image. Coefficients in units of 2^-10."""

    means: tuple[int, ...]
    """Taken from each band first, DN."""
    order: tuple[int, ...]
    """P: component `order[k]` is row k of the triangular steps."""
    lower: tuple[int, ...]
    """L below its diagonal of ones, row by row."""
    upper: tuple[int, ...]
    """U above its diagonal of ones, row by row."""
    single: tuple[int, ...]
    """S: the last row before its one."""

    @property
    def bands(self) -> int:
        return len(self.means)

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        """Components (bands, height, width) int64 of pixels of the same shape."""
        rows = [band.astype(np.int64) - mean for band, mean in zip(pixels, self.means, strict=True)]
        rows[-1] += _weighted(rows[:-1], self.single)
        for row, weights, _, behind in self._upper_steps(rows):
            row += _weighted(behind, weights)
        for row, weights, before, _ in self._lower_steps(rows):
            row += _weighted(before, weights)
        components = np.empty((self.bands, *pixels.shape[1:]), np.int64)
        for row, component in zip(rows, self.order, strict=True):
            components[component] = row
        return components

    def inverse(self, components: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The pixels of `components`, clipped to what `dtype` holds: exact where the components are."""
        rows = [components[component].astype(np.int64) for component in self.order]
        for row, weights, before, _ in reversed(self._lower_steps(rows)):
            row -= _weighted(before, weights)
        for row, weights, _, behind in reversed(self._upper_steps(rows)):
            row -= _weighted(behind, weights)
        rows[-1] -= _weighted(rows[:-1], self.single)
        limits = np.iinfo(dtype)
        levels = (row + mean for row, mean in zip(rows, self.means, strict=True))
        return np.stack([np.clip(level, limits.min, limits.max).astype(dtype) for level in levels])

    def pack(self) -> bytes:
        """Big-endian: means (2 bytes each), order (1 each), S, U, L (2 each)."""
        coefficients = (*self.single, *self.upper, *self.lower)
        return struct.pack(f">{self.bands}H{self.bands}B{len(coefficients)}h", *self.means, *self.order, *coefficients)

    @staticmethod
    def size_bytes(bands: int) -> int:
        """Bytes that a transform of so many bands packs to."""
        return 3 * bands + 2 * (bands - 1) * (bands + 1)

    @classmethod
    def unpack(cls, data: bytes, bands: int) -> "BandTransform":
        """Raises LayerError for anything that `pack` does not make for so many bands."""
        half = bands * (bands - 1) // 2
        size_bytes = cls.size_bytes(bands)
        if not 2 <= bands <= MOST_BANDS or len(data) != size_bytes:
            raise LayerError(
                f"band transform of {len(data)} bytes for {bands} bands: {size_bytes} are needed, for 2 to {MOST_BANDS} bands"
            )
        numbers = struct.unpack(f">{bands}H{bands}B{bands - 1 + 2 * half}h", data)
        order, rest = numbers[bands : 2 * bands], numbers[2 * bands :]
        if sorted(order) != list(range(bands)):
            raise LayerError(f"band transform with the component order {order} for {bands} bands")
        single, upper, lower = rest[: bands - 1], rest[bands - 1 : bands - 1 + half], rest[bands - 1 + half :]
        return cls(means=numbers[:bands], order=order, lower=lower, upper=upper, single=single)

    def _upper_steps(self, rows: list[np.ndarray]) -> list["_Step"]:
        """Rows from the first on: each takes from those behind it, which are untouched."""
        steps, at = [], 0
        for k in range(self.bands - 1):
            weights = self.upper[at : at + self.bands - 1 - k]
            steps.append((rows[k], weights, rows[:k], rows[k + 1 :]))
            at += len(weights)
        return steps

    def _lower_steps(self, rows: list[np.ndarray]) -> list["_Step"]:
        """Rows from the last on: each takes from those before it, which are untouched."""
        steps = []
        for k in range(self.bands - 1, 0, -1):
            at = k * (k - 1) // 2
            steps.append((rows[k], self.lower[at : at + k], rows[:k], rows[k + 1 :]))
        return steps


_Step = tuple[np.ndarray, tuple[int, ...], list[np.ndarray], list[np.ndarray]]


def fit_band_transform(pixels: np.ndarray, valid: np.ndarray) -> BandTransform | None:
    """The transform for `pixels` (bands, height, width), or None where it would save less than `LEAST_SAVING`.

    `valid` is (height, width) bool; other pixels have no say. The promise is that of high-rate coding: half the binary logarithm
    of the product of the variances, before against after.
    """
    bands = pixels.shape[0]
    if not 2 <= bands <= MOST_BANDS:
        return None
    covariance = _detail_covariance(pixels, valid)
    if covariance is None:
        return None
    matrix = _principal_axes(covariance)
    floor = CODED_BITS_FLOOR**2
    before_bits = _detail_bits(np.diag(covariance), floor)
    after_bits = _detail_bits(np.diag(matrix @ covariance @ matrix.T), floor)
    if before_bits - after_bits <= LEAST_SAVING * max(before_bits, 1.0):
        return None
    factors = _factored(matrix)
    if factors is None:
        return None
    order, lower, upper, single = factors
    means = np.rint(pixels[:, valid].mean(axis=1)).astype(int)
    return BandTransform(means=tuple(map(int, means)), order=order, lower=lower, upper=upper, single=single)


def _weighted(rows: list[np.ndarray], weights: tuple[int, ...]) -> np.ndarray:
    """The rounded sum of rows times weights, the one rounding that both directions share."""
    total = np.full(rows[0].shape, 1 << (FRACTION_BITS - 1), np.int64)
    for row, weight in zip(rows, weights, strict=True):
        if weight:
            total += row * weight
    return total >> FRACTION_BITS


def _detail_covariance(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
    """Covariance (bands, bands) of differences to the right and lower neighbour, DN squared; None for too few pixels."""
    levels = pixels.astype(np.float64)
    right = np.diff(levels, axis=2)[:, valid[:, 1:] & valid[:, :-1]]
    below = np.diff(levels, axis=1)[:, valid[1:] & valid[:-1]]
    details = np.concatenate([right, below], axis=1)
    if details.shape[1] < 4 * pixels.shape[0]:
        return None
    covariance: np.ndarray = details @ details.T / details.shape[1]
    return covariance


def _principal_axes(covariance: np.ndarray) -> np.ndarray:
    """Orthonormal rows, the strongest first."""
    axes: np.ndarray = np.linalg.eigh(covariance)[1][:, ::-1].T.copy()
    return axes


def _detail_bits(variances: np.ndarray, floor: float) -> float:
    """Bits per pixel of all bands, up to a constant, as high-rate theory has them."""
    return sum(0.5 * math.log2(max(variance, floor) / floor) for variance in variances)


_Factors = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _factored(matrix: np.ndarray) -> _Factors | None:
    """The order and triangular factors of the matrix, some of its rows negated if that needs smaller coefficients.

    None where every choice has a coefficient out of range.
    """
    bands = len(matrix)
    found = []
    for negated in range(-1, bands):
        signs = np.ones(bands)
        if negated >= 0:
            signs[negated] = -1
        factors = _triangular(matrix * signs[:, None])
        if factors is not None:
            found.append(factors)
    limit = COEFFICIENT_LIMIT - 1
    best = min(found, key=lambda factors: max(map(_largest, factors[1:])), default=None)
    return None if best is None or max(map(_largest, best[1:])) > limit else best


def _largest(coefficients: tuple[int, ...]) -> int:
    return max(map(abs, coefficients))


def _triangular(matrix: np.ndarray) -> _Factors | None:
    """Order, L, U and S in fixed point; None where a pivot vanishes, or L U S would need a negative one at its end."""
    bands = len(matrix)
    work, order = matrix.copy(), list(range(bands))
    lower, single = np.eye(bands), np.zeros(bands - 1)
    for k in range(bands - 1):
        usable = [row for row in range(k, bands) if abs(work[row, -1]) > 1e-6]
        if not usable:
            return None
        pivot = min(usable, key=lambda row: abs((work[row, k] - 1) / work[row, -1]))
        single[k] = (work[pivot, k] - 1) / work[pivot, -1]
        work[[k, pivot]], lower[[k, pivot], :k] = work[[pivot, k]], lower[[pivot, k], :k]
        order[k], order[pivot] = order[pivot], order[k]
        work[:, k] -= single[k] * work[:, -1]
        lower[k + 1 :, k] = work[k + 1 :, k]
        work[k + 1 :] -= np.outer(lower[k + 1 :, k], work[k])
    if work[-1, -1] < 0:
        return None
    parts = (lower[np.tril_indices(bands, -1)], work[np.triu_indices(bands, 1)], single)
    below, above, last = (tuple(int(value) for value in np.rint(part * (1 << FRACTION_BITS))) for part in parts)
    return tuple(order), below, above, last

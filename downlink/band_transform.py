"""Bands of an image decorrelated reversibly, in whole numbers (pure numpy).

The bands of a scene look alike, so coding each on its own says much of it several times. A Karhunen-Loeve transform
gathers what they share in the first component. Ours is fitted to the covariance of the *differences* between neighbouring pixels, not of
the pixels: what a wavelet coder spends its bits on are details, and bands may agree in their details where they do not in their levels.
The difference of an image to its prediction is transformed in the same way.

The orthonormal matrix A is factored into unit triangular matrices, A = P L U S (P. Hao, Q. Shi, Matrix factorizations for reversible
integer mapping, IEEE Trans. Signal Processing 49, 2001): each of the three steps adds to a band a rounded sum of other bands, so it is
undone exactly by subtracting the same sum. The coefficients are fixed point, as fine as the image is large, and both ends compute in
integers alone: what one machine codes another decodes to the bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.errors import LayerError
from downlink.varint import read_varint, unzigzag, varint, zigzag

MOST_BANDS: Final = 16
"""Images of more bands are coded band by band: the coefficients would weigh more than they save."""
FRACTION_BITS: Final = range(6, 11)
"""Of coefficients: what the fit chooses from."""
LARGEST_MEAN: Final = (1 << 16) - 1
"""Of either sign, DN."""
COEFFICIENT_LIMIT: Final = 1 << 15
LEAST_SAVING: Final = 0.02
"""Share of the coded bits that the transform must promise to save."""
CODED_BITS_FLOOR: Final = 0.7
"""A band whose details are weaker than this many DN costs no fewer bits for it: rounding makes noise of its own."""
HEADER_WEIGHT: Final = 8
"""A bit of coefficients counts as so many others where their fineness is chosen: they travel first, most others later or never."""
FITTED_PIXELS: Final = 1 << 15
"""Of larger images every n-th row is looked at, n odd, so that about so many pixels are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BandTransform:
    """One reversible transform over the bands of an image. Coefficients in units of 2^-fraction_bits."""

    means: tuple[int, ...]
    """Taken from each band first, DN; negative ones occur in differences."""
    order: tuple[int, ...]
    """P: component `order[k]` is row k of the triangular steps."""
    lower: tuple[int, ...]
    """L below its diagonal of ones, row by row."""
    upper: tuple[int, ...]
    """U above its diagonal of ones, row by row."""
    single: tuple[int, ...]
    """S: the last row before its one."""
    fraction_bits: int
    """Of the coefficients, 0 to 15."""

    @property
    def bands(self) -> int:
        return len(self.means)

    def forward(self, samples: np.ndarray) -> np.ndarray:
        """Components (bands, height, width), int32 or int64, of whole samples of the same shape."""
        rows = _Rows([np.subtract(band, mean, dtype=np.int32) for band, mean in zip(samples, self.means, strict=True)])
        for row, others, weights in self._steps():
            rows.add(row, others, weights, self.fraction_bits)
        inverse_order = np.argsort(self.order)
        return np.stack([rows.rows[row] for row in inverse_order])

    def inverse(self, components: np.ndarray) -> np.ndarray:
        """The samples of `components`, int32 or int64: exact where the components are."""
        work = np.int32 if components.dtype.itemsize <= 4 else np.int64
        rows = _Rows([components[component].astype(work) for component in self.order])
        for row, others, weights in reversed(self._steps()):
            rows.subtract(row, others, weights, self.fraction_bits)
        for samples, mean in zip(rows.rows, self.means, strict=True):
            samples += mean
        return np.stack(rows.rows)

    def pack(self) -> bytes:
        """Varints of the zigzag means; the order's number among all orders; one byte of fraction bits and coefficient bits less one,
        4 bits each; S, U and L in so many bits each, two's complement, the first in the highest bits, filled up with zeros."""
        coefficients = (*self.single, *self.upper, *self.lower)
        bits = max(1 + max(value, -1 - value).bit_length() for value in coefficients)
        number = 0
        for value in coefficients:
            number = number << bits | value & (1 << bits) - 1
        size_bits = bits * len(coefficients)
        size_bytes = -(-size_bits // 8)
        return b"".join(
            (
                *(varint(zigzag(mean)) for mean in self.means),
                _order_number(self.order).to_bytes(_order_bytes(self.bands), "big"),
                bytes([self.fraction_bits << 4 | bits - 1]),
                (number << 8 * size_bytes - size_bits).to_bytes(size_bytes, "big"),
            )
        )

    @classmethod
    def read(cls, data: bytes, at: int, bands: int) -> "tuple[BandTransform, int]":
        """The transform of so many bands that starts at byte `at`, and where it ends. Raises LayerError for what is none."""
        if not 2 <= bands <= MOST_BANDS:
            raise LayerError(f"band transform for {bands} bands: there are some for 2 to {MOST_BANDS}")
        means = []
        for _ in range(bands):
            mean, at = read_varint(data, at)
            means.append(unzigzag(mean))
        half, count = bands * (bands - 1) // 2, (bands - 1) * (bands + 1)
        order_end = at + _order_bytes(bands)
        order_number, widths = int.from_bytes(data[at:order_end], "big"), data[order_end : order_end + 1]
        fraction_bits, bits = (widths[0] >> 4, 1 + (widths[0] & 15)) if widths else (0, 0)
        end = order_end + 1 + -(-bits * count // 8)
        if (
            not widths
            or end > len(data)
            or order_number >= math.factorial(bands)
            or max(map(abs, means)) > LARGEST_MEAN
        ):
            raise LayerError(f"band transform for {bands} bands is cut or damaged: order {order_number}, means {means}")
        numbers = int.from_bytes(data[order_end + 1 : end], "big") >> -bits * count % 8
        raw = (numbers >> bits * (count - 1 - k) & (1 << bits) - 1 for k in range(count))
        values = tuple(value - (value >> bits - 1 << bits) for value in raw)
        transform = cls(
            means=tuple(means),
            order=_order_of(order_number, bands),
            single=values[: bands - 1],
            upper=values[bands - 1 : bands - 1 + half],
            lower=values[bands - 1 + half :],
            fraction_bits=fraction_bits,
        )
        return transform, end

    def _steps(self) -> list["_Step"]:
        """Row, the rows whose weighted sum it gets, and their weights, in the order of `forward`."""
        last = self.bands - 1
        steps: list[_Step] = [(last, range(last), self.single)]
        at = 0
        for k in range(last):
            steps.append((k, range(k + 1, self.bands), self.upper[at : at + last - k]))
            at += last - k
        for k in range(last, 0, -1):
            at = k * (k - 1) // 2
            steps.append((k, range(k), self.lower[at : at + k]))
        return steps


_Step = tuple[int, range, tuple[int, ...]]


class _Rows:
    """The rows of a transform on their way, with a bound of each, so that sums are computed in 32 bits wherever they fit."""

    def __init__(self, rows: list[np.ndarray]) -> None:
        self.rows = rows
        self._reach = [max(-int(row.min()), int(row.max())) for row in rows]

    def add(self, row: int, others: range, weights: Sequence[int], fraction_bits: int) -> None:
        """Row `row` gets the rounded sum of other rows times weights."""
        total = self._weighted(row, others, weights, fraction_bits)
        if total is not None:
            self.rows[row] += total

    def subtract(self, row: int, others: range, weights: Sequence[int], fraction_bits: int) -> None:
        """Row `row` loses that sum: the same rounding."""
        total = self._weighted(row, others, weights, fraction_bits)
        if total is not None:
            self.rows[row] -= total

    def _weighted(self, row: int, others: range, weights: Sequence[int], fraction_bits: int) -> np.ndarray | None:
        used = [(self.rows[other], weight) for other, weight in zip(others, weights, strict=True) if weight]
        if not used:
            return None
        half = 1 << fraction_bits >> 1
        reach = half + sum(abs(weight) * self._reach[other] for other, weight in zip(others, weights, strict=True))
        self._reach[row] += (reach >> fraction_bits) + 1
        dtype = np.int32 if reach < 1 << 31 else np.int64
        if self._reach[row] >= 1 << 31:
            self.rows[row] = self.rows[row].astype(np.int64)
        (first, weight), *more = used
        total: np.ndarray = np.multiply(first, weight, dtype=dtype)
        product = np.empty_like(total)
        for other, weight in more:
            np.multiply(other, weight, out=product, dtype=dtype)
            total += product
        total += half
        total >>= fraction_bits
        return total


def _order_bytes(bands: int) -> int:
    """Bytes of an order's number."""
    return -(-(math.factorial(bands) - 1).bit_length() // 8)


def _order_number(order: Sequence[int]) -> int:
    """The place of an order among all in lexicographic sequence (Lehmer code)."""
    number, left = 0, sorted(order)
    for item in order:
        number = number * len(left) + left.index(item)
        left.remove(item)
    return number


def _order_of(number: int, bands: int) -> tuple[int, ...]:
    """The order of such a place."""
    places = []
    for choices in range(1, bands + 1):
        number, place = divmod(number, choices)
        places.append(place)
    left = list(range(bands))
    return tuple(left.pop(place) for place in reversed(places))


def fit_band_transform(samples: np.ndarray, valid: np.ndarray) -> BandTransform | None:
    """The transform for whole `samples` (bands, height, width), or None where it would save too little.

    `valid` is (height, width) bool; other pixels have no say. Of a large image a regular sample of rows is looked at. The promise is
    that of high-rate coding: half the binary logarithm of the product of the variances, before against after. It must be more
    than `LEAST_SAVING` of the bits, and more than twice what the coefficients take.
    """
    bands, height, width = samples.shape
    if not 2 <= bands <= MOST_BANDS:
        return None
    stride = height * width // FITTED_PIXELS | 1
    covariance = _detail_covariance(samples, valid, stride)
    if covariance is None:
        return None
    matrix = _principal_axes(covariance)
    floor = CODED_BITS_FLOOR**2
    before_bits = _detail_bits(np.diag(covariance), floor)
    after_bits = _detail_bits(np.diag(matrix @ covariance @ matrix.T), floor)
    if before_bits - after_bits <= LEAST_SAVING * max(before_bits, 1.0):
        return None
    order_and_factors = _factored(matrix)
    if order_and_factors is None:
        return None
    sampled, kept = samples[:, ::stride], valid[::stride]
    means = tuple(int(np.rint(band.mean(where=kept))) for band in sampled) if kept.any() else (0,) * bands
    pixels = int(np.count_nonzero(valid))
    found = []
    for fraction_bits in FRACTION_BITS:
        transform = _quantized(order_and_factors, means, fraction_bits)
        if transform is not None:
            matrix = _matrix_of(transform)
            spread = np.diag(matrix @ covariance @ matrix.T)
            cost = _detail_bits(spread, floor) * pixels + HEADER_WEIGHT * 8 * len(transform.pack())
            found.append((cost, fraction_bits, transform))
    if not found:
        return None
    _, _, best = min(found, key=lambda one: one[:2])
    return best if (before_bits - after_bits) * pixels > 2 * 8 * len(best.pack()) else None


def _detail_covariance(samples: np.ndarray, valid: np.ndarray, stride: int) -> np.ndarray | None:
    """Covariance (bands, bands) of differences to the right and lower neighbour, DN squared; None for too few pixels.

    Of every `stride`-th row and the one below it.
    """
    here, kept = samples[:, ::stride].astype(np.float32), valid[::stride]
    below, kept_below = samples[:, 1::stride].astype(np.float32), valid[1::stride]
    rows = below.shape[1]
    total, count = np.zeros((len(samples),) * 2), 0
    for details, both in (
        (here[:, :, 1:] - here[:, :, :-1], kept[:, 1:] & kept[:, :-1]),
        (below - here[:, :rows], kept_below & kept[:rows]),
    ):
        flat = details.reshape(len(samples), -1) if both.all() else details[:, both]
        total += np.einsum("ik,jk->ij", flat, flat, dtype=np.float64, optimize=True) if flat.size else 0
        count += flat.shape[1]
    return total / count if count >= 4 * len(samples) else None


def _principal_axes(covariance: np.ndarray) -> np.ndarray:
    """Orthonormal rows, the strongest first."""
    axes: np.ndarray = np.linalg.eigh(covariance)[1][:, ::-1].T.copy()
    return axes


def _detail_bits(variances: np.ndarray, floor: float) -> float:
    """Bits per pixel of all bands, up to a constant, as high-rate theory has them."""
    return sum(0.5 * math.log2(max(variance, floor) / floor) for variance in variances)


_Factors = tuple[tuple[int, ...], np.ndarray, np.ndarray, np.ndarray]
"""Order, L, U and S."""


def _factored(matrix: np.ndarray) -> _Factors | None:
    """The order and triangular factors of the matrix, some of its rows negated if that needs smaller coefficients.

    None where no choice has a factorization.
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
    return min(found, key=lambda factors: max(float(abs(part).max()) for part in factors[1:]), default=None)


def _triangular(matrix: np.ndarray) -> _Factors | None:
    """Order, L, U and S; None where a pivot vanishes, or L U S would need a negative one at its end."""
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
    return tuple(order), lower[np.tril_indices(bands, -1)], work[np.triu_indices(bands, 1)], single


def _quantized(factors: _Factors, means: tuple[int, ...], fraction_bits: int) -> BandTransform | None:
    """The transform with coefficients so fine, or None where one of them is out of range."""
    order, *parts = factors
    scaled = [np.rint(part * (1 << fraction_bits)) for part in parts]
    if max(float(abs(part).max()) for part in scaled) >= COEFFICIENT_LIMIT:
        return None
    lower, upper, single = (tuple(int(value) for value in part) for part in scaled)
    return BandTransform(means=means, order=order, lower=lower, upper=upper, single=single, fraction_bits=fraction_bits)


def _matrix_of(transform: BandTransform) -> np.ndarray:
    """What the transform multiplies by, roundings of sums aside: (bands, bands), rows in the order of its triangular steps."""
    matrix = np.eye(transform.bands)
    for row, others, weights in transform._steps():
        for other, weight in zip(others, weights, strict=True):
            matrix[row] += matrix[other] * (weight / (1 << transform.fraction_bits))
    return matrix

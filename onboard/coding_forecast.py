"""What coding an image would give, before it is coded: bytes and error of every step, from a sixteenth of its pixels (pure).

Small patches spread over the image are decorrelated across bands and taken through the wavelet of the coder (reversible 5/3,
ISO/IEC 15444-1 annex F, here in floating point and without rounding). The details of a subband are taken for Gaussian with a variance
that changes from place to place. At a threshold t a coefficient of variance v > t costs log2(v / t) / 2 bits and leaves the error t;
any other costs nothing and leaves v (reverse water-filling, Cover and Thomas, Elements of Information Theory, 10.3.3). Going through
all thresholds gives error against bits, and so the error at the bytes that each step may have.
Rounding is not foreseen: errors below one DN squared are understated.

A few numbers make it a forecast of this coder; `python -m benchmarks.coding_forecast` measures how well they fit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

PATCH_PX: Final = 16
"""Edge of a patch: four decompositions."""
PATCHES_PER_SIDE: Final = 8
"""Patches along each side of an image that is large enough for them."""
NEIGHBOURHOOD: Final = 4
"""Coefficients per side that share a variance."""
DETAIL_GAINS: Final = ((1.038, 0.7186), (1.592, 0.9218), (2.919, 1.586), (5.703, 3.043))
"""L2 norms of the synthesis functions of details along one axis and along both, by level, the finest first: how much an error
of one in a coefficient weighs in the pixels."""
APPROXIMATION_GAINS: Final = (1.0, 1.5, 2.75, 5.375, 10.68)
"""The same for what is left after so many levels."""
LEAST_SAVING_BITS: Final = 0.1
"""Bits per sample that band decorrelation must promise to be used."""
NOISE_VARIANCE: Final = 0.3
"""DN squared that whole-number arithmetic adds to what a band holds, as decorrelation sees it."""
THRESHOLDS: Final = 2.0 ** np.arange(34, -8, -0.25)

LOSSLESS_SPREAD: Final = 20.0
"""A whole number of variance v costs log2(1 + 20 v) / 2 bits; 2 e^2 = 14.8 would be a Laplace distribution."""
LOSSLESS_BITS: Final = 1.033
"""Bits that the coder spends over that."""
EXCESS_DB: Final = (1.2, 5.1)
"""Error of the coder over that of the thresholds: the first at the lowest rates, the second more towards lossless."""
HEADER_BYTES: Final = 30
"""Bytes of the first step that carry no pixels."""
UNSENT_BYTES: Final = 120
"""Bytes that the coder counts for headers of its own, which do not travel."""
EMPTY_STEP_BYTES: Final = 8
"""Payload of a step to which nothing was left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockForecast:
    """The expected outcome of `downlink.image_encoding.encode_image` for an image coded alone."""

    size_bytes: tuple[int, ...]
    """Payload bytes of each step, not cumulative."""
    mse: tuple[float, ...]
    """Mean squared error over valid pixels and all bands once the step has arrived, in DN squared; the last is 0."""


def forecast(pixels: NDArray[Any], valid: NDArray[np.bool_], quality_percent: Sequence[float]) -> BlockForecast:
    """Expected bytes and error of coding `pixels` (bands, height, width), uint8 or uint16, with `valid` (height, width).

    A step holds the bytes that `quality_percent` allows it, until everything is said: the rest is empty, and exact.
    """
    samples, valid_fraction = _patches(pixels, valid)
    details = _joined(_details(samples))
    lossless_bytes = HEADER_BYTES + LOSSLESS_BITS * details.lossless_bits() * pixels.size / 8
    allowed = np.array(quality_percent) / 100 * pixels.size * pixels.itemsize
    total_bytes = np.maximum(HEADER_BYTES, np.minimum(allowed - UNSENT_BYTES, lossless_bytes))
    total_bytes[-1] = lossless_bytes
    filled = total_bytes / lossless_bytes
    mse = details.error_at((total_bytes - HEADER_BYTES) * 8 / pixels.size) / max(valid_fraction, 1e-3)
    mse *= 10 ** ((EXCESS_DB[0] + EXCESS_DB[1] * filled) / 10)
    mse = np.minimum.accumulate(np.where(filled < 1, mse, 0.0))
    sizes = np.maximum(EMPTY_STEP_BYTES, np.diff(total_bytes, prepend=0.0))
    return BlockForecast(size_bytes=tuple(int(size) for size in sizes), mse=(*mse[:-1].tolist(), 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Details:
    """Coefficients by neighbourhood, n of them."""

    variance: Floats
    """(n,) mean square of the neighbourhood as it counts in the pixels, DN squared."""
    count: Floats
    """(n,) coefficients in it."""
    gain: Floats
    """(n,) `variance` over the mean square of the coefficients themselves."""

    def lossless_bits(self) -> float:
        """Bits per sample that whole numbers of these variances take."""
        bits = 0.5 * np.log2(1 + LOSSLESS_SPREAD * self.variance / self.gain)
        return float(self.count @ bits / self.count.sum())

    def error_at(self, bits: Floats) -> Floats:
        """Mean squared error at so many bits per sample, DN squared."""
        order = np.argsort(-self.variance)
        variance, count = self.variance[order].astype(np.float64), self.count[order]
        octaves = count * np.log2(np.maximum(variance, THRESHOLDS[-1] / 2))
        above = np.searchsorted(-variance, -THRESHOLDS)
        counts, energies = np.append(0, np.cumsum(count)), np.append(0, np.cumsum(count * variance))
        spent = (np.append(0, np.cumsum(octaves))[above] - counts[above] * np.log2(THRESHOLDS)) / 2
        left = counts[above] * THRESHOLDS + energies[-1] - energies[above]
        with_bits = np.interp(bits, spent / counts[-1], np.log2(np.maximum(left / counts[-1], THRESHOLDS[-1])))
        error: Floats = 2.0**with_bits
        return error


def _patches(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Decorrelated samples (rows, columns, bands * patches) and the share of them that is valid; others hold the band's mean."""
    bands = len(pixels)
    (rows, *down), (cols, *across) = (_places(length) for length in pixels.shape[1:])
    samples = pixels[:, rows][:, :, cols].reshape(bands, -1).astype(np.float32)
    known = valid[rows][:, cols].ravel()
    if known.all():
        samples -= samples.mean(axis=1, keepdims=True)
    else:
        samples -= samples @ known[:, None] / max(1, int(np.count_nonzero(known)))
        samples *= known
    samples = _decorrelated(samples, (bands, *down, *across))
    together = samples.reshape(bands, *down, *across).transpose(2, 4, 0, 1, 3)
    return np.ascontiguousarray(together).reshape(down[1], across[1], -1), float(known.mean())


def _places(length: int) -> tuple[NDArray[np.int64], int, int]:
    """Indices of the patches along a side, how many there are, and how long they are (a power of 2)."""
    size = min(PATCH_PX, 1 << (length.bit_length() - 1))
    count = min(PATCHES_PER_SIDE, length // size)
    first = (
        np.linspace(0, length - size, count).round().astype(np.int64) if count > 1 else np.array([(length - size) // 2])
    )
    return (first[:, None] + np.arange(size)).ravel(), count, size


def _decorrelated(samples: Floats, shape: tuple[int, ...]) -> Floats:
    """Samples (bands, n) turned along the axes of the differences between neighbours, where that saves bits."""
    if shape[0] == 1 or shape[-1] == 1:
        return samples
    patches = samples.reshape(shape)
    steps = (patches[..., 1::2] - patches[..., ::2]).reshape(shape[0], -1)
    covariance = steps @ steps.T / steps.shape[1] + NOISE_VARIANCE * np.eye(shape[0], dtype=np.float32)
    variances, axes = np.linalg.eigh(covariance)
    saving = 0.5 * np.mean(np.log2(np.diag(covariance)) - np.log2(np.maximum(variances, NOISE_VARIANCE / 2)))
    turned: Floats = axes.T.astype(np.float32) @ samples if saving > LEAST_SAVING_BITS else samples
    return turned


def _details(samples: Floats) -> Iterator[_Details]:
    """The subbands of patches (rows, columns, n), and what is left after the last level. Every level turns rows to columns."""
    level = 0
    while min(samples.shape[:2]) > 1:
        low, high = _split(samples)
        samples, along = _split(low.swapaxes(0, 1))
        across, both = _split(high.swapaxes(0, 1))
        once, twice = DETAIL_GAINS[level]
        yield from (_neighbourhoods(part, gain) for part, gain in ((along, once), (across, once), (both, twice)))
        level += 1
    yield _neighbourhoods(samples, APPROXIMATION_GAINS[level], size=1)


def _split(samples: Floats) -> tuple[Floats, Floats]:
    """Low and high half of an even number of rows: the two lifting steps of 5/3, mirrored at the ends."""
    even, odd = samples[0::2], samples[1::2]
    high, low = np.empty_like(odd), np.empty_like(even)
    np.add(even[:-1], even[1:], out=high[:-1])
    np.multiply(even[-1], 2, out=high[-1])
    high *= np.float32(-0.5)
    high += odd
    np.add(high[:-1], high[1:], out=low[1:])
    np.multiply(high[0], 2, out=low[0])
    low *= np.float32(0.25)
    low += even
    return low, high


def _neighbourhoods(coefficients: Floats, gain: float, *, size: int = NEIGHBOURHOOD) -> _Details:
    rows, cols = (min(size, length) for length in coefficients.shape[:2])
    squares = coefficients * coefficients
    if rows * cols > 1:
        height, width, count = squares.shape
        squares = squares.reshape(height // rows, rows, width // cols, cols, count).mean(axis=(1, 3))
    variance = squares.ravel() * np.float32(gain * gain)
    return _Details(
        variance=variance, count=np.full(variance.size, float(rows * cols)), gain=np.full(variance.size, gain * gain)
    )


def _joined(parts: Iterator[_Details]) -> _Details:
    every = list(parts)
    return _Details(
        variance=np.concatenate([part.variance for part in every]),
        count=np.concatenate([part.count for part in every]),
        gain=np.concatenate([part.gain for part in every]),
    )

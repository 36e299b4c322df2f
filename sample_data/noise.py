"""Seeded random fields: lattice noise, directional waves, and a hash that gives each cell of a grid its own number."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from sample_data.canvas import FloatArray

_CUBIC_BSPLINE_RMS = 151.0 / 315.0
"""Mean over the phase of the sum of squared cubic B-spline weights: two axes give this as a standard deviation."""


def stream(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """The random stream of one named part of a scene: adding a part never changes the draws of another."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *numbers])


def lattice_noise(rng: np.random.Generator, x: FloatArray, y: FloatArray, spacing_px: float) -> FloatArray:
    """Smooth Gaussian noise of unit variance, shape (len(y), len(x)): cubic B-splines on a random lattice."""
    return fractal_noise(rng, x, y, spacing_px=spacing_px, octaves=1)


def fractal_noise(
    rng: np.random.Generator, x: FloatArray, y: FloatArray, *, spacing_px: float, octaves: int, gain: float = 0.5
) -> FloatArray:
    """Octaves of lattice noise, each at half the spacing and `gain` times the amplitude; unit variance in all.

    Each octave's lattice is the refinement of the one before (B-spline subdivision), so that only the last is sampled.
    """
    phase_y, phase_x = rng.random(2)
    amplitudes = gain ** np.arange(octaves)
    amplitudes /= np.sqrt(np.sum(amplitudes**2)) * _CUBIC_BSPLINE_RMS
    rows = int((y[-1] - y[0]) / spacing_px + phase_y) + 4
    columns = int((x[-1] - x[0]) / spacing_px + phase_x) + 4
    nodes = amplitudes[0] * rng.standard_normal((rows, columns))
    for amplitude in amplitudes[1:]:
        nodes = _refined(_refined(nodes).T).T
        nodes = nodes + amplitude * rng.standard_normal(nodes.shape)
    finest_px, scale = spacing_px / 2 ** (octaves - 1), 2 ** (octaves - 1)
    along_y = _interpolated(nodes, (y - y[0]) / finest_px + phase_y * scale)
    column = (x - x[0]) / finest_px + phase_x * scale
    field = np.empty((len(y), len(x)))
    # In strips that stay in the processor's cache.
    for top in range(0, len(y), 32):
        field[top : top + 32] = _interpolated(along_y[top : top + 32].T, column).T
    return field


def wave_noise(
    rng: np.random.Generator, shape: tuple[int, int], *, wavelength: float, direction_rad: float, spread_rad: float
) -> FloatArray:
    """Travelling-wave texture of unit variance: white noise filtered to a lobe of the plane of wave numbers.

    `wavelength` is in cells; `direction_rad` is the normal to the crests from +x towards +y; `spread_rad` its spread.
    """
    ky = np.fft.fftfreq(shape[0])[:, None]
    kx = np.fft.rfftfreq(shape[1])[None, :]
    wave_number = np.hypot(kx, ky)
    wave_number[0, 0] = 1e-9
    # A lobe and its mirror image are one wave: fold the angle to a half turn.
    off_axis = (np.arctan2(ky, kx) - direction_rad + np.pi / 2) % np.pi - np.pi / 2
    lobe = np.exp(-0.5 * (off_axis / spread_rad) ** 2 - 0.5 * (np.log(wave_number * wavelength) / 0.35) ** 2)
    field: FloatArray = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * lobe, s=shape)
    field /= field.std()
    return field


def cell_hash(column: NDArray[np.int64], row: NDArray[np.int64], salt: int) -> FloatArray:
    """A uniform number in [0, 1) for each integer cell, independent of the array's extent (splitmix64 finaliser)."""
    with np.errstate(over="ignore"):
        state = column.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state ^= row.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64((salt * 0x165667B19E37 + 1) % 2**64)
        for multiplier in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
            state ^= state >> np.uint64(30)
            state *= np.uint64(multiplier)
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _refined(nodes: FloatArray) -> FloatArray:
    """The same spline on a lattice of half the spacing along the first axis; n nodes become 2 n - 3."""
    finer = np.empty((2 * len(nodes) - 3, nodes.shape[1]))
    finer[0::2] = 0.5 * (nodes[:-1] + nodes[1:])
    finer[1::2] = 0.125 * (nodes[:-2] + 6.0 * nodes[1:-1] + nodes[2:])
    return finer


def _interpolated(nodes: FloatArray, position: FloatArray) -> FloatArray:
    """The cubic B-spline along the first axis at positions in lattice units; node k is centred at k - 1."""
    nodes = np.ascontiguousarray(nodes)
    first = np.floor(position).astype(np.int64)
    f = position - first
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]) / 6.0
    total = np.zeros((len(position), nodes.shape[1]))
    gathered = np.empty_like(total)
    for tap, weight in enumerate(weights):
        np.take(nodes, first + tap, axis=0, out=gathered, mode="clip")
        gathered *= weight[:, None]
        total += gathered
    return total

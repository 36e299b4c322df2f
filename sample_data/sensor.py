"""The instrument: point spread, sampling with a sub-pixel offset, noise, the swath's edge, 16-bit numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample_data.canvas import MARGIN_PX, SUBSAMPLES, Canvas, FloatArray
from sample_data.noise import lattice_noise, stream

NODATA = 0
"""DN of pixels outside the swath; no valid pixel has it."""

SATURATED = 10000
"""Highest DN; brighter ground is cut here, as in the real scenes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """State of the instrument on one date."""

    shift_x_px: float
    """Where the scene's grid lies against the ground: ground point x is seen at x + shift (registration error)."""
    shift_y_px: float
    """The same along rows."""
    blur_px: float
    """Standard deviation of the Gaussian point spread, detector and resampling together, pixels."""
    read_noise_dn: float
    """Noise at zero signal, standard deviation, DN."""
    shot_noise_dn: float
    """Noise that grows with the root of the signal: standard deviation at DN 1000."""
    pattern_noise_dn: float
    """Low-frequency correlated noise, standard deviation, DN."""


def draw_sensor(seed: int, date: int) -> Sensor:
    """The first date defines the grid; later dates are displaced by a fraction of a pixel."""
    rng = stream(seed, "sensor", date)
    shift_x_px, shift_y_px = rng.uniform(-0.45, 0.45, 2) if date > 0 else (0.0, 0.0)
    return Sensor(
        shift_x_px=float(shift_x_px),
        shift_y_px=float(shift_y_px),
        blur_px=float(stream(seed, "optics").uniform(0.50, 0.68)),
        read_noise_dn=float(rng.uniform(4.5, 7.0)),
        shot_noise_dn=float(rng.uniform(5.0, 8.0)),
        pattern_noise_dn=float(rng.uniform(1.5, 3.5)),
    )


def expose(seed: int, date: int, *, canvas: Canvas, sensor: Sensor, scene: FloatArray) -> FloatArray:
    """Sample the painted scene (4, rows, columns of the canvas) to pixels with noise, (4, height_px, width_px)."""
    rows = _sampling_taps(canvas.height_px, sensor.shift_y_px, sensor.blur_px)
    columns = _sampling_taps(canvas.width_px, sensor.shift_x_px, sensor.blur_px)
    image = np.stack([_sample(_sample(band, rows, axis=0), columns, axis=1) for band in scene])
    return image + _noise(stream(seed, "sensor noise", date), canvas, sensor, image)


def swath_edge(seed: int, date: int, *, canvas: Canvas) -> NDArray[np.bool_]:
    """True where the sensor saw the ground, (height_px, width_px); odd dates lose a corner to the swath's edge."""
    y, x = np.mgrid[: canvas.height_px, : canvas.width_px] + 0.5
    if date % 2 == 0:
        return np.ones(x.shape, dtype=bool)
    rng = stream(seed, "swath", date)
    from_right, from_bottom = rng.random(2) < 0.5
    across = (canvas.width_px - x if from_right else x) / canvas.width_px
    along = (canvas.height_px - y if from_bottom else y) / canvas.height_px
    width = rng.uniform(0.10, 0.18)
    length = rng.uniform(0.45, 0.75)
    outside: NDArray[np.bool_] = across / width + along / length < 1.0
    return ~outside


def to_counts(image: FloatArray, valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Round to DN; valid pixels are at least 1, the others are `NODATA`."""
    counts = np.clip(np.rint(image), 1, SATURATED).astype(np.uint16)
    counts[:, ~valid] = NODATA
    return counts


def _sampling_taps(extent_px: int, shift_px: float, blur_px: float) -> tuple[NDArray[np.int64], FloatArray]:
    """First canvas cell of each pixel's kernel, and the kernel: a Gaussian around the shifted pixel centre."""
    reach = int(np.ceil(4.0 * blur_px * SUBSAMPLES)) + 1
    # Pixel i is centred at i + 0.5; ground position i + 0.5 - shift; cell index (position + margin) * cells - 0.5.
    centre = (0.5 - shift_px + MARGIN_PX) * SUBSAMPLES - 0.5
    first = int(np.round(centre)) - reach
    taps = np.arange(2 * reach + 1) + first
    kernel = np.exp(-0.5 * ((taps - centre) / (blur_px * SUBSAMPLES)) ** 2)
    return np.arange(extent_px) * SUBSAMPLES + first, kernel / kernel.sum()


def _sample(layer: FloatArray, taps: tuple[NDArray[np.int64], FloatArray], *, axis: int) -> FloatArray:
    """Weighted sum of the cells under each pixel's kernel along one axis."""
    first, kernel = taps
    shape = list(layer.shape)
    shape[axis] = len(first)
    total = np.zeros(shape)
    weighted = np.empty(shape)
    for offset, weight in enumerate(kernel):
        cells = slice(int(first[0]) + offset, int(first[-1]) + offset + 1, SUBSAMPLES)
        np.multiply(layer[cells] if axis == 0 else layer[:, cells], weight, out=weighted)
        total += weighted
    return total


def _noise(rng: np.random.Generator, canvas: Canvas, sensor: Sensor, image: FloatArray) -> FloatArray:
    """Shot and read noise, spread over neighbours as resampling to the map grid does, and a weak smooth pattern."""
    x, y = np.arange(canvas.width_px, dtype=np.float64), np.arange(canvas.height_px, dtype=np.float64)
    deviation = np.hypot(sensor.read_noise_dn, sensor.shot_noise_dn * np.sqrt(np.maximum(image, 0.0) / 1000.0))
    grain = rng.standard_normal(image.shape)
    for axis in (1, 2):
        grain = 0.72 * grain + 0.28 * np.roll(grain, 1, axis=axis)
    grain /= 0.72**2 + 0.28**2
    pattern = np.stack([lattice_noise(rng, x, y, 3.0) for _ in image])
    return deviation * grain + sensor.pattern_noise_dn * pattern

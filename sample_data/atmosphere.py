"""What lies between ground and sensor on a date: sunlight, clouds and their shadows, haze."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.canvas import SUBSAMPLES, Canvas, FloatArray, spectrum
from sample_data.noise import fractal_noise, lattice_noise, stream
from sample_data.ships import BAND_DELAY_S, PIXEL_M

HAZE = spectrum(1.0, 0.78, 0.58, 0.42)
"""Path radiance per band relative to B02: aerosol scatters blue most."""

CLOUD = spectrum(6200, 6050, 6000, 6150)

BASE_HEIGHT_RATIO = 7400.0 / 786_000.0
"""Ground speed over orbit height, 1/s: parallax per metre of height and per second between bands (Sentinel-2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """The atmosphere and the light of one date."""

    sun_azimuth_rad: float
    """Compass direction towards the sun."""
    sun_zenith_rad: float
    """From the vertical."""
    sun_gain: float
    """Residual calibration and illumination factor of the date."""
    haze_dn: float
    """Mean path radiance added in B02, DN."""
    cloud_cover: float
    """Share of the scene under cloud; 0 for a clear sky."""
    cloud_height_m: float
    """Of the cloud deck above the ground."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clouds:
    """Clouds of one date on the canvas."""

    opacity: FloatArray
    """What each band sees of the cloud instead of the ground, (4, rows, columns): displaced between bands."""
    brightness: FloatArray
    """Of the cloud tops relative to `CLOUD`, (rows, columns)."""
    shadow: FloatArray
    """Share of the direct sunlight taken from the ground, (rows, columns)."""


def draw_sky(seed: int, date: int) -> Sky:
    """Light and weather of a date; the sun moves a little between dates of one season."""
    season, today = stream(seed, "season"), stream(seed, "sky", date)
    return Sky(
        sun_azimuth_rad=float(np.deg2rad(season.uniform(140.0, 168.0) + today.uniform(-2.0, 2.0))),
        sun_zenith_rad=float(np.deg2rad(season.uniform(28.0, 54.0) - 1.5 * date + today.uniform(-0.5, 0.5))),
        sun_gain=float(today.uniform(0.93, 1.06)),
        haze_dn=float(np.exp(today.uniform(np.log(20.0), np.log(420.0)))),
        cloud_cover=float(today.choice((0.0, 0.03, 0.06, 0.10, 0.16), p=(0.2, 0.2, 0.25, 0.2, 0.15))),
        cloud_height_m=float(today.uniform(900.0, 2200.0)),
    )


def build_clouds(seed: int, date: int, *, canvas: Canvas, sky: Sky) -> Clouds:
    """Fair-weather cumulus: fractal noise above the level that leaves the wanted cover, in patches."""
    if sky.cloud_cover == 0.0:
        clear = np.zeros(canvas.shape)
        return Clouds(opacity=np.zeros((4, *canvas.shape)), brightness=clear, shadow=clear)
    rng = stream(seed, "clouds", date)
    reach_px = sky.cloud_height_m * np.tan(sky.sun_zenith_rad) / PIXEL_M
    # The deck is wider than the scene: clouds outside it throw shadows into it.
    around = int(np.ceil(reach_px * SUBSAMPLES)) + 8
    x, y = _widened(canvas.x, around), _widened(canvas.y, around)
    inner = (slice(around, -around), slice(around, -around))
    field = fractal_noise(rng, x, y, spacing_px=48.0, octaves=6, gain=0.55) + 0.9 * lattice_noise(rng, x, y, 260.0)
    level = float(np.quantile(field[inner], 1.0 - sky.cloud_cover))
    opacity = 1.0 - np.exp(-2.6 * np.maximum(field - level + 0.06, 0.0))
    shadow = _shifted(opacity, -reach_px * np.sin(sky.sun_azimuth_rad), reach_px * np.cos(sky.sun_azimuth_rad))
    seen = [_shifted(opacity, 0.0, _parallax_px(sky, delay_s))[inner] for delay_s in BAND_DELAY_S]
    return Clouds(
        opacity=np.stack(seen),
        brightness=_brightness(rng, canvas, sky, field[inner] - level),
        shadow=shadow[inner],
    )


def _brightness(rng: np.random.Generator, canvas: Canvas, sky: Sky, height: FloatArray) -> FloatArray:
    """Tops brighter than rims, the side towards the sun brighter than the other."""
    billows = fractal_noise(rng, canvas.x, canvas.y, spacing_px=16.0, octaves=4, gain=0.6)
    slope_y, slope_x = np.gradient(height, 1.0 / SUBSAMPLES)
    rising = slope_x * np.sin(sky.sun_azimuth_rad) - slope_y * np.cos(sky.sun_azimuth_rad)
    brightness: FloatArray = np.clip(
        0.60 + 0.35 * np.tanh(np.maximum(height, 0.0)) + 0.05 * billows - 1.1 * rising, 0.35, 1.5
    )
    return brightness


def _widened(positions: FloatArray, cells: int) -> FloatArray:
    first = positions[0] - cells / SUBSAMPLES
    wide: FloatArray = first + np.arange(len(positions) + 2 * cells) / SUBSAMPLES
    return wide


def apply_atmosphere(
    seed: int, date: int, *, canvas: Canvas, sky: Sky, clouds: Clouds, scene: FloatArray, water: FloatArray
) -> FloatArray:
    """The scene (4, rows, columns) as it leaves the top of the atmosphere; `water` is 1 at sea, 0 on land."""
    rng = stream(seed, "haze", date)
    # A cloud's shadow leaves the light of the sky, which is bluer, and part of the sea's colour comes from below.
    skylight = spectrum(0.42, 0.36, 0.30, 0.22)
    darkened = 1.0 - (1.0 - skylight) * (clouds.shadow * (1.0 - 0.45 * water))
    veil = np.clip(1.0 + 0.35 * fractal_noise(rng, canvas.x, canvas.y, spacing_px=280.0, octaves=4), 0.1, 3.0)
    haze = sky.haze_dn * veil
    seen = scene * darkened
    seen *= sky.sun_gain * (1.0 - haze / 2600.0)
    seen += HAZE * haze
    if sky.cloud_cover > 0.0:
        seen += (CLOUD * clouds.brightness - seen) * clouds.opacity
    return seen


def _parallax_px(sky: Sky, delay_s: float) -> float:
    """How far a band sees the clouds displaced along the track (southwards) relative to B02, pixels."""
    return BASE_HEIGHT_RATIO * delay_s * sky.cloud_height_m / PIXEL_M


def _shifted(layer: FloatArray, right_px: float, down_px: float) -> FloatArray:
    """The layer moved by a sub-cell amount; cells that come from outside repeat the edge."""
    columns, rows = right_px * SUBSAMPLES, down_px * SUBSAMPLES
    for axis, shift in ((0, rows), (1, columns)):
        whole = int(np.floor(shift))
        part = shift - whole
        layer = (1.0 - part) * _rolled(layer, whole, axis) + part * _rolled(layer, whole + 1, axis)
    return layer


def _rolled(layer: FloatArray, cells: int, axis: int) -> FloatArray:
    source = np.clip(np.arange(layer.shape[axis]) - cells, 0, layer.shape[axis] - 1)
    return np.take(layer, source, axis=axis)

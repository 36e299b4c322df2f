"""The sea of one date: water colour, shallows, plumes, swell and wind waves, slicks, glint, surf. DN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.canvas import SUBSAMPLES, Canvas, FloatArray, smoothstep, spectrum
from sample_data.noise import fractal_noise, lattice_noise, stream, wave_noise
from sample_data.terrain import Terrain

SHALLOW = spectrum(210, 420, 230, 45)
"""Added by a bright bottom at zero depth."""

PLUME = spectrum(90, 190, 170, 28)
"""Added by the densest suspended sediment."""

GLINT_COLOUR = spectrum(1.0, 0.92, 0.86, 0.82)
"""Sky and sun light reflected by the surface: nearly white (measured from the real scenes' residuals)."""

SURF = spectrum(1500, 1550, 1500, 1350)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeaState:
    """Weather of one date, which ships at anchor and the swell share."""

    wind_from_rad: float
    """Compass direction the wind blows from."""
    swell_dn: float
    """Standard deviation of swell and waves in the open sea, DN in B02."""
    glint_dn: float
    """Mean surface reflection, DN in B02."""
    glint_slope: float
    """Its change from one side of the scene to the other, relative."""
    deep: tuple[float, float, float, float]
    """Colour of deep water below the surface, DN per band."""


def sea_state(seed: int, date: int) -> SeaState:
    """The weather drawn for a date; the water's own colour changes little between dates."""
    place, today = stream(seed, "water"), stream(seed, "sea state", date)
    green = float(place.uniform(0.6, 1.5))
    base = np.array([place.uniform(160, 270), 130.0 * green + 40.0, 50.0 * green + 5.0, 14.0])
    return SeaState(
        wind_from_rad=float(today.uniform(0.0, 2.0 * np.pi)),
        swell_dn=float(today.uniform(5.0, 16.0)),
        glint_dn=float(np.exp(today.uniform(np.log(55.0), np.log(330.0)))),
        glint_slope=float(today.uniform(-0.5, 0.5)),
        deep=tuple(base * today.uniform(0.95, 1.05)),
    )


def paint_sea(
    seed: int, date: int, *, canvas: Canvas, terrain: Terrain, state: SeaState, shelter: FloatArray
) -> FloatArray:
    """Reflectance of the water everywhere on the canvas, (4, rows, columns); `shelter` is 1 behind the moles."""
    place = stream(seed, "sea bed")
    today = stream(seed, "sea surface", date)
    slope = 1.0 + 0.35 * fractal_noise(place, canvas.x, canvas.y, spacing_px=60.0, octaves=4)
    depth = np.maximum(terrain.coast_px, 0.0) * np.maximum(slope, 0.4)
    # The coast shelves gently; islets and rocks rise steeply.
    bottom = np.maximum(np.exp(-depth / 15.0), np.exp(-np.maximum(terrain.shore_px, 0.0) / 4.0))
    stirred = fractal_noise(today, canvas.x, canvas.y, spacing_px=130.0, octaves=5, gain=0.6)
    plume = smoothstep(0.1, 2.6, stirred + 1.6 * np.exp(-np.maximum(terrain.coast_px, 0.0) / 110.0))
    surface = _surface(today, canvas=canvas, state=state, shelter=shelter)
    water = SHALLOW * (bottom * (1.0 - 0.7 * shelter))
    water += spectrum(*state.deep)
    water += PLUME * plume
    water += GLINT_COLOUR * surface
    surf = smoothstep(2.4, 0.3, np.abs(terrain.shore_px - 0.8)) * smoothstep(
        -0.2, 1.6, lattice_noise(today, canvas.x, canvas.y, 6.0)
    )
    exposed = surf * (1.0 - shelter) * min(state.swell_dn / 8.0, 1.0)
    water += (SURF - water) * (0.6 * exposed)
    return water


def _surface(rng: np.random.Generator, *, canvas: Canvas, state: SeaState, shelter: FloatArray) -> FloatArray:
    """Light reflected by the surface, DN in B02: glint gradient, slicks, swell and wind waves, a detector seam."""
    x, y = canvas.grid()
    bearing = rng.uniform(-0.35, 0.35)
    across = ((x - canvas.width_px / 2) * np.cos(bearing) + (y - canvas.height_px / 2) * np.sin(bearing)) / max(
        canvas.width_px, canvas.height_px
    )
    wind = fractal_noise(rng, canvas.x, canvas.y, spacing_px=220.0, octaves=4)
    surface: FloatArray = state.glint_dn * (1.0 + state.glint_slope * across + 0.12 * wind)
    # Compass angle to the normal of the crests in image axes.
    travel_rad = state.wind_from_rad - np.pi / 2
    swell = wave_noise(
        rng,
        canvas.shape,
        wavelength=rng.uniform(7.0, 14.0) * SUBSAMPLES,
        direction_rad=travel_rad + rng.uniform(-0.5, 0.5),
        spread_rad=0.28,
    )
    chop = wave_noise(rng, canvas.shape, wavelength=3.4 * SUBSAMPLES, direction_rad=travel_rad, spread_rad=0.75)
    roughness = 1.0 + 0.3 * np.tanh(wind)
    surface += state.swell_dn * roughness * (0.75 * swell + 0.75 * chop) * (1.0 - 0.75 * shelter)
    surface *= 1.0 - 0.28 * _slicks(rng, canvas) * smoothstep(0.2, -0.6, wind)
    seam = np.where(x + 0.18 * y > rng.uniform(0.25, 0.85) * canvas.width_px, 1.0, -1.0)
    surface += 3.0 * seam - 0.30 * shelter * surface
    return surface


def _slicks(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Filaments of calmed water, 1 in their middle: the zero lines of a smooth field drawn out by the currents."""
    field = fractal_noise(rng, canvas.x, canvas.y, spacing_px=90.0, octaves=5, gain=0.55)
    width = 0.05 + 0.10 * np.abs(lattice_noise(rng, canvas.x, canvas.y, 140.0))
    lines: FloatArray = np.exp(-((field / width) ** 2))
    return lines

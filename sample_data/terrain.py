"""The lie of the land: a fractal coast, islets, rocks and hills. The same for every date of a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.canvas import SUBSAMPLES, Canvas, FloatArray, smoothstep
from sample_data.noise import fractal_noise, lattice_noise, stream
from sample_data.shapes import Point

HARBOUR_HALF_LENGTH_PX = 175.0
"""Along the coast, the harbour lies within this distance of its centre; the shore is straight there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoastFrame:
    """Axes of the coast: u points to the open sea, v along the shore; the origin is the middle of the port's quay."""

    x: float
    """Column of the origin, pixels."""
    y: float
    """Row of the origin, pixels."""
    seaward_rad: float
    """Direction of u, from +x towards +y."""

    def to_uv(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coast coordinates (u, v) of pixel positions."""
        cos, sin = np.cos(self.seaward_rad), np.sin(self.seaward_rad)
        return (x - self.x) * cos + (y - self.y) * sin, -(x - self.x) * sin + (y - self.y) * cos

    def to_xy(self, u: float, v: float) -> Point:
        """Pixel position of a point in coast coordinates."""
        cos, sin = float(np.cos(self.seaward_rad)), float(np.sin(self.seaward_rad))
        return self.x + u * cos - v * sin, self.y + u * sin + v * cos


@dataclass(frozen=True, slots=True, kw_only=True)
class Terrain:
    """The natural ground of a scene, on the canvas."""

    frame: CoastFrame
    """Axes of the coast."""
    coast_px: FloatArray
    """Approximate signed distance to the mainland's shore, positive at sea, pixels, (rows, columns)."""
    shore_px: FloatArray
    """The same to the nearest natural shore, islets and rocks included."""
    elevation: FloatArray
    """Height of the land, unitless, 0 at the shore and about 1 on hills, (rows, columns)."""
    harbour_nearness: FloatArray
    """1 at the harbour, falling to 0 away from it, (rows, columns)."""


def build_terrain(seed: int, canvas: Canvas) -> Terrain:
    """The coast, its islets and the hills behind it."""
    frame = _coast_frame(stream(seed, "coast frame"), canvas)
    u, v = frame.to_uv(*canvas.grid())
    rng = stream(seed, "coast noise")
    nearness = smoothstep(1.65, 1.15, np.abs(v - 20.0 * np.sin(u / 90.0)) / HARBOUR_HALF_LENGTH_PX)
    wild = 1.0 - nearness * smoothstep(-150.0, -40.0, u)
    relief = np.zeros(canvas.shape)
    for spacing_px, amplitude_px in ((260.0, 60.0), (100.0, 30.0), (40.0, 11.0), (16.0, 4.5), (7.0, 2.2)):
        relief += amplitude_px * lattice_noise(rng, canvas.x, canvas.y, spacing_px)
    coast = _normalised(u + 6.0 * (1 - wild) - wild * relief)
    shore = coast.copy()
    _raise_islets(stream(seed, "islets"), canvas, frame, shore)
    return Terrain(
        frame=frame,
        coast_px=coast,
        shore_px=shore,
        elevation=_elevation(stream(seed, "elevation"), canvas, coast, nearness * smoothstep(-260.0, -90.0, u)),
        harbour_nearness=smoothstep(430.0, 40.0, np.hypot(np.minimum(u + 40.0, 0.0), v)),
    )


def _coast_frame(rng: np.random.Generator, canvas: Canvas) -> CoastFrame:
    seaward_rad = rng.uniform(0.0, 2.0 * np.pi)
    inland_px = rng.uniform(0.08, 0.16) * min(canvas.height_px, canvas.width_px)
    along_px = rng.uniform(-0.12, 0.12) * min(canvas.height_px, canvas.width_px)
    cos, sin = float(np.cos(seaward_rad)), float(np.sin(seaward_rad))
    return CoastFrame(
        x=canvas.width_px / 2 - inland_px * cos - along_px * sin,
        y=canvas.height_px / 2 - inland_px * sin + along_px * cos,
        seaward_rad=float(seaward_rad),
    )


def _normalised(level: FloatArray) -> FloatArray:
    """First-order distance to the zero line of a level function given in pixels: the level over its slope."""
    slope_y, slope_x = np.gradient(level, 1.0 / SUBSAMPLES)
    distance: FloatArray = level / np.clip(np.hypot(slope_x, slope_y), 0.6, 4.0)
    return distance


def _raise_islets(rng: np.random.Generator, canvas: Canvas, frame: CoastFrame, shore: FloatArray) -> None:
    """A few rocky islets and rocks off the natural coast, away from the harbour's approach, into `shore` in place."""
    for _ in range(int(rng.integers(4, 10))):
        side = rng.choice((-1.0, 1.0))
        centre_x, centre_y = frame.to_xy(rng.uniform(35.0, 190.0), side * rng.uniform(215.0, 430.0))
        radius_px = float(np.exp(rng.uniform(np.log(0.9), np.log(13.0))))
        stretch, angle_rad = rng.uniform(0.5, 1.0), rng.uniform(0.0, np.pi)
        rows, columns = canvas.window(centre_x, centre_y, 3.0 * radius_px + 25.0)
        x, y = canvas.x[columns], canvas.y[rows]
        if len(x) < 2 or len(y) < 2:
            continue
        dx, dy = x[None, :] - centre_x, y[:, None] - centre_y
        along = dx * np.cos(angle_rad) + dy * np.sin(angle_rad)
        across = (-dx * np.sin(angle_rad) + dy * np.cos(angle_rad)) / stretch
        rough = fractal_noise(rng, x, y, spacing_px=2.0 + radius_px, octaves=3)
        islet = np.hypot(along, across) - radius_px * (1.0 + 0.35 * rough)
        shore[rows, columns] = np.minimum(shore[rows, columns], islet)


def _elevation(rng: np.random.Generator, canvas: Canvas, coast: FloatArray, flat: FloatArray) -> FloatArray:
    """Hills inland of the shore; `flat` (1 at the port) holds them down."""
    hills = fractal_noise(rng, canvas.x, canvas.y, spacing_px=150.0, octaves=6, gain=0.5)
    ridges = 1.0 - np.sqrt(fractal_noise(rng, canvas.x, canvas.y, spacing_px=90.0, octaves=3, gain=0.4) ** 2 + 0.1)
    mix = 0.45 + 0.5 * hills + 0.2 * ridges
    # A soft maximum with 0, so that the plain has no rim.
    height = 0.5 * (mix + np.sqrt(mix**2 + 0.03))
    return height * smoothstep(5.0, 140.0, -coast) * (1.0 - 0.95 * flat)

"""The lie of the land: a fractal coast, islets, rocks and hills. The same for every date of a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.canvas import Canvas, FloatArray, smoothstep
from sample_data.noise import fractal_noise, lattice_noise, stream
from sample_data.shapes import Point

HARBOUR_HALF_LENGTH_PX = 175.0
"""Along the coast, the harbour lies within this distance of its centre; the shore is straight there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoastFrame:
    """Axes of the coast: u points to the open sea, v along the shore. The origin is the harbour's centre on the quay."""

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
    shore_px: FloatArray
    """Approximate signed distance to the natural shore, positive at sea, pixels, (rows, columns)."""
    elevation: FloatArray
    """Height of the land, unitless, 0 at the shore and about 1 on hills, (rows, columns)."""
    harbour_nearness: FloatArray
    """1 at the harbour, falling to 0 away from it, (rows, columns)."""


def build_terrain(seed: int, canvas: Canvas) -> Terrain:
    """The coast, its islets and the hills behind it."""
    frame = _coast_frame(stream(seed, "coast frame"), canvas)
    u, v = frame.to_uv(*canvas.grid())
    rng = stream(seed, "coast noise")
    nearness = smoothstep(1.35, 0.75, np.abs(v - 20.0 * np.sin(u / 90.0)) / HARBOUR_HALF_LENGTH_PX)
    wild = 1.0 - nearness * smoothstep(-150.0, -40.0, u)
    relief = np.zeros(canvas.shape)
    for spacing_px, amplitude_px in ((260.0, 60.0), (100.0, 30.0), (40.0, 11.0), (16.0, 4.5), (7.0, 2.2)):
        relief += amplitude_px * lattice_noise(rng, canvas.x, canvas.y, spacing_px)
    shore = _normalised(u + 6.0 * (1 - wild) - wild * relief)
    for islet in _islets(stream(seed, "islets"), canvas, frame, u, v):
        shore = np.minimum(shore, islet)
    return Terrain(
        frame=frame,
        shore_px=shore,
        elevation=_elevation(stream(seed, "elevation"), canvas, shore, nearness * smoothstep(-260.0, -90.0, u)),
        harbour_nearness=smoothstep(520.0, 60.0, np.hypot(np.minimum(u + 40.0, 0.0), v)),
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
    slope_y, slope_x = np.gradient(level, 0.5)
    return level / np.clip(np.hypot(slope_x, slope_y), 0.6, 4.0)


def _islets(
    rng: np.random.Generator, canvas: Canvas, frame: CoastFrame, u: FloatArray, v: FloatArray
) -> list[FloatArray]:
    """Signed distances of a few rocky islets off the natural coast, away from the harbour's approach."""
    islets = []
    for _ in range(int(rng.integers(2, 6))):
        side = rng.choice((-1.0, 1.0))
        centre_u, centre_v = rng.uniform(35.0, 190.0), side * rng.uniform(230.0, 430.0)
        radius_px = float(np.exp(rng.uniform(np.log(1.2), np.log(13.0))))
        if not canvas.contains(*frame.to_xy(centre_u, centre_v), border_px=10.0):
            continue
        stretch = rng.uniform(0.5, 1.0)
        angle_rad = rng.uniform(0.0, np.pi)
        du, dv = u - centre_u, v - centre_v
        along = du * np.cos(angle_rad) + dv * np.sin(angle_rad)
        across = (-du * np.sin(angle_rad) + dv * np.cos(angle_rad)) / stretch
        rough = fractal_noise(rng, canvas.x, canvas.y, spacing_px=2.0 + radius_px, octaves=3)
        islets.append(np.hypot(along, across) - radius_px * (1.0 + 0.35 * rough))
    return islets


def _elevation(rng: np.random.Generator, canvas: Canvas, shore: FloatArray, flat: FloatArray) -> FloatArray:
    """Hills inland of the shore; `flat` (1 at the port) holds them down."""
    hills = fractal_noise(rng, canvas.x, canvas.y, spacing_px=150.0, octaves=6, gain=0.52)
    ridged = 1.0 - np.abs(hills)
    mix = 0.55 * hills + 0.75 * ridged
    return np.maximum(mix, 0.0) * smoothstep(5.0, 140.0, -shore) * (1.0 - 0.95 * flat)

"""What is on the water and is no ship: jetties, fish farms, buoys, and an aircraft above it. To mislead a detector."""

from __future__ import annotations

import numpy as np

from sample_data.canvas import Canvas, FloatArray, spectrum
from sample_data.noise import stream
from sample_data.port_surface import CONCRETE, raise_ground
from sample_data.shapes import Box, Point, paint_box, paint_disc
from sample_data.ships import BAND_DELAY_S, PIXEL_M
from sample_data.terrain import HARBOUR_HALF_LENGTH_PX, Terrain

BUOY = spectrum(1500, 1500, 1700, 1600)
FARM_FLOAT = spectrum(700, 720, 700, 620)
FARM_NET = spectrum(230, 220, 150, 110)
AIRCRAFT = spectrum(5200, 5300, 5300, 5300)


def paint_jetties(seed: int, canvas: Canvas, terrain: Terrain, *, ground: FloatArray, land: FloatArray) -> None:
    """Narrow jetties from the natural coast, with a head at their end, onto the ground and the land share, in place."""
    rng = stream(seed, "jetties")
    for _ in range(int(rng.integers(1, 4))):
        side = rng.choice((-1.0, 1.0))
        v = side * rng.uniform(HARBOUR_HALF_LENGTH_PX + 75.0, HARBOUR_HALF_LENGTH_PX + 260.0)
        length_px = float(rng.uniform(14.0, 42.0))
        root = _shore_u(canvas, terrain, v)
        if root is None:
            continue
        x, y = terrain.frame.to_xy(root + length_px / 2 - 4.0, v)
        head_x, head_y = terrain.frame.to_xy(root + length_px - 4.0, v)
        angle_rad = terrain.frame.seaward_rad
        for box in (
            Box(x=x, y=y, length_px=length_px, width_px=1.0, angle_rad=angle_rad),
            Box(x=head_x, y=head_y, length_px=1.8, width_px=float(rng.uniform(3.0, 9.0)), angle_rad=angle_rad),
        ):
            raise_ground(land, canvas, box)
            paint_box(ground, canvas, box, CONCRETE * rng.uniform(0.6, 1.0))


def paint_floats(seed: int, canvas: Canvas, terrain: Terrain, scene: FloatArray) -> None:
    """A fish farm (two rows of net cages) and channel buoys, in place."""
    rng = stream(seed, "floats")
    farm = terrain.frame.to_xy(rng.uniform(60.0, 200.0), rng.choice((-1.0, 1.0)) * rng.uniform(230.0, 380.0))
    turn_rad = rng.uniform(0.0, np.pi)
    columns = int(rng.integers(3, 7)) if rng.random() < 0.7 else 0
    for row in (0, 1):
        for column in range(columns):
            cage = Box(x=farm[0], y=farm[1], length_px=1.0, width_px=1.0, angle_rad=turn_rad)
            centre = cage.point(4.2 * column, 4.2 * row)
            if _depth(canvas, terrain, centre) > 8.0:
                paint_disc(scene, canvas, centre, 1.35, FARM_FLOAT)
                paint_disc(scene, canvas, centre, 1.0, FARM_NET)
    for number in range(int(rng.integers(4, 9))):
        u = 190.0 + 38.0 * (number // 2)
        centre = terrain.frame.to_xy(u, 70.0 + 18.0 * (-1) ** number + rng.uniform(-2.0, 2.0))
        if _depth(canvas, terrain, centre) > 3.0:
            paint_disc(scene, canvas, centre, 0.32, BUOY)


def paint_aircraft(seed: int, date: int, *, canvas: Canvas, scene: FloatArray) -> None:
    """On some dates an aircraft: each band sees it elsewhere, by its speed and its height's parallax, in place."""
    rng = stream(seed, "aircraft", date)
    x, y = rng.uniform(0.1, 0.9, 2) * (canvas.width_px, canvas.height_px)
    heading_rad = rng.uniform(0.0, 2.0 * np.pi)
    speed_mps, height_m = rng.uniform(75.0, 230.0), rng.uniform(800.0, 9000.0)
    if rng.random() > 0.45:
        return
    for band, delay_s in enumerate(BAND_DELAY_S):
        ahead_px = speed_mps * delay_s / PIXEL_M
        south_px = 7400.0 / 786_000.0 * height_m * delay_s / PIXEL_M
        centre_x = x + ahead_px * np.sin(heading_rad)
        centre_y = y - ahead_px * np.cos(heading_rad) + south_px
        for turn_rad, length_px, width_px in ((0.0, 3.6, 0.42), (np.pi / 2, 3.4, 0.45)):
            part = Box(
                x=float(centre_x),
                y=float(centre_y),
                length_px=length_px,
                width_px=width_px,
                angle_rad=float(heading_rad - np.pi / 2 + turn_rad),
            )
            paint_box(scene[band : band + 1], canvas, part, AIRCRAFT[band : band + 1])


def _shore_u(canvas: Canvas, terrain: Terrain, v: float) -> float | None:
    """Where the line of constant v crosses the coast, coming from the sea; None where it stays outside the scene."""
    for u in np.arange(260.0, -260.0, -2.0):
        place = terrain.frame.to_xy(float(u), v)
        if canvas.contains(*place, border_px=4.0) and _depth(canvas, terrain, place) < 0.0:
            return float(u)
    return None


def _depth(canvas: Canvas, terrain: Terrain, place: Point) -> float:
    """Distance to the shore at a place, pixels; negative on land and minus infinity outside the canvas."""
    rows, columns = canvas.window(place[0], place[1], 0.01)
    cells = terrain.shore_px[rows, columns]
    return float(cells.min()) if cells.size else -np.inf

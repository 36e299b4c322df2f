"""What covers the land: hills under scrub and forest, fields, town blocks, roads, beaches. Reflectances in DN."""

from __future__ import annotations

import numpy as np

from sample_data.canvas import SUBSAMPLES, Canvas, FloatArray, smoothstep, spectrum
from sample_data.districts import Cells, blend_cells, choose, draw_districts
from sample_data.noise import cell_hash, fractal_noise, lattice_noise, stream
from sample_data.shapes import Point, paint_box, segment_boxes
from sample_data.terrain import Terrain
from sample_data.town import paint_town

FOREST = spectrum(270, 430, 290, 2750)
SCRUB = spectrum(560, 800, 830, 2350)
ROCK = spectrum(1500, 1850, 2200, 2600)
PATH = spectrum(1500, 1800, 2150, 2700)
DRY = spectrum(1150, 1500, 2100, 2650)
SAND = spectrum(2000, 2550, 3050, 3550)
ASPHALT = spectrum(860, 980, 1080, 1430)

CROPS = np.array(
    [
        [300, 560, 350, 3900],  # lush
        [380, 640, 430, 3300],  # growing
        [520, 800, 720, 2800],  # sparse
        [1250, 1650, 2150, 3150],  # stubble
        [1000, 1300, 1650, 2250],  # bare soil
        [650, 900, 1050, 2350],  # fallow
    ],
    dtype=np.float64,
)
CROP_SHARES = np.array([0.24, 0.24, 0.16, 0.12, 0.12, 0.12])
DRY_CROP_SHARES = np.array([0.05, 0.10, 0.20, 0.25, 0.22, 0.18])


def paint_land(seed: int, canvas: Canvas, terrain: Terrain, sun_azimuth_rad: float) -> FloatArray:
    """Reflectance of the land everywhere on the canvas, as if there were no sea, (4, rows, columns)."""
    rng = stream(seed, "land cover")
    # From a green coast (0) to an arid one (1).
    dryness = float(rng.random() ** 1.5)
    on_land = terrain.shore_px < 2.0
    wildness = fractal_noise(rng, canvas.x, canvas.y, spacing_px=190.0, octaves=5)
    land = _hillside(rng, canvas, terrain, sun_azimuth_rad, dryness)
    open_country = smoothstep(0.55, 0.35, terrain.elevation) * smoothstep(0.9, 0.7, wildness)
    blend_cells(land, open_country * on_land, lambda where: _fields(stream(seed, "fields"), canvas, where, dryness))
    town_noise = fractal_noise(rng, canvas.x, canvas.y, spacing_px=120.0, octaves=6, gain=0.6)
    urban = smoothstep(0.42, 0.58, 1.15 * terrain.harbour_nearness + 0.20 * town_noise - 0.5 * terrain.elevation)
    blend_cells(land, urban * on_land, lambda where: paint_town(stream(seed, "town"), canvas, where))
    _paint_roads(rng, canvas, terrain, land)
    land *= 1.0 + 0.07 * lattice_noise(rng, canvas.x, canvas.y, 1.3)
    return _with_beach(rng, canvas, terrain, land)


def _hillside(
    rng: np.random.Generator, canvas: Canvas, terrain: Terrain, sun_azimuth_rad: float, dryness: float
) -> FloatArray:
    slope_y, slope_x = np.gradient(terrain.elevation, 1.0 / SUBSAMPLES)
    # The sun stands at compass azimuth A: east is +x, north is -y.
    towards_sun = slope_x * np.sin(sun_azimuth_rad) - slope_y * np.cos(sun_azimuth_rad)
    light = np.clip(1.0 - 7.0 * towards_sun, 0.35, 1.6)
    woods = smoothstep(-0.5, 0.5, fractal_noise(rng, canvas.x, canvas.y, spacing_px=45.0, octaves=6, gain=0.62))
    bare = smoothstep(1.0, 1.6, fractal_noise(rng, canvas.x, canvas.y, spacing_px=30.0, octaves=5, gain=0.7))
    light *= 1.0 + 0.10 * lattice_noise(rng, canvas.x, canvas.y, 3.0)
    ground = SCRUB + (FOREST - SCRUB) * woods
    ground += (ROCK - ground) * bare
    ground += (DRY - ground) * (0.7 * dryness * (1.0 - 0.5 * woods))
    ground *= light
    return ground


def _fields(rng: np.random.Generator, canvas: Canvas, where: Cells, dryness: float) -> FloatArray:
    """Parcels in strips, with paths between some of them and rows within."""
    districts = draw_districts(rng, canvas, where, count=11)
    salt = int(rng.integers(1 << 20))
    strip_px = 11.0 + 14.0 * cell_hash(districts.index, districts.index, salt)
    strip = np.floor(districts.across / strip_px).astype(np.int64) + 4096 * districts.index
    parcel_px = 10.0 + 36.0 * cell_hash(strip, strip, salt + 1)
    offset = parcel_px * cell_hash(strip, strip, salt + 2)
    parcel = np.floor((districts.along + offset) / parcel_px).astype(np.int64)
    crop = choose((1.0 - dryness) * CROP_SHARES + dryness * DRY_CROP_SHARES, cell_hash(parcel, strip, salt + 3))
    growth = 0.82 + 0.36 * cell_hash(parcel, strip, salt + 4)
    patchy = 1.0 + 0.10 * fractal_noise(rng, canvas.x, canvas.y, spacing_px=12.0, octaves=3)[where]
    colour = np.moveaxis(CROPS[crop], -1, 0) * (growth * patchy)
    edge_px = np.minimum(districts.across % strip_px, (districts.along + offset) % parcel_px)
    path = (edge_px < 0.8) & (cell_hash(strip, parcel, salt + 5) < 0.5)
    hedge = (edge_px < 1.2) & ~path & (cell_hash(strip, parcel, salt + 6) < 0.3)
    fields: FloatArray = np.where(path, PATH[:, 0], np.where(hedge, FOREST[:, 0], colour))
    return fields


def _paint_roads(rng: np.random.Generator, canvas: Canvas, terrain: Terrain, land: FloatArray) -> None:
    """Roads from the harbour inland, a ring road and a railway yard behind the port."""
    for _ in range(5):
        bearing = rng.uniform(-1.1, 1.1)
        width_px = rng.choice((1.2, 1.8, 2.6))
        points: list[Point] = []
        u, v = rng.uniform(-60.0, -20.0), rng.uniform(-120.0, 120.0)
        for _ in range(36):
            points.append(terrain.frame.to_xy(u, v))
            bearing = np.clip(bearing + rng.normal(0.0, 0.16), -1.3, 1.3)
            u, v = u - 22.0 * np.cos(bearing), v + 22.0 * np.sin(bearing)
        _paint_polyline(canvas, land, points, float(width_px), ASPHALT)
    ring = [terrain.frame.to_xy(-70.0 - 25.0 * np.cos(v / 110.0), v) for v in np.arange(-420.0, 421.0, 20.0)]
    _paint_polyline(canvas, land, ring, 2.4, ASPHALT * 1.15)
    for track in range(4):
        yard = [terrain.frame.to_xy(-46.0 - 2.6 * track, v) for v in np.arange(-130.0, 131.0, 20.0)]
        _paint_polyline(canvas, land, yard, 1.1, spectrum(700, 780, 880, 1080))


def _paint_polyline(canvas: Canvas, land: FloatArray, points: list[Point], width_px: float, colour: FloatArray) -> None:
    for box in segment_boxes(points, width_px):
        paint_box(land, canvas, box, colour, opacity=0.9)


def _with_beach(rng: np.random.Generator, canvas: Canvas, terrain: Terrain, land: FloatArray) -> FloatArray:
    """Sand on the gentle stretches of the shore, rock on the others."""
    character = fractal_noise(rng, canvas.x, canvas.y, spacing_px=110.0, octaves=3)
    sandy = smoothstep(-0.3, 0.2, character)
    width_px = 1.0 + 3.2 * sandy
    strip = smoothstep(0.0, 1.0, 1.0 + (terrain.shore_px + width_px))
    rough = 1.0 + 0.16 * lattice_noise(rng, canvas.x, canvas.y, 2.0)
    shore = ROCK * rough + (SAND - ROCK * rough) * sandy
    land += (shore - land) * strip
    return land

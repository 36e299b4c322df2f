"""What covers the land: hills under scrub and forest, fields, town blocks, roads, beaches. Reflectances in DN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample_data.canvas import Canvas, FloatArray, smoothstep, spectrum
from sample_data.noise import cell_hash, fractal_noise, lattice_noise, stream
from sample_data.shapes import Point, paint_box, segment_boxes
from sample_data.terrain import Terrain

FOREST = spectrum(270, 430, 290, 2750)
SCRUB = spectrum(560, 800, 830, 2350)
SOIL = spectrum(1020, 1350, 1750, 2450)
ROCK = spectrum(1350, 1600, 1850, 2250)
SAND = spectrum(1850, 2350, 2850, 3350)
ASPHALT = spectrum(860, 980, 1080, 1430)

ROOFS = np.array(
    [
        [920, 1150, 1850, 2350],  # terracotta
        [780, 950, 1480, 2050],  # weathered terracotta
        [1900, 2100, 2300, 2600],  # light plaster
        [2700, 2900, 3050, 3300],  # white
        [1150, 1280, 1400, 1750],  # grey
        [780, 860, 930, 1250],  # dark grey
        [430, 640, 560, 2500],  # garden
        [620, 780, 830, 1500],  # shaded yard
        [1250, 1500, 1750, 2250],  # bare yard
    ],
    dtype=np.float64,
)
ROOF_SHARES = np.array([0.22, 0.18, 0.12, 0.04, 0.14, 0.06, 0.10, 0.08, 0.06])

CROPS = np.array(
    [
        [300, 560, 350, 3900],  # lush
        [380, 640, 430, 3300],  # growing
        [520, 800, 720, 2800],  # sparse
        [950, 1250, 1650, 2700],  # stubble
        [900, 1150, 1450, 2050],  # bare soil
        [650, 900, 1050, 2350],  # fallow
    ],
    dtype=np.float64,
)
CROP_SHARES = np.array([0.24, 0.24, 0.16, 0.12, 0.12, 0.12])


@dataclass(frozen=True, slots=True, kw_only=True)
class Districts:
    """The land parted into districts (nearest centre), each with its own grid direction."""

    index: NDArray[np.int64]
    """District of each cell, (rows, columns)."""
    along: FloatArray
    """Position along the district's grid, pixels, (rows, columns)."""
    across: FloatArray
    """Position across it."""


def paint_land(seed: int, canvas: Canvas, terrain: Terrain, sun_azimuth_rad: float) -> FloatArray:
    """Reflectance of the natural and built land everywhere on the canvas, as if there were no sea, (4, rows, columns)."""
    rng = stream(seed, "land cover")
    wildness = fractal_noise(rng, canvas.x, canvas.y, spacing_px=190.0, octaves=5)
    land = _hillside(rng, canvas, terrain, sun_azimuth_rad)
    open_country = smoothstep(0.55, 0.35, terrain.elevation) * smoothstep(0.9, 0.7, wildness)
    land += (_fields(rng, canvas) - land) * open_country
    town_noise = fractal_noise(rng, canvas.x, canvas.y, spacing_px=120.0, octaves=6, gain=0.6)
    urban = smoothstep(0.42, 0.58, 1.25 * terrain.harbour_nearness + 0.17 * town_noise - 0.45 * terrain.elevation)
    land += (_town(rng, canvas) - land) * urban
    _paint_roads(rng, canvas, terrain, land)
    land *= 1.0 + 0.05 * lattice_noise(rng, canvas.x, canvas.y, 1.3)
    return _with_beach(rng, canvas, terrain, land)


def _hillside(rng: np.random.Generator, canvas: Canvas, terrain: Terrain, sun_azimuth_rad: float) -> FloatArray:
    slope_y, slope_x = np.gradient(terrain.elevation, 0.5)
    # The sun stands at compass azimuth A: east is +x, north is -y.
    towards_sun = slope_x * np.sin(sun_azimuth_rad) - slope_y * np.cos(sun_azimuth_rad)
    light = np.clip(1.0 - 9.0 * towards_sun, 0.35, 1.6)
    woods = smoothstep(-0.5, 0.5, fractal_noise(rng, canvas.x, canvas.y, spacing_px=45.0, octaves=6, gain=0.62))
    bare = smoothstep(1.0, 1.6, fractal_noise(rng, canvas.x, canvas.y, spacing_px=30.0, octaves=5, gain=0.7))
    ground = SCRUB + (FOREST - SCRUB) * woods
    ground = ground + (ROCK - ground) * bare
    clumps = 1.0 + 0.10 * lattice_noise(rng, canvas.x, canvas.y, 3.0)
    shaded: FloatArray = ground * light * clumps
    return shaded


def _fields(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Parcels in strips, with paths between them."""
    districts = _districts(rng, canvas, count=9, salt=11)
    strip_px = 14.0 + 12.0 * cell_hash(districts.index, districts.index, 12)
    strip = np.floor(districts.across / strip_px).astype(np.int64) + 4096 * districts.index
    parcel_px = 16.0 + 42.0 * cell_hash(strip, strip, 13)
    offset = parcel_px * cell_hash(strip, strip, 14)
    parcel = np.floor((districts.along + offset) / parcel_px).astype(np.int64)
    crop = np.searchsorted(np.cumsum(CROP_SHARES), cell_hash(parcel, strip, 15), side="right").clip(0, len(CROPS) - 1)
    growth = 0.85 + 0.3 * cell_hash(parcel, strip, 16)
    patchy = 1.0 + 0.07 * fractal_noise(rng, canvas.x, canvas.y, spacing_px=12.0, octaves=3)
    colour = np.moveaxis(CROPS[crop], -1, 0) * (growth * patchy)
    edge_px = np.minimum(districts.across % strip_px, (districts.along + offset) % parcel_px)
    path = (edge_px < 0.7) & (cell_hash(strip, parcel, 17) < 0.45)
    fields: FloatArray = np.where(path, SOIL * 1.05, colour)
    return fields


def _town(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Streets on each district's grid, blocks between them, lots and roofs within the blocks."""
    districts = _districts(rng, canvas, count=22, salt=21)
    block_along_px = 9.0 + 9.0 * cell_hash(districts.index, districts.index, 22)
    block_across_px = 6.0 + 5.0 * cell_hash(districts.index, districts.index, 23)
    column = np.floor(districts.along / block_along_px).astype(np.int64)
    row = np.floor(districts.across / block_across_px).astype(np.int64) + 4096 * districts.index
    in_along, in_across = districts.along % block_along_px, districts.across % block_across_px
    street = (in_along < 1.0) | (in_across < 1.0)
    lot_px = 1.4 + 1.8 * cell_hash(column, row, 24)
    lot_column = np.floor(in_along / lot_px).astype(np.int64) + 64 * column
    lot_row = np.floor(in_across / (0.8 * lot_px)).astype(np.int64) + 64 * row
    pick = cell_hash(lot_column, lot_row, 25)
    # Some blocks are of one piece: an apartment house, a school, a market hall, a park.
    whole = cell_hash(column, row, 26) < 0.14
    pick = np.where(whole, cell_hash(column, row, 27), pick)
    roof = np.searchsorted(np.cumsum(ROOF_SHARES), pick, side="right").clip(0, len(ROOFS) - 1)
    brightness = 0.78 + 0.42 * cell_hash(lot_column, lot_row, 28)
    town: FloatArray = np.moveaxis(ROOFS[roof], -1, 0) * brightness
    return np.where(street, ASPHALT, town)


def _districts(rng: np.random.Generator, canvas: Canvas, *, count: int, salt: int) -> Districts:
    x, y = canvas.grid()
    nearest = np.full(canvas.shape, np.inf)
    index = np.zeros(canvas.shape, dtype=np.int64)
    centres = rng.uniform(0.0, 1.0, (count, 2)) * (canvas.width_px, canvas.height_px)
    for number, (centre_x, centre_y) in enumerate(centres):
        distance = (x - centre_x) ** 2 + (y - centre_y) ** 2
        closer = distance < nearest
        nearest[closer] = distance[closer]
        index[closer] = number + 100 * salt
    angle = rng.uniform(0.0, np.pi, count)[index - 100 * salt]
    bend = 3.0 * lattice_noise(rng, canvas.x, canvas.y, 90.0)
    cos, sin = np.cos(angle), np.sin(angle)
    return Districts(index=index, along=x * cos + y * sin, across=-x * sin + y * cos + bend)


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
    return land + (shore - land) * strip

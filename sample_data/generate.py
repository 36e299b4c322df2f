"""Synthetic harbour scenes: `generate_scene` paints one date of a place; the command writes the committed files.

python -m sample_data.generate --out DIR [--seed N]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sample_data import atmosphere, clutter, port_surface, sea, sensor, ships
from sample_data.canvas import MARGIN_PX, SUBSAMPLES, Canvas, FloatArray
from sample_data.fleet import draw_fleet
from sample_data.harbour import HarbourPlan, plan_harbour
from sample_data.landcover import paint_land
from sample_data.noise import stream
from sample_data.shapes import Point, box_distance, coverage
from sample_data.terrain import Terrain, build_terrain

SEED = 66
"""Seed of the committed scenes."""

HEIGHT_PX, WIDTH_PX = 832, 896
"""Size of the committed scenes."""

OUTLINE_MARGIN_PX = 1.4
"""Truth outlines are this much larger than the hull on each side: what the blur makes of it, and what annotators
of real scenes draw around (measured, see README.md)."""

OBSCURED_OPACITY = 0.3
"""A ship is obscured when clouds take at least this share of the light above its outline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipTruth:
    """One ship of the truth."""

    corners_px: tuple[Point, Point, Point, Point]
    """Oriented outline of the ship as seen, x, y in pixel coordinates: pixel (0, 0) covers [0, 1) x [0, 1)."""
    kind: str
    """A key of `sample_data.fleet.KINDS`."""
    length_m: float
    """Of the hull."""
    width_m: float
    """Of the hull."""
    heading_deg: float
    """Compass heading of the bow, grid north."""
    speed_mps: float
    """0 when moored or at anchor."""
    moored: bool
    """Lies along a quay."""
    cloud_opacity: float
    """Mean share of the ship's light replaced by cloud, 0 to 1."""

    @property
    def obscured(self) -> bool:
        """Whether clouds hide the ship."""
        return self.cloud_opacity >= OBSCURED_OPACITY


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedScene:
    """One date of a synthetic place."""

    image: NDArray[np.uint16]
    """DN (reflectance x 10000) of B02, B03, B04, B08; 0 is nodata; (4, height_px, width_px)."""
    ships: tuple[ShipTruth, ...]
    """Every ship inside the scene and the swath."""
    land: NDArray[np.bool_]
    """Land, quays and moles, (height_px, width_px)."""
    cloud: NDArray[np.bool_]
    """Cloud of at least 20 % opacity, (height_px, width_px)."""
    valid: NDArray[np.bool_]
    """Inside the swath, (height_px, width_px)."""


def generate_scene(seed: int, *, date: int, height_px: int, width_px: int) -> GeneratedScene:
    """Paint one date (0, 1, ...) of the place that `seed` names. The same arguments give the same pixels.

    Raises ValueError for a scene smaller than 64 x 64 pixels or a negative date.
    """
    if date < 0:
        raise ValueError(f"date {date} is negative: dates count from 0")
    canvas = Canvas(height_px=height_px, width_px=width_px)
    sky = atmosphere.draw_sky(seed, date)
    terrain = build_terrain(seed, canvas)
    plan = plan_harbour(seed, terrain.frame, date=date)
    ground, land = _paint_ground(seed, canvas, terrain=terrain, plan=plan, sun_azimuth_rad=sky.sun_azimuth_rad)
    state = sea.sea_state(seed, date)
    water = sea.paint_sea(seed, date, canvas=canvas, terrain=terrain, state=state, shelter=_shelter(canvas, terrain))
    # The ground shows where there is land; memory is reused, the layers are large.
    ground -= water
    ground *= land
    scene = np.add(water, ground, out=water)
    fleet = draw_fleet(seed, date, canvas=canvas, plan=plan, state=state, land_points=_land_points(canvas, land))
    valid = sensor.swath_edge(seed, date, canvas=canvas)
    camera = sensor.draw_sensor(seed, date)
    fleet = [ship for ship in fleet if _inside_swath(ship, camera, valid)]
    _paint_fleet(seed, date, canvas=canvas, fleet=fleet, scene=scene, open_water=1.0 - land, sky=sky)
    clutter.paint_floats(seed, canvas, terrain, scene)
    port_surface.paint_yachts(seed, canvas, plan, scene)
    port_surface.paint_cranes(canvas, plan, scene)
    clutter.paint_aircraft(seed, date, canvas=canvas, scene=scene)
    clouds = atmosphere.build_clouds(seed, date, canvas=canvas, sky=sky)
    seen = atmosphere.apply_atmosphere(seed, date, canvas=canvas, sky=sky, clouds=clouds, scene=scene, water=1.0 - land)
    image = sensor.expose(seed, date, canvas=canvas, sensor=camera, scene=seen)
    return GeneratedScene(
        image=sensor.to_counts(image, valid),
        ships=tuple(_truth(ship, canvas, camera, clouds) for ship in fleet),
        land=_to_pixels(land) >= 0.5,
        cloud=_to_pixels(clouds.opacity[0]) >= 0.2,
        valid=valid,
    )


def _paint_ground(
    seed: int, canvas: Canvas, *, terrain: Terrain, plan: HarbourPlan, sun_azimuth_rad: float
) -> tuple[FloatArray, FloatArray]:
    """Land reflectance (4, rows, columns) and the share of each cell that is land or built, (rows, columns)."""
    ground = paint_land(seed, canvas, terrain, sun_azimuth_rad)
    built = port_surface.paint_port(seed, canvas, plan, ground)
    land = np.maximum(coverage(terrain.shore_px), built)
    clutter.paint_jetties(seed, canvas, terrain, ground=ground, land=land)
    return ground, land


def _shelter(canvas: Canvas, terrain: Terrain) -> FloatArray:
    """1 inside the harbour, behind the moles, 0 in the open sea."""
    u, v = terrain.frame.to_uv(*canvas.grid())
    inside: FloatArray = np.clip((150.0 - u) / 25.0, 0.0, 1.0) * np.clip((175.0 - np.abs(v)) / 25.0, 0.0, 1.0)
    return inside


def _land_points(canvas: Canvas, land: FloatArray) -> FloatArray:
    """Centres (n, 2) of the blocks of 8 x 8 cells that hold any land."""
    block = 8
    rows, columns = (len(axis) // block for axis in (canvas.y, canvas.x))
    pooled = land[: rows * block, : columns * block].reshape(rows, block, columns, block).max(axis=(1, 3))
    row, column = np.nonzero(pooled > 0.2)
    centre = (block / 2) / SUBSAMPLES
    return np.stack([canvas.x[column * block] + centre, canvas.y[row * block] + centre], axis=1)


def _paint_fleet(
    seed: int,
    date: int,
    *,
    canvas: Canvas,
    fleet: list[ships.Ship],
    scene: FloatArray,
    open_water: FloatArray,
    sky: atmosphere.Sky,
) -> None:
    for number, ship in enumerate(fleet):
        ships.paint_wake(canvas, ship, scene, open_water, stream(seed, "wake", date, number))
    for ship in fleet:
        ships.paint_ship(canvas, ship, scene, sun_azimuth_rad=sky.sun_azimuth_rad, sun_zenith_rad=sky.sun_zenith_rad)


def _inside_swath(ship: ships.Ship, camera: sensor.Sensor, valid: NDArray[np.bool_]) -> bool:
    return all(valid[int(y), int(x)] for x, y in _outline_px(ship, camera))


def _outline_px(ship: ships.Ship, camera: sensor.Sensor) -> tuple[Point, Point, Point, Point]:
    dx, dy = camera.shift_x_px, camera.shift_y_px
    a, b, c, d = ((x + dx, y + dy) for x, y in ship.hull.grown(OUTLINE_MARGIN_PX).corners())
    return a, b, c, d


def _truth(ship: ships.Ship, canvas: Canvas, camera: sensor.Sensor, clouds: atmosphere.Clouds) -> ShipTruth:
    rows, columns = canvas.window(ship.x, ship.y, ship.hull.radius_px + 1)
    inside = coverage(box_distance(ship.hull, canvas.x[None, columns], canvas.y[rows, None]))
    opacity = clouds.opacity[:, rows, columns].mean(axis=0)
    return ShipTruth(
        corners_px=_outline_px(ship, camera),
        kind=ship.kind,
        length_m=ship.length_m,
        width_m=ship.width_m,
        heading_deg=float(np.rad2deg(ship.heading_rad) % 360.0),
        speed_mps=ship.speed_mps,
        moored=ship.moored,
        cloud_opacity=float((opacity * inside).sum() / inside.sum()),
    )


def _to_pixels(layer: FloatArray) -> FloatArray:
    """Mean of the canvas cells of each pixel, without the margin."""
    edge = MARGIN_PX * SUBSAMPLES
    core = layer[edge:-edge, edge:-edge]
    rows, columns = core.shape[0] // SUBSAMPLES, core.shape[1] // SUBSAMPLES
    pixels: FloatArray = core.reshape(rows, SUBSAMPLES, columns, SUBSAMPLES).mean(axis=(1, 3))
    return pixels


def main(arguments: list[str] | None = None) -> None:
    """Write the two dates and their truth."""
    # Here, so that importing this module needs no rasterio.
    from sample_data.geotiff import DATES, write_scene

    parser = argparse.ArgumentParser(prog="python -m sample_data.generate", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the GeoTIFF and GeoJSON files")
    parser.add_argument("--seed", type=int, default=SEED, help=f"names the place (default {SEED}, the committed one)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(len(DATES)):
        scene = generate_scene(options.seed, date=number, height_px=HEIGHT_PX, width_px=WIDTH_PX)
        print(write_scene(scene, options.out, seed=options.seed, date=number))


if __name__ == "__main__":
    main()

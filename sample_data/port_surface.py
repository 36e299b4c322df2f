"""How the port looks from above: concrete, container stacks, roofs, tanks, moles. Reflectances in DN."""

from __future__ import annotations

import numpy as np

from sample_data.canvas import Canvas, FloatArray, spectrum
from sample_data.harbour import HarbourPlan
from sample_data.noise import cell_hash, lattice_noise, stream
from sample_data.shapes import Box, blend, box_distance, coverage, paint_box, paint_disc

CONCRETE = spectrum(1450, 1650, 1800, 2150)
DARK_YARD = spectrum(820, 920, 1000, 1250)
MOLE = spectrum(1750, 2000, 2150, 2500)
PONTOON = spectrum(900, 1000, 1050, 1200)
YACHT = spectrum(2700, 2750, 2750, 2700)
CRANE = spectrum(2100, 2150, 2100, 2300)
CRANE_SHADOW = spectrum(350, 370, 360, 420)

SHED_ROOFS = (
    spectrum(3100, 3300, 3450, 3600),
    spectrum(2300, 2450, 2550, 2750),
    spectrum(1500, 1620, 1700, 2000),
    spectrum(1250, 1450, 2100, 2650),
    spectrum(1500, 1350, 1250, 1900),
    spectrum(1000, 1080, 1120, 1450),
)

CONTAINERS = np.array(
    [
        [800, 950, 1750, 2050],
        [950, 1150, 1650, 1900],
        [1700, 1300, 1000, 1750],
        [1000, 1350, 1150, 1750],
        [2300, 2400, 2450, 2550],
        [1500, 1600, 1650, 1850],
        [900, 950, 980, 1150],
    ],
    dtype=np.float64,
)


def paint_port(seed: int, canvas: Canvas, plan: HarbourPlan, land: FloatArray) -> FloatArray:
    """Paint the port onto the land layer in place; returns the share of each cell that is port, (rows, columns)."""
    rng = stream(seed, "port surface")
    built = np.zeros(canvas.shape)
    stains = (
        1.0 + 0.07 * lattice_noise(rng, canvas.x, canvas.y, 5.0) + 0.05 * lattice_noise(rng, canvas.x, canvas.y, 2.0)
    )
    for box in plan.quays:
        surface = CONCRETE + (DARK_YARD - CONCRETE) * (rng.random() * 0.8)
        _build(built, canvas, box)
        paint_box(land, canvas, box, surface)
    for box in (*plan.moles, *plan.pontoons):
        _build(built, canvas, box)
    for box in plan.moles:
        paint_box(land, canvas, box, MOLE * rng.uniform(0.85, 1.1))
    for box in plan.pontoons:
        paint_box(land, canvas, box, PONTOON)
    for box in plan.container_yards:
        _paint_containers(canvas, land, box, salt=seed % 9973)
    for number, box in enumerate(plan.sheds):
        shade = stream(seed, "shed roof", number)
        _paint_shed(canvas, land, box, SHED_ROOFS[int(shade.integers(len(SHED_ROOFS)))] * shade.uniform(0.8, 1.15))
    for centre, radius_px in plan.tanks:
        paint_disc(land, canvas, centre, radius_px + 1.2, DARK_YARD * 1.2)
        paint_disc(land, canvas, centre, radius_px, SHED_ROOFS[0] * rng.uniform(0.7, 1.0))
    land *= 1.0 + (stains - 1.0) * built
    return built


def paint_cranes(canvas: Canvas, plan: HarbourPlan, scene: FloatArray) -> None:
    """Gantry cranes over the quay's edge and whatever lies there, in place."""
    for box in plan.cranes:
        x, y = box.point(0.0, 0.9)
        shadow = Box(x=x, y=y, length_px=box.length_px, width_px=0.9, angle_rad=box.angle_rad)
        paint_box(scene, canvas, shadow, CRANE_SHADOW, opacity=0.6)
        paint_box(scene, canvas, box, CRANE, opacity=0.75)


def paint_yachts(seed: int, canvas: Canvas, plan: HarbourPlan, scene: FloatArray) -> None:
    """The leisure craft of the marina, in place."""
    rng = stream(seed, "yachts")
    for box in plan.yachts:
        paint_box(scene, canvas, box, YACHT * rng.uniform(0.5, 1.2), opacity=0.9)


def _build(built: FloatArray, canvas: Canvas, box: Box) -> None:
    rows, columns = canvas.window(box.x, box.y, box.radius_px + 1)
    part = built[rows, columns]
    np.maximum(part, coverage(box_distance(box, canvas.x[None, columns], canvas.y[rows, None])), out=part)


def _paint_shed(canvas: Canvas, land: FloatArray, box: Box, roof: FloatArray) -> None:
    """A roof, its dark side and a bright ridge."""
    x, y = box.point(-0.5, 0.6)
    shadow = Box(x=x, y=y, length_px=box.length_px, width_px=box.width_px, angle_rad=box.angle_rad)
    paint_box(land, canvas, shadow, DARK_YARD * 0.5, opacity=0.7)
    paint_box(land, canvas, box, roof)
    ridge = Box(x=box.x, y=box.y, length_px=box.length_px, width_px=0.5, angle_rad=box.angle_rad)
    paint_box(land, canvas, ridge, roof * 0.8)


def _paint_containers(canvas: Canvas, land: FloatArray, yard: Box, *, salt: int) -> None:
    """Rows of stacked containers with lanes between them; about a third of the slots are empty."""
    rows, columns = canvas.window(yard.x, yard.y, yard.radius_px + 1)
    along, across = yard.local(canvas.x[None, columns], canvas.y[rows, None])
    lane_px, block_px = 4.6, 19.0
    row, block = np.floor(across / lane_px).astype(np.int64), np.floor(along / block_px).astype(np.int64)
    slot = np.floor(along / 1.25).astype(np.int64)
    column = np.floor(across / 0.9).astype(np.int64)
    pick = np.floor(cell_hash(slot, column, salt) * len(CONTAINERS)).astype(np.int64)
    # One shipping line's colour often fills a whole row.
    pick = np.where(cell_hash(block, row, salt + 1) < 0.4, (block * 31 + row * 17) % len(CONTAINERS), pick)
    empty = cell_hash(slot, row, salt + 2) < 0.25
    lane = (across % lane_px < 1.3) | (along % block_px < 1.8)
    colour = np.moveaxis(CONTAINERS[pick], -1, 0) * (0.85 + 0.3 * cell_hash(column, slot, salt + 3))
    inside = coverage(box_distance(yard, canvas.x[None, columns], canvas.y[rows, None]))
    blend(land, rows, columns, colour, inside * np.where(lane | empty, 0.0, 0.95))

"""How the port looks from above: concrete, container stacks, roofs, tanks, moles. Reflectances in DN."""

from __future__ import annotations

import numpy as np

from sample_data.canvas import Canvas, FloatArray, spectrum
from sample_data.harbour import HarbourPlan
from sample_data.noise import cell_hash, fractal_noise, stream
from sample_data.shapes import Box, blend, box_distance, coverage, paint_box, paint_disc

CONCRETE = spectrum(1950, 2200, 2400, 2750)
DARK_YARD = spectrum(950, 1060, 1160, 1450)
MOLE = spectrum(1850, 2150, 2350, 2750)
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
    stains = 1.0 + 0.08 * fractal_noise(rng, canvas.x, canvas.y, spacing_px=7.0, octaves=3, gain=0.8)
    for box in plan.quays:
        surface = CONCRETE + (DARK_YARD - CONCRETE) * rng.random()
        raise_ground(built, canvas, box)
        paint_box(land, canvas, box, surface)
        _pave(rng, canvas, land, box)
    for box in (*plan.moles, *plan.pontoons):
        raise_ground(built, canvas, box)
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


def raise_ground(built: FloatArray, canvas: Canvas, box: Box) -> None:
    """Add a box to a share of built ground (rows, columns), in place."""
    rows, columns = canvas.window(box.x, box.y, box.radius_px + 1)
    part = built[rows, columns]
    np.maximum(part, coverage(box_distance(box, canvas.x[None, columns], canvas.y[rows, None])), out=part)


def _pave(rng: np.random.Generator, canvas: Canvas, land: FloatArray, quay: Box) -> None:
    """Lanes along a quay and yards of another surface upon it."""
    for _ in range(int(quay.length_px * quay.width_px / 160.0)):
        length_px, width_px = rng.uniform(3.0, 16.0), rng.uniform(1.5, 7.0)
        if quay.length_px < quay.width_px:
            length_px, width_px = width_px, length_px
        room = np.maximum(np.array([quay.length_px - length_px, quay.width_px - width_px]) / 2 - 1.0, 0.0)
        x, y = quay.point(*(rng.uniform(-room, room)))
        shade = CONCRETE + (DARK_YARD - CONCRETE) * rng.uniform(-0.2, 1.2)
        yard = Box(x=x, y=y, length_px=length_px, width_px=width_px, angle_rad=quay.angle_rad)
        paint_box(land, canvas, yard, shade, opacity=0.8)
    for side in (-1.0, 1.0):
        x, y = quay.point(0.0, side * (quay.width_px / 2 - 2.4))
        lane = Box(x=x, y=y, length_px=quay.length_px - 4.0, width_px=0.8, angle_rad=quay.angle_rad)
        paint_box(land, canvas, lane, DARK_YARD, opacity=0.7)


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
    lane_px, block_px = 3.8, 17.0
    row, block = np.floor(across / lane_px).astype(np.int64), np.floor(along / block_px).astype(np.int64)
    stack = np.floor(along / 2.5).astype(np.int64)
    pick = np.floor(cell_hash(stack, row, salt) * len(CONTAINERS)).astype(np.int64)
    # One shipping line's colour often fills a whole row.
    pick = np.where(cell_hash(block, row, salt + 1) < 0.4, (block * 31 + row * 17) % len(CONTAINERS), pick)
    empty = cell_hash(stack, row, salt + 2) < 0.2
    lane = (across % lane_px < 1.4) | (along % block_px < 1.8)
    colour = np.moveaxis(CONTAINERS[pick], -1, 0) * (0.85 + 0.4 * cell_hash(row, stack, salt + 3))
    inside = coverage(box_distance(yard, canvas.x[None, columns], canvas.y[rows, None]))
    blend(land, rows, columns, colour, inside * np.where(lane | empty, 0.0, 0.95))

"""Ships as the sensor sees them: hulls with decks, superstructures, shadows, and wakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.canvas import SUBSAMPLES, Canvas, FloatArray, smoothstep, spectrum
from sample_data.noise import cell_hash
from sample_data.port_surface import CONTAINERS
from sample_data.shapes import Box, blend

PIXEL_M = 10.0
"""Ground sampling distance, metres."""

SHIP_SUBSAMPLES = 8
"""Samples per pixel along each axis inside a hull, averaged to the canvas."""

BAND_DELAY_S = (0.0, 0.527, 1.005, 0.264)
"""When B02, B03, B04 and B08 see the same ground (MSI focal plane): what moves is displaced between bands."""

WHITE = spectrum(3000, 3050, 3050, 3050)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ship:
    """One vessel in a scene."""

    kind: str
    """A key of `sample_data.fleet.KINDS`."""
    x: float
    """Column of the hull's centre, pixels."""
    y: float
    """Row of the hull's centre, pixels."""
    heading_rad: float
    """Compass heading of the bow: 0 is north (-y), pi/2 east (+x)."""
    length_m: float
    """Hull length."""
    width_m: float
    """Beam."""
    speed_mps: float
    """Over ground; 0 when moored or at anchor."""
    moored: bool
    """Whether it lies along a quay."""
    look: int
    """Number that picks colours and deck details."""

    @property
    def hull(self) -> Box:
        """The hull as a box in pixel coordinates."""
        return Box(
            x=self.x,
            y=self.y,
            length_px=self.length_m / PIXEL_M,
            width_px=self.width_m / PIXEL_M,
            angle_rad=self.heading_rad - np.pi / 2,
        )


def paint_ship(canvas: Canvas, ship: Ship, scene: FloatArray, *, sun_azimuth_rad: float, sun_zenith_rad: float) -> None:
    """Paint shadow and hull onto the scene (4, rows, columns), in place."""
    hull = ship.hull
    rows, columns = canvas.window(ship.x, ship.y, hull.radius_px + 4.0)
    if rows.start == rows.stop or columns.start == columns.stop:
        return
    freeboard_px = (3.0 + 0.055 * ship.length_m) / PIXEL_M * np.tan(sun_zenith_rad)
    shadow = Box(
        x=hull.x - freeboard_px * np.sin(sun_azimuth_rad),
        y=hull.y + freeboard_px * np.cos(sun_azimuth_rad),
        length_px=hull.length_px,
        width_px=hull.width_px,
        angle_rad=hull.angle_rad,
    )
    dark, _ = _render(canvas, shadow, ship, rows, columns, 0.0)
    scene[:, rows, columns] *= 1.0 - 0.4 * dark
    for band, delay_s in enumerate(BAND_DELAY_S):
        ahead_px = ship.speed_mps * delay_s / PIXEL_M
        alpha, colour = _render(canvas, hull, ship, rows, columns, ahead_px)
        blend(scene[band : band + 1], rows, columns, colour[band : band + 1], alpha)


def _render(
    canvas: Canvas, hull: Box, ship: Ship, rows: slice, columns: slice, ahead_px: float
) -> tuple[FloatArray, FloatArray]:
    """Coverage (rows, columns) and mean deck colour (4, rows, columns) of a hull, sampled finely and averaged."""
    split = SHIP_SUBSAMPLES // SUBSAMPLES
    offsets = ((np.arange(split) + 0.5) / split - 0.5) / SUBSAMPLES
    x = (canvas.x[columns, None] + offsets).reshape(1, -1)
    y = (canvas.y[rows, None] + offsets).reshape(-1, 1)
    along, across = hull.local(x, y)
    s = (along - ahead_px) / hull.length_px + 0.5  # 0 at the stern, 1 at the bow
    t = across / (hull.width_px / 2)  # -1 port, 1 starboard
    inside = _inside_hull(s, t, hull.length_px / hull.width_px)
    deck = _deck(ship, s, t)
    shape = (rows.stop - rows.start, split, columns.stop - columns.start, split)
    alpha = inside.reshape(shape).mean(axis=(1, 3))
    colour = (deck * inside).reshape(4, *shape).mean(axis=(2, 4)) / np.maximum(alpha, 1e-9)
    return alpha, colour


def _inside_hull(s: FloatArray, t: FloatArray, slenderness: float) -> FloatArray:
    """1 within the waterline: a parallel body, a pointed bow about 1.1 beams long, a slightly drawn-in stern."""
    bow = np.clip((1.0 - s) * slenderness / 1.1, 0.0, 1.0)
    stern = np.clip(0.72 + s * slenderness / 0.8 * 0.28, 0.0, 1.0)
    half_beam = np.sqrt(1.0 - (1.0 - bow) ** 2) * stern
    return ((s >= 0.0) & (s <= 1.0) & (np.abs(t) <= half_beam)).astype(np.float64)


def _deck(ship: Ship, s: FloatArray, t: FloatArray) -> FloatArray:
    """Deck reflectance (4, ...) at positions s (0 stern to 1 bow), t (-1 to 1)."""
    rng = np.random.default_rng([ship.look, 77])
    base = DECKS[int(rng.integers(len(DECKS)))] * rng.uniform(0.75, 1.25)
    deck = np.broadcast_to(base, (4, *np.broadcast_shapes(s.shape, t.shape))).copy()
    bridge_white = WHITE * rng.uniform(0.7, 1.15)
    bridge_s = rng.uniform(0.02, 0.06)
    bridge_length = min(0.22, 1.6 * ship.width_m / ship.length_m)
    if ship.kind == "container":
        deck = _containers(ship, s, t, deck)
        bridge_s = rng.choice((0.12, 0.55))
        bridge_length *= 0.5
    elif ship.kind == "bulk":
        hatches = float(rng.integers(5, 10))
        hatch = (np.abs(t) < 0.62) & ((s * hatches) % 1.0 < 0.68) & (s > 0.2) & (s < 0.93)
        deck = np.where(hatch, base * rng.choice((0.65, 1.35, 1.7)), deck)
    elif ship.kind == "tanker":
        pipes = (np.abs(t) < 0.18) | ((np.abs(s - 0.52) < 0.025) & (np.abs(t) < 0.7))
        deck = np.where(pipes & (s > 0.2) & (s < 0.95), base * 1.3 + 150.0, deck)
    elif ship.kind in ("ferry", "cruise"):
        stripe = np.abs(t) < 0.35
        deck = np.where(stripe, bridge_white * 0.75, bridge_white)
        bridge_s, bridge_length = 0.6, 0.3
    elif ship.kind in ("fishing", "tug", "launch"):
        bridge_s, bridge_length = rng.uniform(0.3, 0.6), 0.3
    bridge = (s > bridge_s) & (s < bridge_s + bridge_length) & (np.abs(t) < 0.92)
    forecastle = (s > 0.95) & (rng.random() < 0.5)
    deck = np.where(bridge | forecastle, bridge_white, deck)
    # The side turned to the light is brighter; sheer and camber vary along the hull.
    return deck * (1.0 + 0.10 * t + 0.06 * np.cos(9.0 * s + ship.look % 7))


def _containers(ship: Ship, s: FloatArray, t: FloatArray, deck: FloatArray) -> FloatArray:
    """Bays of containers: across the deck in rows, gaps between bays, some bays empty."""
    bay = np.floor(s * ship.length_m / 14.0).astype(np.int64) + 0 * t.astype(np.int64)
    row = np.floor(t * ship.width_m / 5.0).astype(np.int64) + 0 * bay
    pick = np.floor(cell_hash(bay, row, ship.look) * len(CONTAINERS)).astype(np.int64)
    pick = np.where(cell_hash(bay, bay, ship.look + 1) < 0.5, (bay + ship.look) % len(CONTAINERS), pick)
    loaded = (s > 0.06) & (s < 0.93) & (cell_hash(bay, bay, ship.look + 2) > 0.15)
    gap = (s * ship.length_m) % 14.0 < 1.8
    colour = np.moveaxis(CONTAINERS[pick], -1, 0)
    return np.where(loaded & ~gap, colour, deck * 0.8)


DECKS = (
    spectrum(680, 760, 1650, 2000),  # oxide red
    spectrum(760, 860, 1350, 1700),  # brown red
    spectrum(720, 1000, 850, 1250),  # green
    spectrum(1150, 1250, 1300, 1550),  # grey
    spectrum(1500, 1600, 1700, 1900),  # light grey
    spectrum(1150, 950, 850, 1150),  # blue
    spectrum(1500, 1550, 1400, 1700),  # sand
)


def paint_wake(canvas: Canvas, ship: Ship, scene: FloatArray, water: FloatArray, rng: np.random.Generator) -> None:
    """The turbulent wake, the arms of the Kelvin wedge and the bow wave, on the water only, in place.

    The wedge's half angle narrows with the Froude number from Kelvin's 19.47 degrees, as observed for fast craft.
    """
    if ship.speed_mps == 0.0:
        return
    hull = ship.hull
    froude = ship.speed_mps / np.sqrt(9.81 * ship.length_m)
    reach_px = hull.length_px * rng.uniform(2.0, 4.0) + ship.speed_mps * rng.uniform(1.5, 4.0)
    rows, columns = canvas.window(ship.x, ship.y, reach_px * 1.3 + hull.length_px)
    along, across = hull.local(canvas.x[None, columns], canvas.y[rows, None])
    astern = -along - hull.length_px / 2
    bend = rng.normal(0.0, 0.05) * astern**2 / reach_px
    across = across + bend
    noise = 0.75 + 0.5 * cell_hash(np.floor(astern / 1.2).astype(np.int64), np.zeros_like(astern, dtype=np.int64), 3)
    half_width = 0.5 * hull.width_px * (0.9 + np.sqrt(np.maximum(astern, 0.0) / (2.0 * hull.length_px)))
    fade = np.exp(-np.maximum(astern, 0.0) / (0.45 * reach_px)) * smoothstep(-1.0, 0.3, astern)
    strength = min(1.0, 2.2 * froude)
    turbulent = np.exp(-((across / half_width) ** 2)) * fade * noise * strength
    half_angle = np.arctan(1.0 / np.sqrt(8.0)) * min(1.0, 0.45 / max(froude, 0.3))
    behind_bow = np.maximum(astern + hull.length_px, 0.0)
    arm = np.abs(np.abs(across) - 0.5 * hull.width_px - behind_bow * np.tan(half_angle))
    feathers = 0.4 + 0.6 * (np.sin(behind_bow * 2.1 + rng.uniform(0, 6)) > -0.2)
    arms = np.exp(-((arm / 0.55) ** 2)) * np.exp(-behind_bow / (0.6 * reach_px)) * feathers * strength
    arms *= smoothstep(0.0, 1.0, behind_bow)
    foam = np.clip(0.85 * turbulent + 0.30 * arms, 0.0, 1.0) * water[rows, columns]
    scene[:, rows, columns] += spectrum(950, 980, 820, 560) * foam * rng.uniform(0.8, 1.5)

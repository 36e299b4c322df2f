"""Which ships lie where on which date: berths, anchorage, and ships under way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.canvas import Canvas, FloatArray
from sample_data.harbour import Berth, HarbourPlan
from sample_data.noise import stream
from sample_data.sea import SeaState
from sample_data.ships import PIXEL_M, Ship

EDGE_PX = 6.0
"""No ship's outline comes closer to the edge of the scene than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A class of vessels: ranges from which a ship is drawn."""

    length_m: tuple[float, float]
    """Shortest and longest."""
    slenderness: tuple[float, float]
    """Length over beam."""
    speed_mps: tuple[float, float]
    """Under way."""


KINDS = {
    "tanker": Kind(length_m=(110, 275), slenderness=(5.4, 6.4), speed_mps=(4.0, 7.5)),
    "bulk": Kind(length_m=(120, 290), slenderness=(5.8, 6.8), speed_mps=(4.0, 7.5)),
    "container": Kind(length_m=(130, 340), slenderness=(6.3, 7.6), speed_mps=(5.0, 10.0)),
    "cargo": Kind(length_m=(75, 150), slenderness=(5.8, 7.0), speed_mps=(4.0, 7.5)),
    "ferry": Kind(length_m=(90, 200), slenderness=(5.6, 7.2), speed_mps=(6.0, 11.0)),
    "tug": Kind(length_m=(25, 38), slenderness=(2.6, 3.4), speed_mps=(3.0, 6.0)),
    "fishing": Kind(length_m=(25, 60), slenderness=(3.2, 4.5), speed_mps=(3.0, 6.5)),
    "launch": Kind(length_m=(25, 45), slenderness=(3.4, 5.0), speed_mps=(8.0, 14.0)),
}

AT_BERTH = ("tanker", "bulk", "container", "cargo", "cargo", "ferry", "tug", "fishing")
AT_ANCHOR = ("tanker", "bulk", "container", "cargo", "cargo", "bulk", "tanker", "fishing")
UNDER_WAY = ("tanker", "container", "cargo", "ferry", "tug", "fishing", "fishing", "launch", "launch")


def draw_fleet(
    seed: int, date: int, *, canvas: Canvas, plan: HarbourPlan, state: SeaState, land_points: FloatArray
) -> list[Ship]:
    """All ships of a date. `land_points` (n, 2) are x, y of places on land and structures: ships keep clear of them."""
    ships = [
        ship
        for number, berth in enumerate(plan.berths)
        if (ship := _berthed(seed, date, number, berth)) is not None and _fits(canvas, ship, ships=())
    ]
    slots = stream(seed, "anchorage")
    for number in range(int(slots.integers(13, 21))):
        ship = _anchored(seed, date, number, canvas=canvas, state=state, land_points=land_points)
        if ship is not None and _fits(canvas, ship, ships=ships):
            ships.append(ship)
    rng = stream(seed, "under way", date)
    for _ in range(int(rng.integers(9, 15))):
        ship = _under_way(rng, canvas=canvas, land_points=land_points)
        if ship is not None and _fits(canvas, ship, ships=ships):
            ships.append(ship)
    return ships


def _occupant(seed: int, name: str, slot: int, date: int, *, occupied: float, stays: float) -> int | None:
    """Number of the ship that holds a place on a date (None: free). It stays from one date to the next, or leaves."""
    rng = stream(seed, name, slot)
    ship: int | None = None
    for day in range(date + 1):
        if ship is None or rng.random() >= stays:
            ship = day if rng.random() < occupied else None
    return ship


def _draw_kind(rng: np.random.Generator, kinds: tuple[str, ...], longest_m: float) -> tuple[str, float, float, float]:
    """A kind, length and beam (metres) and speed that fit `longest_m`; the smallest kinds always do."""
    for _ in range(12):
        name = kinds[int(rng.integers(len(kinds)))]
        kind = KINDS[name]
        if kind.length_m[0] > longest_m:
            continue
        length_m = float(rng.uniform(kind.length_m[0], min(kind.length_m[1], longest_m)))
        return name, length_m, length_m / float(rng.uniform(*kind.slenderness)), float(rng.uniform(*kind.speed_mps))
    return "tug", 30.0, 10.0, 4.0


def _berthed(seed: int, date: int, slot: int, berth: Berth) -> Ship | None:
    ship = _occupant(seed, "berth", slot, date, occupied=0.6, stays=0.5)
    if ship is None:
        return None
    rng = stream(seed, "berthed ship", slot, ship)
    kind, length_m, width_m, _ = _draw_kind(rng, AT_BERTH, berth.length_px * PIXEL_M)
    play_px = (berth.length_px - length_m / PIXEL_M) / 2
    off_px = width_m / PIXEL_M / 2 + 0.25
    along_rad = berth.outward_rad + np.pi / 2
    shift_px = float(rng.uniform(-play_px, play_px))
    turned = bool(rng.random() < 0.5)
    return Ship(
        kind=kind,
        x=berth.quay[0] + off_px * float(np.cos(berth.outward_rad)) + shift_px * float(np.cos(along_rad)),
        y=berth.quay[1] + off_px * float(np.sin(berth.outward_rad)) + shift_px * float(np.sin(along_rad)),
        heading_rad=float((along_rad + np.pi / 2 + np.pi * turned) % (2 * np.pi)),
        length_m=length_m,
        width_m=width_m,
        speed_mps=0.0,
        moored=True,
        look=int(rng.integers(1 << 30)),
    )


def _anchored(
    seed: int, date: int, slot: int, *, canvas: Canvas, state: SeaState, land_points: FloatArray
) -> Ship | None:
    """A ship at anchor swings about its place and heads into the wind of the day."""
    ship = _occupant(seed, "anchor", slot, date, occupied=0.75, stays=0.65)
    if ship is None:
        return None
    rng = stream(seed, "anchored ship", slot, ship)
    kind, length_m, width_m, _ = _draw_kind(rng, AT_ANCHOR, 400.0)
    place = _open_water(rng, canvas, land_points, length_m / PIXEL_M + 30.0)
    if place is None:
        return None
    heading_rad = state.wind_from_rad + float(rng.normal(0.0, 0.18))
    swing_px = 6.0 + 0.25 * length_m / PIXEL_M
    return Ship(
        kind=kind,
        x=place[0] - swing_px * float(np.sin(heading_rad)),
        y=place[1] + swing_px * float(np.cos(heading_rad)),
        heading_rad=heading_rad % (2 * np.pi),
        length_m=length_m,
        width_m=width_m,
        speed_mps=0.0,
        moored=False,
        look=int(rng.integers(1 << 30)),
    )


def _under_way(rng: np.random.Generator, *, canvas: Canvas, land_points: FloatArray) -> Ship | None:
    kind, length_m, width_m, speed_mps = _draw_kind(rng, UNDER_WAY, 400.0)
    place = _open_water(rng, canvas, land_points, 6.0 + 0.9 * length_m / PIXEL_M)
    heading_rad = float(rng.uniform(0.0, 2.0 * np.pi))
    look = int(rng.integers(1 << 30))
    if place is None:
        return None
    return Ship(
        kind=kind,
        x=place[0],
        y=place[1],
        heading_rad=heading_rad,
        length_m=length_m,
        width_m=width_m,
        speed_mps=speed_mps,
        moored=False,
        look=look,
    )


def _open_water(
    rng: np.random.Generator, canvas: Canvas, land_points: FloatArray, least_px: float
) -> tuple[float, float] | None:
    """A random place at sea with room around it, or None where none is found."""
    for _ in range(40):
        x = float(rng.uniform(EDGE_PX, canvas.width_px - EDGE_PX))
        y = float(rng.uniform(EDGE_PX, canvas.height_px - EDGE_PX))
        if len(land_points) == 0 or np.min(np.hypot(land_points[:, 0] - x, land_points[:, 1] - y)) >= least_px:
            return x, y
    return None


def _fits(canvas: Canvas, ship: Ship, *, ships: list[Ship] | tuple[Ship, ...]) -> bool:
    radius_px = ship.hull.radius_px
    if not canvas.contains(ship.x, ship.y, radius_px + EDGE_PX):
        return False
    return all(np.hypot(ship.x - other.x, ship.y - other.y) > radius_px + other.hull.radius_px + 4.0 for other in ships)

"""The port's plan: apron, piers, a container terminal, moles, a marina, and the berths along the quays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.noise import stream
from sample_data.shapes import Box, Point, segment_boxes
from sample_data.terrain import CoastFrame

APRON_DEPTH_PX = 55.0
"""How far the port's flat ground reaches inland of the quay."""

APRON_HALF_LENGTH_PX = 165.0
"""Half the quay's length along the coast."""

MOLE_WIDTH_PX = 3.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Berth:
    """A place along a quay where one ship can lie."""

    quay: Point
    """Middle of the berth on the quay's edge, pixels."""
    outward_rad: float
    """From the quay to the water, from +x towards +y."""
    length_px: float
    """Longest ship that fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarbourPlan:
    """All the port's structures, as boxes in pixel coordinates."""

    quays: tuple[Box, ...]
    """Ground won from the sea: apron, piers, terminal."""
    container_yards: tuple[Box, ...]
    """Where containers stand in stacks (on the quays)."""
    sheds: tuple[Box, ...]
    """Warehouses."""
    tanks: tuple[tuple[Point, float], ...]
    """Storage tanks: centre and radius, pixels."""
    moles: tuple[Box, ...]
    """Breakwaters, as segments of rock and concrete."""
    pontoons: tuple[Box, ...]
    """The marina's floating walkways."""
    yachts: tuple[Box, ...]
    """Leisure craft at the pontoons: too small for the truth, and there to mislead a detector."""
    cranes: tuple[Box, ...]
    """Gantry cranes, which stand over the quay's edge and over the ships."""
    berths: tuple[Berth, ...]
    """Along the quays, in a fixed order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pier:
    u_px: float
    """How far it reaches from the quay line."""
    v: float
    """Its axis along the coast at the root."""
    width_px: float
    is_terminal: bool


def plan_harbour(seed: int, frame: CoastFrame, *, date: int) -> HarbourPlan:
    """The port on a date: from the second date on, one pier is longer and a new block of sheds stands."""
    rng = stream(seed, "harbour plan")
    skew_rad = float(rng.choice((-0.22, 0.0, 0.0, 0.18)))
    piers = _lay_out_piers(rng)
    extended = int(rng.integers(len(piers)))
    quays = [_box(frame, u=(2.0 - APRON_DEPTH_PX) / 2, v=0.0, du=APRON_DEPTH_PX + 2, dv=2 * APRON_HALF_LENGTH_PX)]
    yards: list[Box] = []
    cranes: list[Box] = []
    sheds: list[Box] = []
    berths: list[Berth] = []
    for number, pier in enumerate(piers):
        box = _pier_box(frame, pier, skew_rad)
        quays.append(box)
        if pier.is_terminal:
            yards.append(box.grown(-5.0))
            cranes.extend(_gantry_cranes(rng, box))
        else:
            sheds.extend(_pier_sheds(rng, box))
        berths.extend(_pier_berths(box))
        if number == extended and date >= 1:
            quays.append(_extension(box, length_px=17.0))
    sheds.extend(_apron_sheds(rng, frame))
    if date >= 1:
        sheds.extend(_new_block(stream(seed, "new block"), frame))
    moles = _moles(rng, frame)
    marina_side = float(rng.choice((-1.0, 1.0)))
    pontoons, yachts, marina_mole = _marina(rng, frame, marina_side)
    quays.append(_box(frame, u=-14.0, v=marina_side * (APRON_HALF_LENGTH_PX + 30.0), du=34.0, dv=62.0))
    return HarbourPlan(
        quays=tuple(quays),
        container_yards=tuple(yards),
        sheds=tuple(sheds),
        tanks=tuple(_tank_farm(rng, frame, -marina_side)),
        moles=tuple(moles + marina_mole),
        pontoons=tuple(pontoons),
        yachts=tuple(yachts),
        cranes=tuple(cranes),
        berths=tuple(berths),
    )


def _box(frame: CoastFrame, *, u: float, v: float, du: float, dv: float, turn_rad: float = 0.0) -> Box:
    """A box centred on (u, v) in coast coordinates, `du` long towards the sea (before the turn) and `dv` wide."""
    x, y = frame.to_xy(u, v)
    return Box(x=x, y=y, length_px=du, width_px=dv, angle_rad=frame.seaward_rad + turn_rad)


def _lay_out_piers(rng: np.random.Generator) -> list[_Pier]:
    piers: list[_Pier] = []
    terminal_at = int(rng.integers(0, 4))
    v = -APRON_HALF_LENGTH_PX + rng.uniform(12.0, 30.0)
    while True:
        is_terminal = len(piers) == terminal_at
        width_px = float(rng.uniform(52.0, 70.0) if is_terminal else rng.uniform(11.0, 24.0))
        if v + width_px > APRON_HALF_LENGTH_PX - 14.0:
            return piers
        reach_px = float(rng.uniform(62.0, 88.0) if is_terminal else rng.uniform(50.0, 98.0))
        piers.append(_Pier(u_px=reach_px, v=v + width_px / 2, width_px=width_px, is_terminal=is_terminal))
        v += width_px + float(rng.uniform(25.0, 40.0))


def _pier_box(frame: CoastFrame, pier: _Pier, skew_rad: float) -> Box:
    # Turned about its root, and rooted well inside the apron.
    root_px = 14.0
    length_px = pier.u_px + root_px
    middle_px = (pier.u_px - root_px) / 2
    return _box(
        frame,
        u=middle_px * np.cos(skew_rad),
        v=pier.v + middle_px * np.sin(skew_rad),
        du=length_px,
        dv=pier.width_px,
        turn_rad=skew_rad,
    )


def _extension(pier: Box, *, length_px: float) -> Box:
    x, y = pier.point(pier.length_px / 2 + length_px / 2 - 0.5, 0.0)
    return Box(x=x, y=y, length_px=length_px, width_px=pier.width_px * 0.8, angle_rad=pier.angle_rad)


def _pier_berths(pier: Box) -> list[Berth]:
    """Both long sides of a pier, parted into one or two berths, and its head where it is broad."""
    berths = []
    usable_px = pier.length_px - 18.0
    count = 1 if usable_px < 42.0 else 2
    for side in (-1.0, 1.0):
        for number in range(count):
            length_px = usable_px / count
            along_px = -pier.length_px / 2 + 17.0 + (number + 0.5) * length_px
            berths.append(
                Berth(
                    quay=pier.point(along_px, side * pier.width_px / 2),
                    outward_rad=pier.angle_rad + side * np.pi / 2,
                    length_px=length_px - 2.0,
                )
            )
    if pier.width_px > 30.0:
        berths.append(
            Berth(quay=pier.point(pier.length_px / 2, 0.0), outward_rad=pier.angle_rad, length_px=pier.width_px - 10.0)
        )
    return berths


def _gantry_cranes(rng: np.random.Generator, terminal: Box) -> list[Box]:
    cranes = []
    for side in (-1.0, 1.0):
        for _ in range(int(rng.integers(2, 5))):
            along_px = rng.uniform(-0.25, 0.45) * terminal.length_px
            x, y = terminal.point(along_px, side * (terminal.width_px / 2 - 0.6))
            cranes.append(Box(x=x, y=y, length_px=7.0, width_px=0.9, angle_rad=terminal.angle_rad + side * np.pi / 2))
    return cranes


def _pier_sheds(rng: np.random.Generator, pier: Box) -> list[Box]:
    sheds = []
    along_px = -pier.length_px / 2 + 4.0
    while along_px < pier.length_px / 2 - 12.0:
        length_px = float(rng.uniform(7.0, 20.0))
        if rng.random() < 0.75:
            x, y = pier.point(min(along_px + length_px / 2, pier.length_px / 2 - 6.0), rng.uniform(-1.5, 1.5))
            width_px = pier.width_px * rng.uniform(0.25, 0.5)
            sheds.append(Box(x=x, y=y, length_px=length_px, width_px=width_px, angle_rad=pier.angle_rad))
        along_px += length_px + float(rng.uniform(2.0, 5.0))
    return sheds


def _apron_sheds(rng: np.random.Generator, frame: CoastFrame) -> list[Box]:
    sheds = []
    for u in (-12.0, -25.0, -37.0):
        v = -APRON_HALF_LENGTH_PX + 6.0
        while v < APRON_HALF_LENGTH_PX - 10.0:
            length_px = float(rng.uniform(5.0, 24.0))
            if rng.random() < 0.7:
                depth_px = float(rng.uniform(3.0, 8.5))
                sheds.append(_box(frame, u=u + rng.uniform(-2.0, 2.0), v=v + length_px / 2, du=depth_px, dv=length_px))
            v += length_px + float(rng.uniform(1.5, 7.0))
    return sheds


def _new_block(rng: np.random.Generator, frame: CoastFrame) -> list[Box]:
    """The building block that the first date does not have: four large sheds behind the railway."""
    v = float(rng.uniform(-110.0, 110.0))
    places = [(-66.0 - 13.0 * row, v + 24.0 * column) for row in (0, 1) for column in (0, 1)]
    return [_box(frame, u=u, v=v, du=9.0, dv=20.0) for u, v in places]


def _tank_farm(rng: np.random.Generator, frame: CoastFrame, side: float) -> list[tuple[Point, float]]:
    tanks = []
    for row in range(3):
        for column in range(int(rng.integers(3, 6))):
            centre = frame.to_xy(-10.0 - 9.5 * row, side * (APRON_HALF_LENGTH_PX + 10.0 + 9.5 * column))
            tanks.append((centre, float(rng.uniform(2.2, 3.9))))
    return tanks


def _moles(rng: np.random.Generator, frame: CoastFrame) -> list[Box]:
    """Two arms around the basins, with an entrance between their heads."""
    side = float(rng.choice((-1.0, 1.0)))
    reach_px = float(rng.uniform(128.0, 160.0))
    long_arm = [(-4.0, -APRON_HALF_LENGTH_PX), (reach_px * 0.55, -168.0), (reach_px, -128.0), (reach_px + 12.0, 62.0)]
    short_arm = [(-4.0, APRON_HALF_LENGTH_PX), (reach_px * 0.62, 160.0), (reach_px - 14.0, 112.0)]
    boxes: list[Box] = []
    for arm in (long_arm, short_arm):
        bent = [(u + rng.uniform(-5.0, 5.0), v + rng.uniform(-4.0, 4.0)) for u, v in arm]
        points = [frame.to_xy(u, side * v) for u, v in bent]
        boxes.extend(segment_boxes(points, MOLE_WIDTH_PX))
    return boxes


def _marina(rng: np.random.Generator, frame: CoastFrame, side: float) -> tuple[list[Box], list[Box], list[Box]]:
    """Pontoons with leisure craft beside the port, behind a small mole of their own."""
    near_v, far_v = APRON_HALF_LENGTH_PX + 6.0, APRON_HALF_LENGTH_PX + 58.0
    mole_uv = [(-14.0, far_v + 4.0), (24.0, far_v + 2.0), (38.0, far_v - 14.0), (37.0, near_v + 14.0)]
    mole = segment_boxes([frame.to_xy(u, side * v) for u, v in mole_uv], 2.2)
    pontoons: list[Box] = []
    yachts: list[Box] = []
    v = near_v + 8.0
    while v < far_v - 2.0:
        reach_px = float(rng.uniform(14.0, 24.0))
        pontoons.append(_box(frame, u=2.0 + reach_px / 2, v=side * v, du=reach_px, dv=0.5))
        u = 5.0
        while u < 2.0 + reach_px:
            for bank in (-1.0, 1.0):
                if rng.random() < 0.8:
                    length_px = float(rng.uniform(0.9, 1.7))
                    yachts.append(_box(frame, u=u, v=side * v + bank * (0.4 + length_px / 2), du=0.38, dv=length_px))
            u += 0.7
        v += float(rng.uniform(6.0, 8.5))
    return pontoons, yachts, mole

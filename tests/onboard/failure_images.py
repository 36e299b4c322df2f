"""Images of what misleads ship detectors, painted with the ground, sea, sensor and ships of `sample_data`; each with its truth.

Reflectance is digital number over 10,000, pixels are 10 m, bands B02, B03, B04, B08. The same name gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from downlink.scene import TileOutcome
from onboard.processed_scene import PipelineSettings
from onboard.screening import ScreeningSettings
from sample_data import sensor
from sample_data.atmosphere import Sky, apply_atmosphere, build_clouds
from sample_data.canvas import MARGIN_PX, SUBSAMPLES, Canvas, FloatArray, smoothstep, spectrum
from sample_data.noise import fractal_noise, lattice_noise, stream, wave_noise
from sample_data.port_surface import CONCRETE, CONTAINERS
from sample_data.sea import GLINT_COLOUR, SURF, SeaState, paint_sea
from sample_data.shapes import Box, blend, box_distance, coverage, paint_box, paint_disc
from sample_data.ships import Ship, paint_ship, paint_wake
from sample_data.terrain import CoastFrame, Terrain

BANDS = ("B02", "B03", "B04", "B08")
SIDE_PX = 384
SEED = 31
TILE_PX = PipelineSettings(screening=ScreeningSettings(), peak_dn=10_000).tile_px
OUTLINE_MARGIN_PX = 1.4
"""As `sample_data.generate`: the outline of a ship as seen reaches beyond the hull."""
_FAR_PX = 1e3

FOAM = spectrum(4400, 4300, 4100, 3600)
"""Fresh foam, 0.4 in the visible and less in near infrared (Koepke 1984, doi:10.1364/AO.23.001816)."""
FLECKS_PER_PX = 0.1
"""So many give the mean light of the foam."""
RUBBLE = spectrum(1150, 1300, 1450, 1750)
ROCK = spectrum(700, 850, 1000, 1500)
SHRUB = spectrum(420, 650, 560, 2500)
ASPHALT = spectrum(900, 1000, 1100, 1250)
STEEL = spectrum(1500, 1600, 1750, 1900)
CLEAR_SKY = Sky(
    sun_azimuth_rad=2.6, sun_zenith_rad=0.65, sun_gain=1.0, haze_dn=60.0, cloud_cover=0.0, cloud_height_m=1200.0
)
CALM = SeaState(
    wind_from_rad=0.8, swell_dn=6.0, glint_dn=90.0, glint_slope=0.2, deep=(210.0, 170.0, 60.0, 14.0)
)  # fmt: skip
CAMERA = sensor.Sensor(
    shift_x_px=0.0, shift_y_px=0.0, blur_px=0.6, read_noise_dn=5.5, shot_noise_dn=6.5, pattern_noise_dn=2.5
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureImage:
    """One image and what must come of it."""

    name: str
    pixels: np.ndarray
    """(4, height, width) uint16; 0 in every band is nodata."""
    ships: tuple[np.ndarray, ...]
    """(4, 2) outlines x, y of the ships that a person sees."""
    least_found: int
    """Of these, at least so many must be found."""
    most_false_alarms: int
    """Detections on no ship, at most."""
    outcome: TileOutcome = TileOutcome.KEPT
    """What screening must say of the first tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Sea, sky and what is painted between them."""

    state: SeaState = CALM
    sky: Sky = CLEAR_SKY
    structures: Callable[[Canvas, FloatArray], None] | None = None
    """Paints onto the sea (4, rows, columns), before the ships."""
    surface: Callable[[Canvas, np.random.Generator], FloatArray] | None = None
    """Light added to the sea."""


@dataclass(slots=True, kw_only=True)
class _Fleet:
    """Ships to be painted, from a few numbers each."""

    ships: list[Ship] = field(default_factory=list)

    def add(
        self,
        x: float,
        y: float,
        heading_deg: float,
        length_m: float,
        *,
        kind: str = "bulk",
        speed_mps: float = 0.0,
        slenderness: float = 6.2,
    ) -> _Fleet:
        ship = Ship(
            kind=kind,
            x=x,
            y=y,
            heading_rad=float(np.deg2rad(heading_deg)),
            length_m=length_m,
            width_m=length_m / slenderness,
            speed_mps=speed_mps,
            moored=False,
            look=11 + 17 * len(self.ships),
        )
        self.ships.append(ship)
        return self


def _four_ships() -> _Fleet:
    """Two large, two middling, in open water."""
    return (
        _Fleet()
        .add(80, 90, 30, 220)
        .add(290, 70, 100, 180, kind="tanker")
        .add(110, 300, 160, 120, kind="cargo")
        .add(300, 290, 60, 200, kind="container")
    )


def outlines(fleet: _Fleet) -> tuple[np.ndarray, ...]:
    """The ships as seen."""
    return tuple(np.array(ship.hull.grown(OUTLINE_MARGIN_PX).corners()) for ship in fleet.ships)


def paint(
    name: str,
    fleet: _Fleet,
    weather: Weather,
    *,
    valid: np.ndarray | None = None,
    side_px: int = SIDE_PX,
) -> np.ndarray:
    """(4, side, side) uint16 as the sensor gives it."""
    canvas = Canvas(height_px=side_px, width_px=side_px)
    open_sea = np.full(canvas.shape, _FAR_PX)
    nothing = np.zeros(canvas.shape)
    terrain = Terrain(
        frame=CoastFrame(x=0.0, y=0.0, seaward_rad=0.0),
        coast_px=open_sea,
        shore_px=open_sea,
        elevation=nothing,
        harbour_nearness=nothing,
    )
    scene = paint_sea(SEED, 0, canvas=canvas, terrain=terrain, state=weather.state, shelter=nothing)
    if weather.surface:
        scene += weather.surface(canvas, stream(SEED, f"surface of {name}"))
    if weather.structures:
        weather.structures(canvas, scene)
    water = np.ones(canvas.shape)
    for number, ship in enumerate(fleet.ships):
        paint_wake(canvas, ship, scene, water, stream(SEED, "wake", number))
    for ship in fleet.ships:
        paint_ship(
            canvas, ship, scene, sun_azimuth_rad=CLEAR_SKY.sun_azimuth_rad, sun_zenith_rad=CLEAR_SKY.sun_zenith_rad
        )
    clouds = build_clouds(SEED, 0, canvas=canvas, sky=weather.sky)
    seen = apply_atmosphere(SEED, 0, canvas=canvas, sky=weather.sky, clouds=clouds, scene=scene, water=water)
    image = sensor.expose(SEED, 0, canvas=canvas, sensor=CAMERA, scene=seen)
    everywhere = np.ones((side_px, side_px), dtype=bool)
    return np.asarray(sensor.to_counts(image, everywhere if valid is None else valid))


# ---- what the sensor does


def blank() -> FailureImage:
    """A tile of one number: a lens cap, a calibration shutter, a file filled by a program."""
    pixels = np.full((4, SIDE_PX, SIDE_PX), 137, np.uint16)
    return FailureImage(
        name="blank", pixels=pixels, ships=(), least_found=0, most_false_alarms=0, outcome=TileOutcome.BLANK
    )


def nodata() -> FailureImage:
    """A tile outside the swath."""
    pixels = np.zeros((4, SIDE_PX, SIDE_PX), np.uint16)
    return FailureImage(
        name="nodata", pixels=pixels, ships=(), least_found=0, most_false_alarms=0, outcome=TileOutcome.NODATA
    )


def ragged_swath_edge() -> FailureImage:
    """The swath ends in steps of detectors, with holes of lost packets; ships beside it."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    edge = 250 + 0.35 * rows + 9 * ((rows // 24) % 2)
    valid = columns < edge
    rng = stream(SEED, "lost packets")
    for _ in range(14):
        top, left = rng.integers(0, SIDE_PX - 4, 2)
        valid[top : top + 3, left : left + int(rng.integers(4, 40))] = False
    fleet = _Fleet().add(80, 80, 30, 220).add(228, 60, 15, 180).add(110, 270, 160, 150).add(290, 230, 120, 200)
    for ship in fleet.ships:
        reach = ship.hull.radius_px + 4
        valid[(np.abs(rows - ship.y) <= reach) & (np.abs(columns - ship.x) <= reach) & (columns < edge)] = True
    pixels = paint("ragged swath edge", fleet, Weather(), valid=valid)
    return FailureImage(
        name="ragged swath edge", pixels=pixels, ships=outlines(fleet), least_found=3, most_false_alarms=0
    )


def saturated() -> FailureImage:
    """Every sample at the top of its range."""
    pixels = np.full((4, SIDE_PX, SIDE_PX), 65_535, np.uint16)
    return FailureImage(
        name="saturated", pixels=pixels, ships=(), least_found=0, most_false_alarms=0, outcome=TileOutcome.SATURATED
    )


def saturated_patches() -> FailureImage:
    """Burnt-out patches and a column that blooms, over sea with ships."""
    fleet = _four_ships()
    pixels = paint("saturated patches", fleet, Weather())
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    pixels[:, np.hypot(rows - 190, columns - 200) < 34] = 65_535
    pixels[:, np.hypot(rows - 60, columns - 180) < 22] = 65_535
    pixels[:, :, 205] = 65_535
    return FailureImage(
        name="saturated patches", pixels=pixels, ships=outlines(fleet), least_found=3, most_false_alarms=0
    )


# ---- what the weather does


def cloud_edges() -> FailureImage:
    """Broken cumulus over sea: small clouds, their displaced edges in each band, their shadows; ships between them."""
    weather = Weather(sky=replace(CLEAR_SKY, cloud_cover=0.10))
    fleet = _four_ships()
    pixels = paint("cloud edges", fleet, weather)
    clear = [ship for ship in outlines(fleet) if not _under_cloud(ship, weather.sky)]
    return FailureImage(
        name="cloud edges", pixels=pixels, ships=tuple(clear), least_found=max(0, len(clear) - 1), most_false_alarms=2
    )


def _under_cloud(outline: np.ndarray, sky: Sky) -> bool:
    canvas = Canvas(height_px=SIDE_PX, width_px=SIDE_PX)
    opacity = build_clouds(SEED, 0, canvas=canvas, sky=sky).opacity.max(axis=0)
    low, high = outline.min(axis=0), outline.max(axis=0)
    (left, top), (right, bottom) = ((np.round((end + MARGIN_PX) * SUBSAMPLES)).astype(int) for end in (low, high))
    return bool(opacity[top:bottom, left:right].mean() > 0.1)


def whitecaps() -> FailureImage:
    """Wind of 10 m/s: 1 % of the sea under foam that reflects 0.22 over its life, in flecks of 2 to 25 m.

    Monahan and O'Muircheartaigh 1980, doi:10.1175/1520-0485(1980)010<2094:OPLDOO>2.0.CO;2; Koepke 1984.
    """
    fleet = _four_ships()
    weather = Weather(state=replace(CALM, swell_dn=16.0, glint_dn=200.0), surface=foam)
    pixels = paint("whitecaps", fleet, weather)
    return FailureImage(name="whitecaps", pixels=pixels, ships=outlines(fleet), least_found=3, most_false_alarms=1)


def foam(canvas: Canvas, rng: np.random.Generator) -> FloatArray:
    """Light of the foam, (4, rows, columns)."""
    cover = np.zeros(canvas.shape)
    gusts = fractal_noise(rng, canvas.x, canvas.y, spacing_px=60.0, octaves=3)
    for _ in range(int(FLECKS_PER_PX * SIDE_PX**2)):
        x, y = rng.uniform(0, SIDE_PX, 2)
        length_px = float(np.clip(0.25 * rng.pareto(2.2) + 0.2, 0.2, 2.5))
        rows, columns = canvas.window(x, y, length_px)
        if rng.random() < 0.5 + 0.2 * gusts[rows.start, columns.start]:
            fleck = Box(x=x, y=y, length_px=length_px, width_px=0.4 * length_px, angle_rad=0.8 + rng.normal(0, 0.3))
            _raise(cover, canvas, fleck, rng.uniform(0.3, 1.0))
    return FOAM * np.minimum(cover, 1.0)


def sun_glint() -> FailureImage:
    """Strong glint, as bright in near infrared as in blue, with slicks, swell and sparkle."""
    fleet = _four_ships()
    weather = Weather(
        state=replace(CALM, swell_dn=55.0, glint_dn=1100.0, glint_slope=0.5),
        surface=_sparkle,
    )
    pixels = paint("sun glint", fleet, weather)
    return FailureImage(name="sun glint", pixels=pixels, ships=outlines(fleet), least_found=2, most_false_alarms=1)


def _sparkle(canvas: Canvas, rng: np.random.Generator) -> FloatArray:
    waves = wave_noise(rng, canvas.shape, wavelength=9.0 * SUBSAMPLES, direction_rad=0.6, spread_rad=0.4)
    patches = smoothstep(-0.5, 1.5, lattice_noise(rng, canvas.x, canvas.y, 45.0))
    return GLINT_COLOUR * (140.0 * patches * np.exp(0.7 * waves))


def thick_haze() -> FailureImage:
    """A veil that adds 0.08 to 0.12 in every band and takes a third of the contrast."""
    fleet = _four_ships()
    sky = replace(CLEAR_SKY, haze_dn=950.0)

    def veil(canvas: Canvas, rng: np.random.Generator) -> FloatArray:
        # Coarse droplets scatter near infrared as they do green.
        return spectrum(0.0, 250.0, 450.0, 600.0) * (
            1.0 + 0.15 * fractal_noise(rng, canvas.x, canvas.y, spacing_px=90.0, octaves=3)
        )

    pixels = paint("thick haze", fleet, Weather(sky=sky, surface=veil))
    return FailureImage(name="thick haze", pixels=pixels, ships=outlines(fleet), least_found=3, most_false_alarms=1)


# ---- what lies in the sea


def tile_seams() -> FailureImage:
    """Ships across the border of two tiles and of four, at several offsets: each is found once."""
    seam = float(TILE_PX)
    fleet = (
        _Fleet()
        .add(seam, 120, 90, 240)
        .add(seam - 3, 250, 20, 200)
        .add(seam, seam, 45, 260)
        .add(180, seam, 0, 220)
        .add(320, seam + 2, 75, 180)
        .add(seam + 108, seam - 3, 120, 150)
    )
    pixels = paint("tile seams", fleet, Weather(), side_px=TILE_PX + 188)
    return FailureImage(name="tile seams", pixels=pixels, ships=outlines(fleet), least_found=5, most_false_alarms=0)


def quay_cranes() -> FailureImage:
    """A container quay: stacks, and gantry cranes whose booms and shadows reach over the water; ships off it."""

    def structures(canvas: Canvas, scene: FloatArray) -> None:
        rng = stream(SEED, "quay")
        quay = Box(x=70.0, y=192.0, length_px=600.0, width_px=190.0, angle_rad=np.pi / 2)
        paint_box(scene, canvas, quay, CONCRETE * 0.7)
        for row in range(60):
            for column in range(7):
                stack = Box(
                    x=10.0 + 20.0 * column, y=4.0 + 6.4 * row, length_px=16.0, width_px=2.6, angle_rad=0.0
                )  # fmt: skip
                colour = CONTAINERS[int(rng.integers(len(CONTAINERS)))].reshape(4, 1, 1)
                paint_box(scene, canvas, stack, colour, opacity=0.8)
        for number in range(9):
            y = 30.0 + 38.0 * number + float(rng.uniform(-6, 6))
            shadow = Box(x=167.0, y=y + 1.6, length_px=14.0, width_px=1.0, angle_rad=0.0)
            paint_box(scene, canvas, shadow, spectrum(150, 140, 70, 30), opacity=0.6)
            boom = Box(x=166.0, y=y, length_px=15.0, width_px=1.0, angle_rad=0.0)
            paint_box(scene, canvas, boom, STEEL, opacity=0.75)

    fleet = _Fleet().add(250, 80, 20, 220, kind="container").add(300, 250, 170, 180)
    pixels = paint("quay cranes", fleet, Weather(structures=structures))
    return FailureImage(name="quay cranes", pixels=pixels, ships=outlines(fleet), least_found=2, most_false_alarms=2)


def islands_and_rocks() -> FailureImage:
    """Islets with shrubs, bare rocks, a reef in surf; ships between them."""

    def structures(canvas: Canvas, scene: FloatArray) -> None:
        rng = stream(SEED, "islands")
        rough = fractal_noise(rng, canvas.x, canvas.y, spacing_px=5.0, octaves=3)
        for x, y, radius_px in (
            (190, 60, 9.0), (205, 190, 14.0), (60, 200, 5.0), (340, 170, 6.0), (190, 330, 4.0), (330, 360, 8.0),
            (30, 30, 3.0), (150, 150, 2.0), (250, 120, 1.6), (45, 350, 2.4),
        ):  # fmt: skip
            stretch = rng.uniform(1.0, 2.0)
            turn = rng.uniform(0, np.pi)
            dx, dy = canvas.x[None, :] - x, canvas.y[:, None] - y
            along, across = dx * np.cos(turn) + dy * np.sin(turn), -dx * np.sin(turn) + dy * np.cos(turn)
            distance = np.hypot(along / stretch, across) - radius_px * (1 + 0.25 * rough)
            everywhere = slice(None)
            surf = np.clip(1.2 - np.abs(distance - 0.6), 0, 1) * 0.35
            blend(scene, everywhere, everywhere, SURF, surf)
            blend(scene, everywhere, everywhere, ROCK, np.clip(0.5 - distance, 0, 1))
            blend(scene, everywhere, everywhere, SHRUB, np.clip(-1.5 - distance, 0, 1) * 0.8)

    fleet = _Fleet().add(110, 90, 30, 200).add(290, 70, 100, 180).add(110, 290, 160, 150).add(270, 270, 60, 200)
    pixels = paint("islands and rocks", fleet, Weather(structures=structures))
    return FailureImage(
        name="islands and rocks", pixels=pixels, ships=outlines(fleet), least_found=3, most_false_alarms=2
    )


def bridge() -> FailureImage:
    """A road bridge on piers from shore to shore, with its shadow; ships on both sides."""

    def structures(canvas: Canvas, scene: FloatArray) -> None:
        for x in (-20.0, 404.0):
            paint_box(scene, canvas, Box(x=x, y=192.0, length_px=70.0, width_px=420.0, angle_rad=0.0), SHRUB)
        shadow = Box(x=192.0, y=187.0, length_px=440.0, width_px=2.0, angle_rad=0.12)
        paint_box(scene, canvas, shadow, spectrum(160, 140, 70, 30), opacity=0.6)
        paint_box(scene, canvas, Box(x=192.0, y=190.0, length_px=440.0, width_px=2.2, angle_rad=0.12), ASPHALT)
        for number in range(9):
            x = 40.0 + 38.0 * number
            paint_disc(scene, canvas, (x, 190.0 + (x - 192.0) * float(np.tan(0.12))), 2.0, CONCRETE)

    fleet = _Fleet().add(110, 90, 30, 200).add(270, 80, 100, 180).add(120, 290, 160, 150).add(280, 300, 60, 200)
    pixels = paint("bridge", fleet, Weather(structures=structures))
    return FailureImage(name="bridge", pixels=pixels, ships=outlines(fleet), least_found=3, most_false_alarms=1)


def breakwaters() -> FailureImage:
    """Rubble moles: one from the shore, one detached, three short ones before a beach; ships off them."""

    def structures(canvas: Canvas, scene: FloatArray) -> None:
        rough = 1.0 + 0.15 * lattice_noise(stream(SEED, "rubble"), canvas.x, canvas.y, 1.5)
        everywhere = slice(None)
        for box in (
            Box(x=192.0, y=385.0, length_px=500.0, width_px=60.0, angle_rad=0.0),
            Box(x=60.0, y=300.0, length_px=140.0, width_px=3.6, angle_rad=1.3),
            Box(x=200.0, y=230.0, length_px=110.0, width_px=3.6, angle_rad=0.2),
            Box(x=240.0, y=330.0, length_px=18.0, width_px=3.0, angle_rad=0.0),
            Box(x=280.0, y=330.0, length_px=18.0, width_px=3.0, angle_rad=0.0),
            Box(x=320.0, y=330.0, length_px=18.0, width_px=3.0, angle_rad=0.0),
        ):
            share = coverage(box_distance(box, canvas.x[None, :], canvas.y[:, None]))
            blend(scene, everywhere, everywhere, RUBBLE * rough, share)

    fleet = _Fleet().add(110, 90, 30, 200).add(280, 100, 100, 180).add(150, 170, 160, 150)
    pixels = paint("breakwaters", fleet, Weather(structures=structures))
    return FailureImage(name="breakwaters", pixels=pixels, ships=outlines(fleet), least_found=2, most_false_alarms=3)


def wakes() -> FailureImage:
    """Fast craft whose wakes are many times their length: the ship is found, the wake is not."""
    fleet = (
        _Fleet()
        .add(80, 90, 30, 60, speed_mps=13.0, kind="launch", slenderness=4.5)
        .add(290, 80, 250, 90, speed_mps=11.0, kind="ferry")
        .add(110, 300, 160, 120, speed_mps=9.0, kind="cargo")
        .add(300, 270, 60, 200, speed_mps=10.0, kind="container")
    )
    pixels = paint("wakes", fleet, Weather())
    return FailureImage(name="wakes", pixels=pixels, ships=outlines(fleet), least_found=3, most_false_alarms=1)


FAILURES: tuple[Callable[[], FailureImage], ...] = (
    blank, nodata, ragged_swath_edge, saturated, saturated_patches, cloud_edges, whitecaps, sun_glint, thick_haze,
    tile_seams, quay_cranes, islands_and_rocks, bridge, breakwaters, wakes,
)  # fmt: skip
"""Every image, by the function that paints it."""


def _raise(cover: FloatArray, canvas: Canvas, box: Box, opacity: float) -> None:
    rows, columns = canvas.window(box.x, box.y, box.radius_px + 1)
    part = cover[rows, columns]
    share = opacity * coverage(box_distance(box, canvas.x[None, columns], canvas.y[rows, None]))
    # A fleck smaller than a cell still gives its light.
    np.maximum(part, share, out=part)

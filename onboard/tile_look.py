"""Tiles as the survey sees them: read, screened, judged by the gates; one after the other, or ahead of whoever searches them and
then packed for the raw store too."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from downlink.scene import TileOutcome, Window
from onboard.coding_forecast import BlockForecast, forecast
from onboard.energy_port import EnergyPort
from onboard.energy_prices import EnergyStep
from onboard.errors import TileReadError
from onboard.governor import Decision, Effort
from onboard.processed_scene import PipelineSettings, TileReport
from onboard.raw_codec import encode_raw
from onboard.screening import Screening, ScreeningSettings, screen
from onboard.sea_gate import GateVerdict, may_hold_objects
from onboard.search_windows import SearchPlan, plan_search
from onboard.sensor_frame import SensorFrame
from onboard.tile_ahead import tile_ahead
from onboard.tiles import TileWindow

_Decided = tuple[TileWindow, Decision]
LOOKING_THREADS: Final = 2
"""Over empty sea there is nothing else to do."""
JUDGED_BANDS: Final = 6
"""Bands of which the sea gate's three are half: more may hold what these do not show."""
MOSTLY_VALID: Final = 0.5
"""Share of valid pixels from which the gate's look at the others stands for the tile."""
DARK_WATER_DN: Final = 1000.0
"""Brighter than the median of any band of what the gate stops."""
Charge = Callable[[EnergyStep, float], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedTile:
    """A tile as the raw store takes it."""

    data: bytes
    """Its pixels, exactly."""
    expected: BlockForecast
    """What coding them would give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileLook:
    """A tile that was read, screened and found worth keeping."""

    padded: np.ndarray
    """(bands, height, width) with the halo, the offset of the digital numbers taken off: what the detector sees; without the halo
    where the sea gate stops the tile."""
    core: np.ndarray
    """(bands, height, width) of the tile alone, as the sensor gave it."""
    valid: np.ndarray
    """(height, width) of the tile."""
    screening: Screening
    """Outcome KEPT."""
    plan: SearchPlan
    """Where it may hold objects."""
    packed: PackedTile | None = None
    """None where it was not looked at ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedTile:
    """A tile, what it may cost, and what there is to see."""

    tile: TileWindow
    """Where."""
    decision: Decision
    """The effort that it may take."""
    look: TileLook | TileReport | None
    """Its report where reading or screening was the end of it; None where there was no energy to look."""


def looks(
    frame: SensorFrame,
    tiles: Sequence[TileWindow],
    *,
    settings: PipelineSettings,
    quality_percent: Sequence[float],
    energy: EnergyPort,
    ahead: int,
) -> Generator[DecidedTile, None, None]:
    """The tiles of a frame in order, each after the energy port has decided on it.

    With `ahead` above 0 so many are decided on, read, screened and packed, in threads of their own, before they are asked for. A meter
    that measures then finds that work in whatever step goes on meanwhile, or in INGEST while it is waited for: the sum is right.
    Close the iterator where it may not come to its end: until then the frame belongs to it.
    """
    if not ahead:
        return _in_turn(frame, tiles, settings, energy)

    def look_and_pack(tile: TileWindow) -> TileLook | TileReport:
        seen = look(frame, tile, settings=settings, charge=lambda step, mpix: nullcontext())
        return seen if isinstance(seen, TileReport) else replace(seen, packed=packed(seen, quality_percent))

    return _ahead(look_and_pack, tiles, energy, ahead)


def _in_turn(
    frame: SensorFrame, tiles: Sequence[TileWindow], settings: PipelineSettings, energy: EnergyPort
) -> Generator[DecidedTile, None, None]:
    for tile in tiles:
        decision = energy.decide(mpix_of(tile.core))
        is_seen = decision.effort is not Effort.SKIP
        seen = look(frame, tile, settings=settings, charge=energy.charge) if is_seen else None
        yield DecidedTile(tile=tile, decision=decision, look=seen)


def _ahead(
    look_at: Callable[[TileWindow], TileLook | TileReport], tiles: Sequence[TileWindow], energy: EnergyPort, ahead: int
) -> Generator[DecidedTile, None, None]:
    coming = iter(tiles)
    decided: deque[_Decided] = deque()
    waited_for: deque[_Decided] = deque()

    def decide_next() -> None:
        if (tile := next(coming, None)) is not None:
            decided.append((tile, energy.decide(mpix_of(tile.core))))
            waited_for.append(decided[-1])

    def begun() -> Iterator[_Decided]:
        while decided:
            yield decided.popleft()

    def looked(item: _Decided) -> TileLook | TileReport | None:
        tile, decision = item
        return None if decision.effort is Effort.SKIP else look_at(tile)

    for _ in range(ahead):
        decide_next()
    # Decided before it is waited for: a decision may take its time, and that is nothing to be paid for.
    with closing(tile_ahead(looked, begun(), ahead=ahead, threads=min(ahead, LOOKING_THREADS))) as results:
        while waited_for:
            decide_next()
            tile, decision = waited_for.popleft()
            yield DecidedTile(tile=tile, decision=decision, look=_paid(results, mpix_of(tile.core), decision, energy))


def _paid(
    results: Iterator[TileLook | TileReport | None], mpix: float, decision: Decision, energy: EnergyPort
) -> TileLook | TileReport | None:
    """Waits for what was looked at ahead, and pays for it."""
    if decision.effort is Effort.SKIP:
        return next(results)
    with energy.charge(EnergyStep.INGEST, mpix):
        seen = next(results)
    if not (isinstance(seen, TileReport) and seen.outcome is TileOutcome.UNREADABLE):
        with energy.charge(EnergyStep.SCREEN, mpix):
            pass
    return seen


def look(frame: SensorFrame, tile: TileWindow, *, settings: PipelineSettings, charge: Charge) -> TileLook | TileReport:
    """Read and screen a tile; its report where that is the end of it.

    The halo is read only where something is to be searched: over empty sea reading is most of the work.
    """
    try:
        with charge(EnergyStep.INGEST, mpix_of(tile.core)):
            core, valid, padded = _read(frame, tile, with_halo=not settings.sea_gate.enabled)
        with charge(EnergyStep.SCREEN, mpix_of(tile.core)):
            return _judged(frame, tile, core, valid, padded, settings)
    except TileReadError as error:
        return TileReport(tile=tile, outcome=TileOutcome.UNREADABLE, reason=str(error))


def _read(frame: SensorFrame, tile: TileWindow, *, with_halo: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """A tile, its valid pixels, and the tile with its halo where no gate can make that needless."""
    if not with_halo:
        return frame.read(tile.core), frame.valid(tile.core), None
    padded = frame.read_around(tile.core, tile.padded)
    row, col = tile.core.row - tile.padded.row, tile.core.col - tile.padded.col
    core = padded[:, row : row + tile.core.height, col : col + tile.core.width]
    return core, frame.valid(tile.core), padded


def _judged(
    frame: SensorFrame,
    tile: TileWindow,
    core: np.ndarray,
    valid: np.ndarray,
    padded: np.ndarray | None,
    settings: PipelineSettings,
) -> TileLook | TileReport:
    seen = reflectance_of(core, settings.dn_offset)
    verdict = may_hold_objects(seen, valid, frame.band_names, settings.sea_gate)
    screening = screened(seen, valid, frame.band_names, settings.screening, verdict)
    if screening.outcome is not TileOutcome.KEPT:
        return TileReport(
            tile=tile, outcome=screening.outcome, reason=screening.reason, cloud_fraction=screening.cloud_fraction
        )
    plan = SearchPlan(windows=(), gate="sea", reason=verdict.reason)
    if verdict.passes:
        around = frame.read_around(tile.core, tile.padded) if padded is None else padded
        seen = reflectance_of(around, settings.dn_offset)
        plan = plan_search(
            seen,
            valid,
            frame.band_names,
            halo_px=settings.halo_px,
            sea_gate=settings.sea_gate,
            land_gate=settings.land_gate,
        )
    return TileLook(padded=seen, core=core, valid=valid, screening=screening, plan=plan)


def screened(
    pixels: np.ndarray,
    valid: np.ndarray,
    band_names: tuple[str, ...],
    settings: ScreeningSettings,
    verdict: GateVerdict,
) -> Screening:
    """The screen of a tile, shortened where the sea gate has seen all of it.

    Water that it stops is dark and has nothing bright in it, so it is neither cloud nor saturated, and where it is rough beyond doubt it
    is not blank: no other look at its pixels can say anything else.
    """
    valid_fraction = int(np.count_nonzero(valid)) / valid.size
    blank_dn = max(settings.blank_sigma_dn[1], settings.blank_relative_sigma * DARK_WATER_DN)
    is_sea = not verdict.passes and verdict.texture_dn > 2 * blank_dn and len(pixels) <= JUDGED_BANDS
    if not is_sea or valid_fraction < max(MOSTLY_VALID, settings.min_valid_fraction):
        return screen(pixels, valid, band_names, settings)
    return Screening(
        valid_fraction=valid_fraction,
        saturated_fraction=0.0,
        texture_dn=verdict.texture_dn,
        cloud_fraction=0.0,
        outcome=TileOutcome.KEPT,
        reason=f"kept: {100 * valid_fraction:.1f} % valid, texture {verdict.texture_dn:.1f} DN, open sea without cloud",
    )


def packed(looked: TileLook, quality_percent: Sequence[float]) -> PackedTile:
    """A tile packed for the raw store, with the forecast of coding it in these steps."""
    return PackedTile(
        data=encode_raw(looked.core, looked.valid), expected=forecast(looked.core, looked.valid, quality_percent)
    )


def reflectance_of(pixels: np.ndarray, dn_offset: int) -> np.ndarray:
    """Digital numbers from which the offset has been taken, not below 0: as screening and detector expect them."""
    if dn_offset == 0:
        return pixels
    offset = pixels.dtype.type(dn_offset)
    reflectance: np.ndarray = np.maximum(pixels, offset) - offset
    return reflectance


def mpix_of(window: Window) -> float:
    """Million pixels of a window."""
    return window.height * window.width / 1e6

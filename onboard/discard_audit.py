"""The discard audit: a few units of what a scene throws away, drawn by chance alone, in one layer of a few kilobytes (pure).

Whoever throws pixels away cannot tell afterwards what was in them. So of every kind of discard a small share is sent all the same: cells
of tiles that no network looked at, and candidates that the detector was not certain enough of. The draw depends on the number of the scene,
the policy's seed and the kind; on no clock, and on nothing that the pixels show. A scene that is surveyed again draws the same units.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from downlink.alerts import AlertDetection
from downlink.audit_sample import MOST_UNITS, AuditManifest, AuditStratum, AuditUnit, DiscardKind, encode_audit
from downlink.image_encoding import encode_image
from downlink.products import AUDIT_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from downlink.scene import SceneSummary, TileOutcome, Window
from onboard.detection import Detection
from onboard.energy_port import EnergyPort
from onboard.energy_prices import EnergyStep
from onboard.errors import TileReadError
from onboard.policy import AuditRules, Policy
from onboard.processed_scene import TileReport
from onboard.sensor_frame import SensorFrame
from onboard.valuation import ValuedLayer

LEVELS: Final = 3
"""Wavelet decompositions of the picture."""
EXACT_PERCENT: Final = 100.0
LARGEST_ROUGH_PERCENT: Final = 50.0
_DRAW: Final = struct.Struct(">QIBI")
_DRAWS: Final = 1 << 64
_OF_OUTCOME: Final = {
    TileOutcome.CLOUD: DiscardKind.CLOUD,
    TileOutcome.BLANK: DiscardKind.BLANK,
    TileOutcome.SATURATED: DiscardKind.SATURATED,
    TileOutcome.POWER: DiscardKind.POWER,
}


def plan_audit(
    reports: Sequence[TileReport],
    candidates: Sequence[Detection],
    *,
    summary: SceneSummary,
    rules: AuditRules,
) -> AuditManifest | None:
    """Count what a scene throws away, and draw from it; None where the policy audits nothing.

    `candidates` are the detections below the threshold, in scene pixels, seams merged. Tiles without data and tiles that cannot be read
    are no discards: there is nothing in them to be missed. Nor are tiles that no detector can search at all.
    """
    cells: dict[DiscardKind, list[tuple[int, int]]] = {}
    for report in reports:
        kind = _kind_of(report, is_searched=summary.model is not None)
        if kind is not None and rules.share_of(kind):
            cells.setdefault(kind, []).extend(_cells(report, rules.cell_px))
    populations = {kind: len(places) for kind, places in cells.items() if places}
    candidates = [one for one in candidates if one.confidence >= rules.lowest_confidence]
    if candidates and rules.share_of(DiscardKind.BELOW_THRESHOLD):
        populations[DiscardKind.BELOW_THRESHOLD] = len(candidates)
    shares = limited_shares({kind: rules.share_of(kind) for kind in populations}, populations, most=rules.most_units)
    if not any(rules.share_of(kind) for kind in DiscardKind):
        return None
    strata = []
    counts = drawn_counts(shares, populations, chance=_chance(rules.seed, summary.scene))
    for kind in sorted(populations):
        places = drawn_units(populations[kind], counts[kind], seed=rules.seed, scene=summary.scene, kind=kind)
        if kind is DiscardKind.BELOW_THRESHOLD:
            units = tuple(_candidate_unit(candidates[place], summary, rules.cell_px) for place in places)
        else:
            units = tuple(AuditUnit(row=cells[kind][place][0], col=cells[kind][place][1]) for place in places)
        strata.append(AuditStratum(kind=kind, population=populations[kind], share=shares[kind], units=units))
    return AuditManifest(cell_px=rules.cell_px, strata=tuple(strata))


def audit_layer(
    manifest: AuditManifest, frame: SensorFrame, summary: SceneSummary, *, policy: Policy, energy: EnergyPort
) -> ValuedLayer:
    """The layer of a planned audit: its units are read and coded in one picture. A cell that cannot be read is invalid in it."""
    payload = encode_audit(manifest, _picture(manifest, frame, policy.audit, energy) if manifest.units else b"")
    rules = policy.audit
    return ValuedLayer(
        layer=Layer(
            address=LayerAddress(scene=summary.scene, product=AUDIT_PRODUCT, step=0),
            rung=Rung.AUDIT,
            size_bytes=OVERHEAD_BYTES + len(payload),
            # What it is worth has to do with how many units there are, never with what they show: else the ground would get a
            # choice of them. One more for the counts, which have to come with none drawn as well.
            value=rules.value * (1 + len(manifest.units)),
            half_life_s=rules.half_life_s,
            captured_ms=summary.captured_ms,
        ),
        payload=payload,
    )


def limited_shares(
    shares: Mapping[DiscardKind, float], populations: Mapping[DiscardKind, int], *, most: int
) -> dict[DiscardKind, float]:
    """The chance of a unit of each kind to be drawn, so that no more than `most` are expected in all.

    Where the policy's shares would give more, the kinds that want least keep theirs and the others get the same number each: a rare kind is
    not crowded out by a common one.
    """
    wanted = {kind: shares[kind] * populations[kind] for kind in populations}
    allowed: dict[DiscardKind, float] = {}
    left = float(most)
    for place, kind in enumerate(sorted(wanted, key=lambda one: (wanted[one], one))):
        allowed[kind] = min(wanted[kind], left / (len(wanted) - place), MOST_UNITS)
        left -= allowed[kind]
    return {kind: min(1.0, allowed[kind] / populations[kind]) if populations[kind] else 0.0 for kind in populations}


def drawn_counts(
    shares: Mapping[DiscardKind, float], populations: Mapping[DiscardKind, int], *, chance: float
) -> dict[DiscardKind, int]:
    """How many units of each kind are drawn: on average exactly share times population, in all never more than that rounded up.

    Controlled rounding: one `chance`, 0 to 1, decides for all kinds (Cox 1987, systematic form).
    """
    counts, before = {}, chance
    for kind in sorted(populations):
        after = before + shares[kind] * populations[kind]
        # The sum of shares of one is a whole number but for rounding.
        counts[kind] = min(populations[kind], int(after + 1e-9) - int(before + 1e-9))
        before = after
    return counts


def drawn_units(population: int, count: int, *, seed: int, scene: int, kind: DiscardKind) -> tuple[int, ...]:
    """`count` different numbers below `population`, in ascending order, all choices alike: a simple random sample without replacement."""
    if 2 * count > population:
        left_out = (
            drawn_units(population, population - count, seed=seed, scene=scene, kind=kind) if count < population else ()
        )
        return tuple(sorted(set(range(population)) - set(left_out)))
    drawn: set[int] = set()
    turn = 0
    while len(drawn) < count:
        turn += 1
        drawn.add(_number(seed, scene, kind, turn) * population // _DRAWS)
    return tuple(sorted(drawn))


def _chance(seed: int, scene: int) -> float:
    """0 to 1, the rounding's."""
    return _number(seed, scene, 0, 0) / _DRAWS


def _number(seed: int, scene: int, kind: int, turn: int) -> int:
    """64 bits that look random: BLAKE2b (RFC 7693) of what is drawn for."""
    return int.from_bytes(hashlib.blake2b(_DRAW.pack(seed, scene, kind, turn), digest_size=8).digest(), "big")


def _kind_of(report: TileReport, *, is_searched: bool) -> DiscardKind | None:
    """What kind of discard a tile is, None where it is none."""
    if report.is_gated:
        return DiscardKind.LAND_GATE if report.gate == "land" else DiscardKind.SEA_GATE
    if report.outcome is TileOutcome.SCREENED:
        return DiscardKind.POWER if is_searched else None
    if report.searched:
        return DiscardKind.GATED_PART
    return _OF_OUTCOME.get(report.outcome)


def _cells(report: TileReport, cell_px: int) -> list[tuple[int, int]]:
    """Upper left corners (row, column) of the cells of a tile, row-major; of a tile that was searched in parts, those that share no pixel
    with what was searched."""
    core = report.tile.core
    corners = [
        (row, col) for row in range(core.row, core.row_stop, cell_px) for col in range(core.col, core.col_stop, cell_px)
    ]
    if not report.searched:
        return corners
    is_searched = np.zeros((core.height, core.width), bool)
    for window in report.searched:
        inside = window.intersection(core)
        if inside is not None:
            is_searched[inside.shifted(-core.row, -core.col).slices] = True
    return [
        (row, col)
        for row, col in corners
        if not is_searched[row - core.row : row - core.row + cell_px, col - core.col : col - core.col + cell_px].any()
    ]


def _candidate_unit(candidate: Detection, summary: SceneSummary, cell_px: int) -> AuditUnit:
    """A candidate in the middle of its cell, unless the edge of the scene is near."""
    x, y = candidate.center_px
    row, col = (
        max(0, min(round(middle - cell_px / 2), side - cell_px))
        for middle, side in ((y, summary.height), (x, summary.width))
    )
    said = AlertDetection(class_id=candidate.class_id, confidence=candidate.confidence, corners_px=candidate.corners_px)
    return AuditUnit(row=row, col=col, candidate=said)


def _picture(manifest: AuditManifest, frame: SensorFrame, rules: AuditRules, energy: EnergyPort) -> bytes:
    """Step 0 of an image of the cells, one below the other."""
    side, units = manifest.cell_px, manifest.units
    with energy.charge(EnergyStep.ENCODE, len(units) * side * side / 1e6):
        cells = [_read(frame, Window(row=unit.row, col=unit.col, height=side, width=side)) for _, unit in units]
        pixels, valid = np.concatenate([one for one, _ in cells], axis=1), np.concatenate([one for _, one in cells])
        percent = min(LARGEST_ROUGH_PERCENT, 100 * rules.unit_bytes * len(units) / pixels.nbytes)
        image = encode_image(
            pixels,
            Window(row=0, col=0, height=len(units) * side, width=side),
            valid=valid,
            quality_percent=(percent, EXACT_PERCENT),
            levels=LEVELS,
            nodata=frame.nodata,
        )
    return image.payloads[0]


def _read(frame: SensorFrame, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (bands, height, width) and which of them are valid."""
    try:
        return frame.read(window), frame.valid(window)
    except TileReadError:
        shape = (window.height, window.width)
        return np.zeros((len(frame.band_names), *shape), frame.dtype), np.zeros(shape, bool)

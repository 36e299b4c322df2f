"""What a flight saved and what was lost by saving it: the figures of report.json, each from the record or the files.

Savings compare bytes on the link with the same scenes raw, lossless, and as JPEG 2000 of equal quality. Quality
compares the published GeoTIFF with the original pixels, window by window.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import rasterio
from rasterio.windows import Window as RasterWindow

from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings, plan_downlink
from downlink.products import FIRST_BLOCK, LayerAddress
from downlink.record import OVERHEAD_BYTES
from downlink.scene import TileOutcome, Window
from ground.catalogue import PublishedScene
from ground.comparison import NOTHING_COMPARED, SquaredError, region_mask, squared_error
from mission.flight import FlightRecord, raw_size_bytes
from mission.report_model import (
    ByteFigures,
    CodingFigures,
    ContactFigures,
    LatencyFigures,
    LedgerAccount,
    LedgerFigures,
    LinkFigures,
    QualityFigures,
    RawTileAccount,
    UplinkFigures,
)
from mission.report_rows import GIVEN_UP, WAITING
from onboard.processed_scene import ProcessedScene, TilePixels, TileReport
from onboard.sensor_frame import SensorFrame
from onboard.tiles import tile_grid

PLANNED_PAYLOAD_FRACTION: Final = 0.95
"""What headers and fill leave of a contact: `python -m benchmarks.link_overhead` finds 3.5 % without loss."""
LAST_FRAME_MS: Final = 1000
"""Longer than any frame is on its way, shorter than the pause between two contacts."""
DISCARDING = frozenset(TileOutcome) - {TileOutcome.KEPT, TileOutcome.SCREENED}


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneQuality:
    """One rebuilt scene beside its original."""

    scene: SquaredError
    """Over pixels that are valid in both."""
    regions: SquaredError
    """The same inside the regions of interest."""
    peak_dn: int
    """Full scale of its PSNR."""
    original_valid: int
    """Pixels with data on board."""
    rebuilt_valid: int
    """Of these, pixels on the ground."""
    region_pixels: int
    """Valid original pixels inside the regions of interest."""
    region_rebuilt: int
    """Of these, pixels on the ground."""


def compare_scene(frame: SensorFrame, processed: ProcessedScene, published: PublishedScene | None) -> SceneQuality:
    """Read original and rebuilt scene tile by tile; regions of interest are the windows of the chips."""
    scene, regions = NOTHING_COMPARED, NOTHING_COMPARED
    counts: Counter[str] = Counter()
    windows = [chip.window for chip in processed.chips]
    cores = [
        tile.core
        for tile, report in zip(tile_grid(frame.height, frame.width), processed.tiles, strict=True)
        if report.outcome is not TileOutcome.UNREADABLE
    ]
    for core in cores:
        original, valid = frame.read(core), frame.valid(core)
        inside = region_mask(valid.shape, windows, origin=(core.row, core.col)) & valid
        counts["original"] += int(valid.sum())
        counts["region"] += int(inside.sum())
        if published is None:
            continue
        rebuilt, arrived = _read_rebuilt(published, core, len(frame.band_names))
        scene += squared_error(original, rebuilt, valid & arrived)
        regions += squared_error(original, rebuilt, inside & arrived)
        counts["rebuilt"] += int((valid & arrived).sum())
        counts["region rebuilt"] += int((inside & arrived).sum())
    return SceneQuality(
        scene=scene,
        regions=regions,
        peak_dn=processed.summary.peak_dn,
        original_valid=counts["original"],
        rebuilt_valid=counts["rebuilt"],
        region_pixels=counts["region"],
        region_rebuilt=counts["region rebuilt"],
    )


def quality_figures(qualities: Sequence[SceneQuality]) -> QualityFigures:
    """All scenes together; errors of scenes with different full scales are weighed by them."""
    scene_db, scene_exact = _pooled_psnr_db([(q.scene, q.peak_dn) for q in qualities])
    roi_db, roi_exact = _pooled_psnr_db([(q.regions, q.peak_dn) for q in qualities])
    original = sum(quality.original_valid for quality in qualities)
    region = sum(quality.region_pixels for quality in qualities)
    return QualityFigures(
        roi_psnr_db=roi_db,
        scene_psnr_db=scene_db,
        valid_fraction=sum(q.rebuilt_valid for q in qualities) / original if original else 0.0,
        roi_valid_fraction=sum(q.region_rebuilt for q in qualities) / region if region else None,
        roi_lossless=roi_exact,
        scene_lossless=scene_exact,
    )


def byte_figures(
    record: FlightRecord, *, lossless: int | None, lossless_codec: str | None, lossy_equal_quality: int | None
) -> ByteFigures:
    """Bytes on the link beside the baselines."""
    store = record.layer_store
    payloads = {address: store.payload_bytes(address) for address in store.addresses}
    by_rung: Counter[str] = Counter()
    for address, size_bytes in payloads.items():
        by_rung[record.captured[address].rung.name.lower()] += size_bytes
    downlinked = sum(log.sent_bytes for log in record.world.contact_logs)
    return ByteFigures(
        raw=record.raw_bytes,
        lossless=lossless,
        lossy_equal_quality=lossy_equal_quality,
        crops_only=by_rung["chip"],
        downlinked=downlinked,
        overhead=downlinked - sum(payloads.values()),
        uplinked=sum(log.uplink_bytes for log in record.world.contact_logs),
        by_rung=dict(by_rung),
        lossless_codec=lossless_codec,
    )


def ledger_figures(record: FlightRecord, frames: Sequence[SensorFrame]) -> LedgerFigures:
    """Where every tile, every raw byte and every layer byte ended: as the ground's store and the satellite's say."""
    tiles: Counter[str] = Counter()
    raw: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for frame, processed in zip(frames, record.scenes, strict=True):
        bytes_per_pixel = raw_size_bytes(frame) // (frame.height * frame.width)
        for report in processed.tiles:
            fate = _tile_fate(record, processed.summary.scene, report)
            tiles[fate] += 1
            raw[fate] += report.tile.core.height * report.tile.core.width * bytes_per_pixel
            reasons[tile_state(report)] += 1
    captured = sum(len(tile_grid(frame.height, frame.width)) for frame in frames)
    return LedgerFigures(
        captured=captured,
        **{fate: tiles[fate] for fate in ("delivered", "queued", "evicted", "discarded")},
        reasons=dict(reasons),
        raw_bytes=LedgerAccount(
            captured=record.raw_bytes, **{fate: raw[fate] for fate in ("delivered", "queued", "evicted", "discarded")}
        ),
        layer_bytes=_layer_account(record),
    )


def contact_figures(record: FlightRecord) -> tuple[ContactFigures, ...]:
    """What each contact was planned to carry and what it carried."""
    start_ms = record.scenario.start_ms
    contacts = [planned.contact for planned in record.contacts]
    planned = plan_downlink(
        record.captured.values(),
        contacts,
        now_ms=record.captured_ms[0],
        settings=PlannerSettings(payload_fraction=PLANNED_PAYLOAD_FRACTION),
    )
    planned_bytes = {one.contact.contact_id: one.size_bytes for one in planned.contacts}
    return tuple(
        ContactFigures(
            id=log.contact.contact_id,
            station=log.contact.station,
            aos_s=(log.contact.aos_ms - start_ms) / 1000,
            los_s=(log.contact.los_ms - start_ms) / 1000,
            capacity_bytes=log.contact.capacity_bytes,
            planned_bytes=planned_bytes.get(log.contact.contact_id, 0),
            carried_bytes=_carried_bytes(record, log.contact),
            sent_bytes=log.sent_bytes,
            frames=log.frames,
            frames_lost=log.downlink.lost,
            retransmitted_bytes=log.repeated_bytes,
            idle_bytes=max(0, log.contact.capacity_bytes - log.sent_bytes),
        )
        for log in record.world.contact_logs
    )


def link_figures(record: FlightRecord) -> LinkFigures:
    """Totals over all contacts."""
    logs = record.world.contact_logs
    return LinkFigures(
        frames_sent=sum(log.frames for log in logs),
        frames_lost=sum(log.downlink.lost for log in logs),
        frames_corrupted=sum(log.downlink.corrupted for log in logs),
        retransmitted_bytes=sum(log.repeated_bytes for log in logs),
        idle_bytes=sum(max(0, log.contact.capacity_bytes - log.sent_bytes) for log in logs),
        naks=record.world.computer.naks_heard,
        uplink=_uplink_figures(record),
    )


def _uplink_figures(record: FlightRecord) -> UplinkFigures:
    counts, desk = record.world.computer.gate.counts, record.world.station.desk
    given = len(record.scenario.order)
    return UplinkFigures(
        frames_accepted=counts.accepted,
        frames_refused=counts.refused,
        orders_given=given,
        orders_acknowledged=given - len(desk.outstanding) - desk.expired_orders,
    )


def latency_figures(latencies_s: Sequence[float]) -> LatencyFigures:
    """First, median and 90th percentile of the seconds from capture to ground, over detections."""
    if not latencies_s:
        return LatencyFigures(first_alert=None, alerts_p50=None, alerts_p90=None)
    return LatencyFigures(
        first_alert=min(latencies_s),
        alerts_p50=float(np.percentile(latencies_s, 50)),
        alerts_p90=float(np.percentile(latencies_s, 90)),
    )


def _carried_bytes(record: FlightRecord, contact: Contact) -> int:
    """Layers that arrived from AOS until the last frame sent before LOS was down."""
    end_ms = contact.los_ms + LAST_FRAME_MS
    return sum(
        record.captured[address].size_bytes
        for observation in record.world.observations
        if observation.what == "arrived" and contact.aos_ms <= observation.at_ms < end_ms
        for address in observation.addresses
    )


def coding_figures(record: FlightRecord) -> CodingFigures:
    """What of the kept tiles was coded."""
    account, waiting = record.coding.tiles, record.coding.waiting
    blocks = record.coding.blocks
    uncoded_mpix = sum(
        report.tile.core.height * report.tile.core.width / 1e6
        for scene in record.scenes
        for report in scene.tiles
        if report.pixels in (TilePixels.RAW, TilePixels.DISCARDED)
    )
    coded_mpix = sum(block.mpix for block in blocks)
    j_per_mpix = record.coding.spent_j / coded_mpix if coded_mpix else record.scenario.power.prices.encode_j_per_mpix
    saved = [block.saved_bytes for block in blocks if block.saved_bytes is not None]
    return CodingFigures(
        tiles=RawTileAccount(
            kept=account.kept.tiles,
            coded=account.coded.tiles,
            waiting=waiting.tiles,
            discarded=account.discarded.tiles,
            damaged=account.damaged.tiles,
        ),
        raw_store_bytes=RawTileAccount(
            kept=account.kept.size_bytes,
            coded=account.coded.size_bytes,
            waiting=waiting.size_bytes,
            discarded=account.discarded.size_bytes,
            damaged=account.damaged.size_bytes,
        ),
        tiles_gated=sum(report.is_gated for scene in record.scenes for report in scene.tiles),
        encode_j=record.coding.spent_j,
        encode_j_saved=j_per_mpix * uncoded_mpix,
        blocks=dict(sorted(Counter(block.choice.value for block in blocks).items())),
        reference_saved_bytes=sum(saved) if saved else None,
    )


def tile_state(report: TileReport) -> str:
    """What has become of a tile, in a word: its outcome, or that its pixels wait uncoded or were given up so."""
    match report.pixels:
        case TilePixels.RAW:
            return WAITING
        case TilePixels.DISCARDED:
            return GIVEN_UP
        case _:
            return report.outcome.value


def _tile_fate(record: FlightRecord, scene: int, report: TileReport) -> str:
    if report.outcome in DISCARDING or report.pixels is TilePixels.DISCARDED:
        return "discarded"
    if report.pixels is TilePixels.RAW:
        return "queued"
    base = LayerAddress(scene=scene, product=FIRST_BLOCK + report.tile.index, step=0)
    if record.layer_store.holds(base):
        return "delivered"
    return "evicted" if base in record.product_store.evicted else "queued"


def _layer_account(record: FlightRecord) -> LedgerAccount:
    """Layer bytes: delivered is what the ground holds, whether or not the satellite has been told yet."""
    on_ground, evicted = record.layer_store.addresses, record.product_store.evicted
    fates: Counter[str] = Counter()
    for address in on_ground:
        fates["delivered"] += OVERHEAD_BYTES + record.layer_store.payload_bytes(address)
    for address, layer in record.captured.items():
        if address not in on_ground:
            fates["evicted" if address in evicted else "queued"] += layer.size_bytes
    return LedgerAccount(
        captured=record.product_store.account().captured_bytes,
        **{fate: fates[fate] for fate in ("delivered", "queued", "evicted")},
        discarded=0,
    )


def _pooled_psnr_db(errors: Sequence[tuple[SquaredError, int]]) -> tuple[float | None, bool]:
    """(PSNR in dB, whether the pixels are identical); None where nothing was compared or nothing differs."""
    samples = sum(error.samples for error, _ in errors)
    relative = sum(error.total / peak_dn**2 for error, peak_dn in errors)
    if samples == 0:
        return None, False
    if relative == 0:
        return None, True
    return 10 * math.log10(samples / relative), False


def _read_rebuilt(published: PublishedScene, core: Window, bands: int) -> tuple[np.ndarray, np.ndarray]:
    window = RasterWindow(core.col, core.row, core.width, core.height)
    with rasterio.open(published.cog) as dataset:
        pixels = dataset.read(list(range(1, bands + 1)), window=window)
        return pixels, dataset.dataset_mask(window=window) > 0

"""From a sensor frame to valued layers: every tile is screened, searched, coded and accounted for, one at a time.

The pipeline owns no clock, file or randomness: the frame reads its own pixels, the detector and the energy port are
handed in. Layers leave through `emit` as soon as they exist, so memory does not grow with the scene.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from downlink.alerts import BATCH_LIMIT, LARGEST_SIDE_PX
from downlink.image_encoding import encode_image
from downlink.products import (
    ALERT_BATCHES_LIMIT,
    BLOCKS_LIMIT,
    FIRST_BLOCK,
    FIRST_CHIP,
    SUMMARY_PRODUCT,
    LayerAddress,
)
from downlink.scene import SceneSummary, TileOutcome
from onboard.chips import Chip
from onboard.detection import Detection
from onboard.detector import Detector
from onboard.energy_port import EnergyPort
from onboard.energy_prices import EnergyStep
from onboard.errors import SceneTooLargeError, TileReadError
from onboard.governor import Effort
from onboard.network_input import band_key
from onboard.policy import Policy
from onboard.regions import RegionCoder, within_scene
from onboard.scene_places import area_weight, centre_px
from onboard.screening import Screening, ScreeningSettings, screen
from onboard.seam_merge import away_from_edges, merge_seams
from onboard.sensor_frame import SensorFrame
from onboard.tiles import TileWindow, tile_grid
from onboard.valuation import ValuedLayer, value_alerts, value_image, value_summary

Emit = Callable[[Sequence[ValuedLayer]], None]
DETECTIONS_LIMIT = BATCH_LIMIT * ALERT_BATCHES_LIMIT
"""Detections that alerts of one scene can name; beyond it the least certain are left out, with a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """How scenes are cut and judged."""

    screening: ScreeningSettings
    """Limits of the tile screen."""
    peak_dn: int
    """Digital number that counts as full scale in every PSNR."""
    dn_offset: int = 0
    """Digital number of reflectance 0; Sentinel-2 products since processing baseline 04.00 have 1000."""
    tile_px: int = 512
    """Edge of a tile core."""
    halo_px: int = 64
    """What the detector sees around it."""
    edge_px: int = 32
    """Detections whose centre lies nearer to the edge of the padded tile are left to the neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileReport:
    """What became of one tile, for provenance."""

    tile: TileWindow
    """Where."""
    outcome: TileOutcome
    """Kept, or why not."""
    reason: str
    """A sentence with the numbers that decided."""
    cloud_fraction: float | None = None
    """0 to 1, None when not judged."""
    detections: int = 0
    """Objects seen in the padded tile, before seams are merged."""
    coded_bytes: int = 0
    """Bytes of the block's layers; 0 when it was not coded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedScene:
    """Everything that is known on board once a scene has been worked through."""

    summary: SceneSummary
    """What travels first."""
    tiles: tuple[TileReport, ...]
    """Row-major."""
    detections: tuple[Detection, ...]
    """In scene pixels, seams merged, most confident first."""
    chips: tuple[Chip, ...]
    """Windows cut out around them."""
    notes: tuple[str, ...]
    """What a reader should know: why nothing was searched, what was assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SceneInWork:
    """What every step needs to know of the scene."""

    frame: SensorFrame
    number: int
    captured_ms: int
    detector: Detector | None
    """None where nothing can search this scene."""


@dataclass(slots=True, kw_only=True)
class ScenePipeline:
    """Works scenes through, tile by tile."""

    policy: Policy
    """What the mission values."""
    settings: PipelineSettings
    """How scenes are cut and judged."""
    detector: Detector | None
    """What looks at tiles; None flies without."""
    energy: EnergyPort
    """Allows effort and is charged for it."""
    emit: Emit
    """Takes the layers."""
    on_tile: Callable[[TileReport], None] = field(default=lambda report: None)
    """Told of every tile done."""
    is_kept: Callable[[int], bool] = field(default=lambda product: False)
    """Whether an earlier attempt at this scene had all layers of a product stored: it is not coded again. What is emitted
    together must have been stored together or not at all."""

    def process(self, frame: SensorFrame, *, scene: int, captured_ms: int) -> ProcessedScene:
        """Screen, search, code and value every tile of `frame`; hand every layer to `emit`.

        Raises SceneTooLargeError, before any work, for a scene that layers and alerts cannot address.
        """
        _require_addressable(frame, self.settings.tile_px)
        notes = list(frame.notes)
        work = _SceneInWork(
            frame=frame, number=scene, captured_ms=captured_ms, detector=self._usable_detector(frame, notes)
        )
        found: list[Detection] = []
        reports = []
        for tile in tile_grid(frame.height, frame.width, tile_px=self.settings.tile_px, halo_px=self.settings.halo_px):
            report, seen = self._process_tile(work, tile)
            found.extend(seen)
            reports.append(report)
            self.on_tile(report)
        if unreadable := sum(report.outcome is TileOutcome.UNREADABLE for report in reports):
            notes.append(f"the file is damaged: {unreadable} of {len(reports)} tiles cannot be read and were not sent")
        detections = within_scene(merge_seams(found), frame)
        if len(detections) > DETECTIONS_LIMIT:
            notes.append(f"{len(detections)} detections: only the {DETECTIONS_LIMIT} most certain are kept")
            detections = detections[:DETECTIONS_LIMIT]
        summary = self._summary(work, reports)
        chips = self._emit_regions(frame, summary, detections, notes)
        return ProcessedScene(
            summary=summary, tiles=tuple(reports), detections=tuple(detections), chips=chips, notes=tuple(notes)
        )

    def _usable_detector(self, frame: SensorFrame, notes: list[str]) -> Detector | None:
        if self.detector is None:
            notes.append("no detector: tiles are screened and coded, nothing is searched")
            return None
        present = {band_key(name) for name in frame.band_names}
        missing = [name for name in self.detector.model.bands if band_key(name) not in present]
        if missing:
            notes.append(
                f"detector {self.detector.model.label} needs {', '.join(missing)}, the scene has "
                f"{', '.join(frame.band_names)}: nothing is searched; name the bands in [sensor] band_names"
            )
            return None
        return self.detector

    def _process_tile(self, work: _SceneInWork, tile: TileWindow) -> tuple[TileReport, list[Detection]]:
        mpix = tile.core.height * tile.core.width / 1e6
        decision = self.energy.decide(mpix)
        is_kept = self.is_kept(FIRST_BLOCK + tile.index)
        if decision.effort is Effort.SKIP and is_kept:
            reason = f"coded in an earlier attempt; not searched: {decision.reason}"
            return TileReport(tile=tile, outcome=TileOutcome.SCREENED, reason=reason), []
        if decision.effort is Effort.SKIP:
            return TileReport(tile=tile, outcome=TileOutcome.POWER, reason=decision.reason), []
        try:
            with self.energy.charge(EnergyStep.INGEST, mpix):
                padded = work.frame.read_around(tile.core, tile.padded)
                valid = work.frame.valid(tile.core)
        except TileReadError as error:
            return TileReport(tile=tile, outcome=TileOutcome.UNREADABLE, reason=str(error)), []
        halo = self.settings.halo_px
        core = padded[:, halo : halo + tile.core.height, halo : halo + tile.core.width]
        with self.energy.charge(EnergyStep.SCREEN, mpix):
            screening = screen(self._reflectance(core), valid, work.frame.band_names, self.settings.screening)
        if screening.outcome is not TileOutcome.KEPT:
            report = TileReport(
                tile=tile, outcome=screening.outcome, reason=screening.reason, cloud_fraction=screening.cloud_fraction
            )
            return report, []
        outcome, reason, seen = TileOutcome.KEPT, screening.reason, []
        if work.detector is None:
            outcome, reason = TileOutcome.SCREENED, f"{reason}; not searched: no detector for this scene"
        elif decision.effort is not Effort.DETECT:
            outcome, reason = TileOutcome.SCREENED, f"{reason}; not searched: {decision.reason}"
        else:
            with self.energy.charge(EnergyStep.DETECT, mpix):
                seen = self._search(self._reflectance(padded), work.frame, tile, work.detector)
        layers: tuple[ValuedLayer, ...] = ()
        if not is_kept:
            with self.energy.charge(EnergyStep.ENCODE, mpix):
                layers = self._code_block(work, core, valid, tile, screening)
            self.emit(layers)
        report = TileReport(
            tile=tile,
            outcome=outcome,
            reason=reason,
            cloud_fraction=screening.cloud_fraction,
            detections=len(seen),
            coded_bytes=sum(valued.layer.size_bytes for valued in layers),
        )
        return report, seen

    def _reflectance(self, pixels: np.ndarray) -> np.ndarray:
        """Digital numbers that start at 0, as screening and detector expect them; what is coded keeps its offset."""
        if self.settings.dn_offset == 0:
            return pixels
        offset = pixels.dtype.type(self.settings.dn_offset)
        reflectance: np.ndarray = np.maximum(pixels, offset) - offset
        return reflectance

    def _search(self, padded: np.ndarray, frame: SensorFrame, tile: TileWindow, detector: Detector) -> list[Detection]:
        """Detections of a padded tile, in scene pixels, away from its edges."""
        seen = away_from_edges(
            detector.detect(padded, frame.band_names), size_px=padded.shape[1:], margin_px=self.settings.edge_px
        )
        return [detection.shifted(tile.padded.col, tile.padded.row) for detection in seen]

    def _code_block(
        self, work: _SceneInWork, core: np.ndarray, valid: np.ndarray, tile: TileWindow, screening: Screening
    ) -> tuple[ValuedLayer, ...]:
        interest, frame = self.policy.blocks, work.frame
        image = encode_image(
            core,
            tile.core,
            valid=valid,
            quality_percent=interest.quality_percent,
            levels=interest.levels,
            nodata=frame.nodata,
        )
        clear_mpix = core.shape[1] * core.shape[2] / 1e6 * screening.valid_fraction
        clear_mpix *= 1 - (screening.cloud_fraction or 0.0)
        return value_image(
            image,
            LayerAddress(scene=work.number, product=FIRST_BLOCK + tile.index, step=0),
            points=interest.value * clear_mpix * area_weight(self.policy, frame, centre_px(tile.core)),
            interest=interest,
            policy=self.policy,
            captured_ms=work.captured_ms,
            peak_dn=self.settings.peak_dn,
        )

    def _emit_regions(
        self, frame: SensorFrame, summary: SceneSummary, detections: Sequence[Detection], notes: list[str]
    ) -> tuple[Chip, ...]:
        """Summary and alerts first, then a chip for every cluster of detections; returns those that could be cut."""
        coder = RegionCoder(frame=frame, summary=summary, policy=self.policy, energy=self.energy)
        points = [coder.points(detection) for detection in detections]
        alerts = value_alerts(
            detections, points, scene=summary.scene, policy=self.policy, captured_ms=summary.captured_ms
        )
        if not self.is_kept(SUMMARY_PRODUCT):
            self.emit((value_summary(summary, self.policy), *alerts))
        cut: list[Chip] = []
        for chip in coder.chips(detections):
            if self.is_kept(FIRST_CHIP + len(cut)):
                cut.append(chip)
                continue
            try:
                layers = coder.code(chip, len(cut), sum(points[member] for member in chip.members))
            except TileReadError as error:
                notes.append(f"no chip around {len(chip.members)} detections: {error}")
                continue
            self.emit(layers)
            cut.append(chip)
        return tuple(cut)

    def _summary(self, work: _SceneInWork, reports: Sequence[TileReport]) -> SceneSummary:
        frame, detector = work.frame, work.detector
        return SceneSummary(
            scene=work.number,
            name=frame.name,
            captured_ms=work.captured_ms,
            acquired_ms=None if frame.captured_ms is None else max(0, frame.captured_ms),
            height=frame.height,
            width=frame.width,
            dtype=frame.dtype,
            band_names=frame.band_names,
            nodata=frame.nodata,
            georeference=frame.georeference,
            peak_dn=self.settings.peak_dn,
            tile_px=self.settings.tile_px,
            tile_outcomes=tuple(report.outcome for report in reports),
            gsd_m=frame.gsd_m,
            footprint_lonlat=frame.footprint_lonlat,
            model=detector.model.label if detector else None,
            classes=detector.model.classes if detector else (),
            policy=self.policy.name,
        )


def _require_addressable(frame: SensorFrame, tile_px: int) -> None:
    tiles = -(-frame.height // tile_px) * -(-frame.width // tile_px)
    if tiles > BLOCKS_LIMIT or max(frame.height, frame.width) > LARGEST_SIDE_PX:
        raise SceneTooLargeError(
            f"scene {frame.name} of {frame.height} x {frame.width} px has {tiles} tiles of {tile_px} px; layers name at most "
            f"{BLOCKS_LIMIT} tiles and alerts {LARGEST_SIDE_PX} px on a side: cut it into smaller scenes",
            height=frame.height,
            width=frame.width,
            tiles=tiles,
        )

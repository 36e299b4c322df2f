"""From a sensor frame to valued layers: every tile is screened, searched, coded and accounted for, one at a time.

The pipeline owns no clock, file or randomness: the frame reads its own pixels, the detector and the energy port are
handed in. Layers leave through `emit` as soon as they exist, so memory does not grow with the scene.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from downlink.image_layers import encode_image
from downlink.products import FIRST_BLOCK, FIRST_CHIP, LayerAddress
from downlink.scene import SceneSummary, TileOutcome, Window
from onboard.chips import Chip, cut_chips
from onboard.detection import Detection
from onboard.detector import Detector
from onboard.energy_prices import EnergyStep
from onboard.errors import TileReadError
from onboard.governor import Decision, Effort
from onboard.network_input import band_key
from onboard.policy import Policy
from onboard.screening import Screening, ScreeningSettings, screen
from onboard.seam_merge import away_from_edges, merge_seams
from onboard.sensor_frame import SensorFrame
from onboard.tiles import TileWindow, tile_grid
from onboard.valuation import ValuedLayer, value_alerts, value_image, value_summary

Emit = Callable[[Sequence[ValuedLayer]], None]


class EnergyPort(Protocol):
    """Who decides what a tile may cost and notes what it did cost."""

    def decide(self, mpix: float) -> Decision:
        """The effort that a tile of `mpix` million pixels may take, and why."""

    def charge(self, step: EnergyStep, mpix: float) -> AbstractContextManager[None]:
        """A context in which the work of `step` on `mpix` million pixels is done and charged."""


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
    edge_px: int = 8
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
    cloud_fraction: float | None
    """0 to 1, None when not judged."""
    detections: int
    """Objects seen in the padded tile, before seams are merged."""
    coded_bytes: int
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


@dataclass(slots=True, kw_only=True)
class ScenePipeline:
    """Works scenes through, tile by tile."""

    policy: Policy
    settings: PipelineSettings
    detector: Detector | None
    energy: EnergyPort
    emit: Emit
    on_tile: Callable[[TileReport], None] = field(default=lambda report: None)

    def process(self, frame: SensorFrame, *, scene: int, captured_ms: int) -> ProcessedScene:
        """Screen, search, code and value every tile of `frame`; hand every layer to `emit`."""
        notes = list(frame.notes)
        detector = self._usable_detector(frame, notes)
        found: list[Detection] = []
        reports = []
        for tile in tile_grid(frame.height, frame.width, tile_px=self.settings.tile_px, halo_px=self.settings.halo_px):
            report, seen = self._process_tile(frame, tile, detector, scene=scene, captured_ms=captured_ms)
            found.extend(seen)
            reports.append(report)
            self.on_tile(report)
        detections = _within(merge_seams(found), frame)
        summary = self._summary(frame, reports, detector, scene=scene, captured_ms=captured_ms)
        chips = self._emit_regions(frame, summary, detections)
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

    def _process_tile(
        self, frame: SensorFrame, tile: TileWindow, detector: Detector | None, *, scene: int, captured_ms: int
    ) -> tuple[TileReport, list[Detection]]:
        mpix = tile.core.height * tile.core.width / 1e6
        decision = self.energy.decide(mpix)
        effort, why = decision.effort, decision.reason
        if effort is Effort.SKIP:
            return _tile_report(tile, TileOutcome.POWER, why), []
        try:
            with self.energy.charge(EnergyStep.INGEST, mpix):
                padded = frame.read_around(tile.core, tile.padded)
                valid = frame.valid(tile.core)
        except TileReadError as error:
            return _tile_report(tile, TileOutcome.UNREADABLE, str(error)), []
        halo = self.settings.halo_px
        core = padded[:, halo : halo + tile.core.height, halo : halo + tile.core.width]
        with self.energy.charge(EnergyStep.SCREEN, mpix):
            screening = screen(self._reflectance(core), valid, frame.band_names, self.settings.screening)
        if screening.outcome is not TileOutcome.KEPT:
            return _tile_report(tile, screening.outcome, screening.reason, screening), []
        searching = detector is not None and effort is Effort.DETECT
        seen: list[Detection] = []
        if searching and detector is not None:
            with self.energy.charge(EnergyStep.DETECT, mpix):
                seen = self._search(self._reflectance(padded), frame, tile, detector)
        with self.energy.charge(EnergyStep.ENCODE, mpix):
            layers = self._code_block(core, valid, frame, tile, screening, scene=scene, captured_ms=captured_ms)
        self.emit(layers)
        reason = screening.reason if effort is Effort.DETECT else f"{screening.reason}; not searched: {why}"
        outcome = TileOutcome.KEPT if effort is Effort.DETECT else TileOutcome.SCREENED
        coded_bytes = sum(valued.layer.size_bytes for valued in layers)
        return _tile_report(tile, outcome, reason, screening, detections=len(seen), coded_bytes=coded_bytes), seen

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
        halo = self.settings.halo_px
        return [detection.shifted(tile.core.col - halo, tile.core.row - halo) for detection in seen]

    def _code_block(
        self,
        core: np.ndarray,
        valid: np.ndarray,
        frame: SensorFrame,
        tile: TileWindow,
        screening: Screening,
        *,
        scene: int,
        captured_ms: int,
    ) -> tuple[ValuedLayer, ...]:
        interest = self.policy.blocks
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
        place = self.policy.area_weight(_lonlat(frame, _centre(tile.core)))
        return value_image(
            image,
            LayerAddress(scene=scene, product=FIRST_BLOCK + tile.index, step=0),
            points=interest.value * clear_mpix * place,
            interest=interest,
            policy=self.policy,
            captured_ms=captured_ms,
            peak_dn=self.settings.peak_dn,
        )

    def _emit_regions(
        self, frame: SensorFrame, summary: SceneSummary, detections: Sequence[Detection]
    ) -> tuple[Chip, ...]:
        """Summary and alerts first, then a chip for every cluster of detections."""
        points = [self._points(detection, frame, summary) for detection in detections]
        self.emit(
            (
                value_summary(summary, self.policy),
                *value_alerts(
                    detections, points, scene=summary.scene, policy=self.policy, captured_ms=summary.captured_ms
                ),
            )
        )
        interest = self.policy.chips
        chips = cut_chips(
            detections,
            height=frame.height,
            width=frame.width,
            margin_px=interest.margin_px,
            largest_px=interest.largest_px,
        )
        for number, chip in enumerate(chips):
            mpix = chip.window.height * chip.window.width / 1e6
            with self.energy.charge(EnergyStep.ENCODE, mpix):
                image = encode_image(
                    frame.read(chip.window),
                    chip.window,
                    valid=frame.valid(chip.window),
                    quality_percent=interest.quality_percent,
                    levels=interest.levels,
                    nodata=frame.nodata,
                )
            self.emit(
                value_image(
                    image,
                    LayerAddress(scene=summary.scene, product=FIRST_CHIP + number, step=0),
                    points=interest.value * sum(points[member] for member in chip.members),
                    interest=interest,
                    policy=self.policy,
                    captured_ms=summary.captured_ms,
                    peak_dn=self.settings.peak_dn,
                )
            )
        return chips

    def _points(self, detection: Detection, frame: SensorFrame, summary: SceneSummary) -> float:
        """What one detection is worth: class weight times probability times the weight of the place."""
        class_weight = self.policy.class_weight(summary.classes[detection.class_id])
        return class_weight * detection.confidence * self.policy.area_weight(_lonlat(frame, detection.center_px))

    def _summary(
        self,
        frame: SensorFrame,
        reports: Sequence[TileReport],
        detector: Detector | None,
        *,
        scene: int,
        captured_ms: int,
    ) -> SceneSummary:
        return SceneSummary(
            scene=scene,
            name=frame.name,
            captured_ms=captured_ms,
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


def _tile_report(
    tile: TileWindow,
    outcome: TileOutcome,
    reason: str,
    screening: Screening | None = None,
    *,
    detections: int = 0,
    coded_bytes: int = 0,
) -> TileReport:
    return TileReport(
        tile=tile,
        outcome=outcome,
        reason=reason,
        cloud_fraction=screening.cloud_fraction if screening else None,
        detections=detections,
        coded_bytes=coded_bytes,
    )


def _within(detections: Sequence[Detection], frame: SensorFrame) -> list[Detection]:
    """Detections whose centre lies in the scene, their corners clipped to it: repeated edge pixels are no ground."""
    scene = Window(row=0, col=0, height=frame.height, width=frame.width)
    return [_clipped(d, frame) for d in detections if scene.contains(*d.center_px)]


def _clipped(detection: Detection, frame: SensorFrame) -> Detection:
    first, second, third, fourth = (
        (min(max(x, 0.0), float(frame.width)), min(max(y, 0.0), float(frame.height))) for x, y in detection.corners_px
    )
    return Detection(
        class_id=detection.class_id, confidence=detection.confidence, corners_px=(first, second, third, fourth)
    )


def _centre(window: Window) -> tuple[float, float]:
    return window.col + window.width / 2, window.row + window.height / 2


def _lonlat(frame: SensorFrame, point_px: tuple[float, float]) -> tuple[float, float] | None:
    """Longitude and latitude of a pixel, bilinear between the corners of the footprint: good enough to weigh areas."""
    if frame.footprint_lonlat is None:
        return None
    u, v = point_px[0] / frame.width, point_px[1] / frame.height
    weights = ((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v)
    lon0 = frame.footprint_lonlat[0][0]
    lon = sum(
        w * (lon0 + (corner[0] - lon0 + 180) % 360 - 180)
        for w, corner in zip(weights, frame.footprint_lonlat, strict=True)
    )
    lat = sum(w * corner[1] for w, corner in zip(weights, frame.footprint_lonlat, strict=True))
    return (lon + 180) % 360 - 180, lat

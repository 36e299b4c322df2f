"""The survey of a scene: every tile is read, screened, searched and kept raw; summary, alerts and chips leave before any block is coded.

The survey owns no clock, file or randomness: the frame reads its own pixels; the detector, the energy port and the raw tiles'
keeper are handed in. Memory does not grow with the pixels of the scene.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from downlink.alerts import BATCH_LIMIT, LARGEST_SIDE_PX
from downlink.products import (
    ALERT_BATCHES_LIMIT,
    AUDIT_PRODUCT,
    BLOCKS_LIMIT,
    FIRST_BLOCK,
    FIRST_CHIP,
    SUMMARY_PRODUCT,
    LayerAddress,
)
from downlink.scene import SceneSummary, TileOutcome, Window
from onboard.chips import Chip
from onboard.coding_forecast import BlockForecast
from onboard.coding_queue import UncodedImage
from onboard.detection import Detection
from onboard.detector import Detector
from onboard.discard_audit import audit_layer, plan_audit
from onboard.energy_port import EnergyPort
from onboard.energy_prices import EnergyStep
from onboard.errors import SceneTooLargeError, SurveyNoteError, TileReadError
from onboard.governor import Decision, Effort
from onboard.land_gate import LandGate, only_afloat
from onboard.network_input import band_key
from onboard.policy import Policy
from onboard.processed_scene import PipelineSettings, ProcessedScene, TilePixels, TileReport
from onboard.regions import RegionCoder, within_scene
from onboard.scene_places import area_weight, centre_px
from onboard.seam_merge import merge_seams
from onboard.search_windows import SearchWindow, begin_search, windows_for, work_share
from onboard.sensor_frame import SensorFrame
from onboard.survey_note import NotedForecast, SurveyNote
from onboard.tile_ahead import begun_ahead
from onboard.tile_look import DecidedTile, TileLook, looks, mpix_of, packed
from onboard.tiles import TileWindow, tile_grid
from onboard.uncoded_tiles import UncodedTiles
from onboard.valuation import ValuedLayer, block_points, expected_layers, value_alerts, value_summary
from onboard.value_map import value_map

Emit = Callable[[Sequence[ValuedLayer]], None]
Search = Callable[[], list[Detection]]
"""A search that was begun: waits for what it finds, in the pixel frame of the padded tile."""
Found = TypeVar("Found")
SEARCHES_AHEAD: Final = 2
"""Tiles that the network is begun on before the one whose detections are waited for, where tiles are looked at ahead."""
DETECTIONS_LIMIT: Final = BATCH_LIMIT * ALERT_BATCHES_LIMIT
"""Detections that alerts of one scene can name; beyond it the least certain are left out, with a note."""


@dataclass(slots=True, kw_only=True)
class _SceneInWork:
    """What every step needs to know of the scene, and what they have found."""

    frame: SensorFrame
    number: int
    captured_ms: int
    detector: Detector | None
    """None where nothing can search this scene."""
    found: list[Detection] = field(default_factory=list)
    """In scene pixels, before seams are merged; those below the threshold among them."""
    forecasts: dict[int, NotedForecast] = field(default_factory=dict)
    """By tile, of those in the raw store."""


@dataclass(slots=True, kw_only=True)
class SceneSurvey:
    """Surveys scenes, tile by tile."""

    policy: Policy
    """What the mission values."""
    settings: PipelineSettings
    """How scenes are cut and judged."""
    detector: Detector | None
    """What looks at tiles; None flies without."""
    energy: EnergyPort
    """Allows effort and is charged for it."""
    tiles: UncodedTiles
    """Keeps the raw tiles until they are coded."""
    emit: Emit
    """Takes the layers."""
    on_tile: Callable[[TileReport], None] = field(default=lambda report: None)
    """Told of every tile done."""
    ahead: int = 0
    """Tiles that are read, screened and packed ahead, in a thread, of those that are searched; 0: each in its turn."""
    is_kept: Callable[[int], bool] = field(default=lambda product: False)
    """Whether an earlier attempt at this scene had all layers of a product stored: it is not made again. What is emitted
    together must have been stored together or not at all."""

    def survey(self, frame: SensorFrame, *, scene: int, captured_ms: int) -> ProcessedScene:
        """Look at every tile of `frame` and keep what is worth it; hand summary, alerts and chips to `emit`.

        A scene whose raw tiles an earlier attempt has sealed is not looked at again: what its note says is emitted, as far as it was
        not. Raises SceneTooLargeError, before any work, for a scene that layers and alerts cannot address; StoreError where the disk
        refuses the raw tiles: then none of them is kept.
        """
        require_addressable(frame, self.settings.tile_px)
        note = self._sealed_note(scene)
        try:
            surveyed = self._look_at_all(frame, scene, captured_ms) if note is None else self._noted(note)
        finally:
            self.tiles.abandon(scene)  # does nothing once the scene is sealed
        notes = list(surveyed.notes)
        chips = self._emit_regions(frame, surveyed.summary, surveyed.detections, notes)
        if surveyed.audit is not None and not self.is_kept(AUDIT_PRODUCT):
            self.emit((audit_layer(surveyed.audit, frame, surveyed.summary, policy=self.policy, energy=self.energy),))
        return replace(surveyed, chips=chips, notes=tuple(notes))

    def _sealed_note(self, scene: int) -> SurveyNote | None:
        """What an earlier attempt has noted; a scene whose note cannot be read is given up, to be looked at again."""
        if not self.tiles.is_sealed(scene):
            return None
        try:
            return self.tiles.note(scene)
        except SurveyNoteError:
            self.tiles.give_up(scene)
            return None

    def _look_at_all(self, frame: SensorFrame, scene: int, captured_ms: int) -> ProcessedScene:
        """Survey every tile; then they and the note are durable."""
        notes = list(frame.notes)
        work = _SceneInWork(
            frame=frame, number=scene, captured_ms=captured_ms, detector=self._usable_detector(frame, notes)
        )
        reports = []
        grid = tile_grid(frame.height, frame.width, tile_px=self.settings.tile_px, halo_px=self.settings.halo_px)
        steps = self.policy.blocks.quality_percent
        settings = self._gated_for(work.detector)
        seen = looks(frame, grid, settings=settings, quality_percent=steps, energy=self.energy, ahead=self.ahead)
        begin = partial(self._begun, work)
        with closing(seen) as decided:
            for one, search in begun_ahead(begin, decided, ahead=SEARCHES_AHEAD if self.ahead else 0):
                reports.append(self._report(work, one, search))
                self.on_tile(reports[-1])
        if unreadable := sum(report.outcome is TileOutcome.UNREADABLE for report in reports):
            notes.append(f"the file is damaged: {unreadable} of {len(reports)} tiles cannot be read and were not sent")
        if gated := sum(report.is_gated for report in reports):
            notes.append(f"the gates found nothing to search for in {gated} of {len(reports)} tiles")
        detections, candidates = self._reported(work, within_scene(merge_seams(work.found), frame))
        if len(detections) > DETECTIONS_LIMIT:
            notes.append(f"{len(detections)} detections: only the {DETECTIONS_LIMIT} most certain are kept")
            detections = detections[:DETECTIONS_LIMIT]
        summary = self._summary(work, reports)
        surveyed = ProcessedScene(
            summary=summary,
            tiles=tuple(reports),
            detections=tuple(detections),
            chips=(),
            notes=tuple(notes),
            audit=plan_audit(reports, candidates, summary=summary, rules=self.policy.audit),
        )
        self.tiles.seal(SurveyNote.of(surveyed, work.forecasts, dn_offset=self.settings.dn_offset))
        return surveyed

    def _noted(self, note: SurveyNote) -> ProcessedScene:
        """A scene of which an earlier attempt has sealed the raw tiles."""
        waiting = set(self.tiles.raw.tiles(note.summary.scene))
        grid = tile_grid(note.summary.height, note.summary.width, tile_px=note.summary.tile_px)
        reports = []
        for tile, noted in zip(grid, note.tiles, strict=True):
            pixels = TilePixels.NOT_KEPT
            if noted.outcome in (TileOutcome.KEPT, TileOutcome.SCREENED):
                is_coded = self.is_kept(FIRST_BLOCK + tile.index)
                pixels = TilePixels.CODED if is_coded else TilePixels.DISCARDED
            reports.append(
                TileReport(
                    tile=tile,
                    outcome=noted.outcome,
                    reason=noted.reason,
                    cloud_fraction=noted.cloud_fraction,
                    detections=noted.detections,
                    gate=noted.gate,
                    pixels=TilePixels.RAW if tile.index in waiting else pixels,
                )
            )
            self.on_tile(reports[-1])
        return ProcessedScene(
            summary=note.summary,
            tiles=tuple(reports),
            detections=tuple(noted.detection() for noted in note.detections),
            chips=(),
            notes=note.notes,
            audit=note.drawn,
        )

    def _usable_detector(self, frame: SensorFrame, notes: list[str]) -> Detector | None:
        if self.detector is None:
            notes.append("no detector: tiles are screened and kept, nothing is searched")
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

    # ---- one tile

    def _gated_for(self, detector: Detector | None) -> PipelineSettings:
        """The settings, without the land gate where there is a detector for more than what floats."""
        if detector is None or only_afloat(detector.model.classes):
            return self.settings
        return replace(self.settings, land_gate=LandGate(enabled=False))

    def _begun(self, work: _SceneInWork, decided: DecidedTile) -> Search | None:
        """The search of a tile, begun where tiles are looked at ahead, and then paid for now; None where there is nothing to search."""
        looked, detector = decided.look, work.detector
        if not isinstance(looked, TileLook) or detector is None or not looked.plan.passes:
            return None
        if decided.decision.effort is not Effort.DETECT:
            return None
        windows = self._windows(detector, looked)
        size_px = (looked.padded.shape[1], looked.padded.shape[2])
        mpix = mpix_of(decided.tile.core) * work_share(windows, size_px)
        slack_px = self.settings.halo_px - self.settings.edge_px

        def begin() -> Search:
            return begin_search(detector, looked.padded, work.frame.band_names, windows, slack_px=slack_px)

        if not self.ahead:
            return lambda: self._paid(lambda: begin()(), mpix)
        ready = self._paid(begin, mpix)
        return lambda: self._paid(ready, 0.0)

    def _windows(self, detector: Detector, looked: TileLook) -> tuple[SearchWindow, ...]:
        size_px = (looked.padded.shape[1], looked.padded.shape[2])
        return windows_for(detector, looked.plan, size_px, halo_px=self.settings.halo_px)

    def _searched_windows(self, work: _SceneInWork, tile: TileWindow, looked: TileLook) -> tuple[Window, ...]:
        """Where the network looked, in scene pixels."""
        if work.detector is None:
            return ()
        row, col = tile.padded.row, tile.padded.col
        return tuple(window.core.shifted(row, col) for window in self._windows(work.detector, looked))

    def _paid(self, search: Callable[[], Found], mpix: float) -> Found:
        with self.energy.charge(EnergyStep.DETECT, mpix):
            return search()

    def _report(self, work: _SceneInWork, decided: DecidedTile, search: Search | None) -> TileReport:
        """Search and keep a tile that is worth it."""
        tile, decision, looked = decided.tile, decided.decision, decided.look
        product = FIRST_BLOCK + tile.index
        if isinstance(looked, TileReport):
            return looked
        if looked is None:
            # Its block is on its way: the summary must not say otherwise.
            outcome, pixels = TileOutcome.POWER, TilePixels.NOT_KEPT
            reason = decision.reason
            if self.is_kept(product):
                outcome, pixels = TileOutcome.SCREENED, TilePixels.CODED
                reason = f"coded in an earlier attempt; not searched: {reason}"
            return TileReport(tile=tile, outcome=outcome, reason=reason, pixels=pixels)
        outcome, reason, found = self._searched(work, tile, looked, decision, search)
        work.found.extend(found)
        seen, _ = self._reported(work, found)
        pixels = TilePixels.CODED
        if not self.is_kept(product):
            pixels = self._keep(work, tile, looked, seen)
        return TileReport(
            tile=tile,
            outcome=outcome,
            reason=reason,
            cloud_fraction=looked.screening.cloud_fraction,
            detections=len(seen),
            gate=looked.plan.gate if work.detector is not None else None,
            searched=() if search is None else self._searched_windows(work, tile, looked),
            pixels=pixels,
        )

    def _searched(
        self, work: _SceneInWork, tile: TileWindow, looked: TileLook, decision: Decision, search: Search | None
    ) -> tuple[TileOutcome, str, list[Detection]]:
        """Outcome, reason, and detections in scene pixels."""
        kept = looked.screening.reason
        if work.detector is None:
            return TileOutcome.SCREENED, f"{kept}; not searched: no detector for this scene", []
        if not looked.plan.passes:
            return TileOutcome.KEPT, f"{kept}; nothing to search for: {looked.plan.reason}", []
        if search is None:
            return TileOutcome.SCREENED, f"{kept}; not searched: {decision.reason}", []
        return TileOutcome.KEPT, kept, [one.shifted(tile.padded.col, tile.padded.row) for one in search()]

    def _reported(self, work: _SceneInWork, found: Sequence[Detection]) -> tuple[list[Detection], list[Detection]]:
        """What is told of the scene, and what was too uncertain for that and concerns the audit alone."""
        if work.detector is None or self.policy.audit.searched_from is None:
            return list(found), []
        threshold = work.detector.model.threshold
        told = [one for one in found if one.confidence >= threshold]
        return told, [one for one in found if one.confidence < threshold]

    def _keep(self, work: _SceneInWork, tile: TileWindow, looked: TileLook, seen: Sequence[Detection]) -> TilePixels:
        """Put the tile into the raw store, with what coding it is expected to bring."""
        with self.energy.charge(EnergyStep.STORE, mpix_of(tile.core)):
            ready = looked.packed or packed(looked, self.policy.blocks.quality_percent)
            data, expected = ready.data, ready.expected
            points = self._expected_points(work, tile, looked, seen)
            image = uncoded_image(
                expected,
                LayerAddress(scene=work.number, product=FIRST_BLOCK + tile.index, step=0),
                points=points,
                policy=self.policy,
                captured_ms=work.captured_ms,
                peak_dn=self.settings.peak_dn,
                raw_bytes=len(data),
            )
            if not self.tiles.keep(image, data, now_ms=work.captured_ms):
                return TilePixels.DISCARDED
        work.forecasts[tile.index] = NotedForecast(size_bytes=expected.size_bytes, mse=expected.mse, points=points)
        return TilePixels.RAW

    def _expected_points(
        self, work: _SceneInWork, tile: TileWindow, looked: TileLook, seen: Sequence[Detection]
    ) -> float:
        """What the block is worth as far as it is known now: its cloud by share, its detections before seams are merged."""
        weights = value_map(tile.core, looked.valid, cloud=None, detections=seen, changed=None, weights=self.policy.map)
        place = area_weight(self.policy, work.frame, centre_px(tile.core))
        points = block_points(weights, self.policy.blocks, area_weight=place)
        cloud, clear = looked.screening.cloud_fraction or 0.0, self.policy.map.clear
        under_cloud = min(1.0, self.policy.map.cloud / clear) if clear else 1.0
        return points * (1 - cloud * (1 - under_cloud))

    # ---- the scene

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


def uncoded_image(
    expected: BlockForecast,
    address: LayerAddress,
    *,
    points: float,
    policy: Policy,
    captured_ms: int,
    peak_dn: int,
    raw_bytes: int,
) -> UncodedImage:
    """A raw tile as the coding queue ranks it. `address` names step 0 of its block."""
    layers = expected_layers(
        expected,
        address,
        points=points,
        interest=policy.blocks,
        policy=policy,
        captured_ms=captured_ms,
        peak_dn=peak_dn,
    )
    return UncodedImage(scene=address.scene, product=address.product, layers=layers, raw_bytes=raw_bytes)


def require_addressable(frame: SensorFrame, tile_px: int) -> None:
    """Raises SceneTooLargeError for a scene of more tiles or pixels than layers and alerts can name."""
    tiles = -(-frame.height // tile_px) * -(-frame.width // tile_px)
    if tiles > BLOCKS_LIMIT or max(frame.height, frame.width) > LARGEST_SIDE_PX:
        raise SceneTooLargeError(
            f"scene {frame.name} of {frame.height} x {frame.width} px has {tiles} tiles of {tile_px} px; layers name at most "
            f"{BLOCKS_LIMIT} tiles and alerts {LARGEST_SIDE_PX} px on a side: cut it into smaller scenes",
            height=frame.height,
            width=frame.width,
            tiles=tiles,
        )

"""A scene for the low-signal comparison: its layers as made on board, and what any part of them, or of a file, is worth on the ground.

Pixels that never came are set to the mean of their band, which both contenders get for free, so that a PSNR always covers
the whole scene and falls to that of a flat image where nothing came.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.low_signal_coding import Unit, hull_units
from downlink.alerts import decode_alerts
from downlink.image_layers import DecodedImage, ImageAssembly
from downlink.products import ALERTS_PRODUCT, SUMMARY_PRODUCT
from downlink.scene import SceneSummary, Window
from ground.comparison import region_mask
from ground.reconstruction import reconstruct
from mission.pipeline_setup import PEAK_DN, open_detector
from mission.scenario import load_scenario
from mission.truth import Truth, matched, read_truth
from onboard.detector import Detector
from onboard.energy_prices import EnergyStep
from onboard.governor import Decision, Effort
from onboard.ingest import open_scene
from onboard.pipeline import PipelineSettings, ProcessedScene, ScenePipeline
from onboard.policy import load_policy
from onboard.screening import ScreeningSettings
from onboard.seam_merge import away_from_edges, merge_seams
from onboard.sensor_frame import Mask, Pixels, SensorFrame
from onboard.tiles import tile_grid
from onboard.valuation import ValuedLayer

Found = list[tuple[tuple[tuple[float, float], ...], float]]
"""Corners (x, y) in scene pixels and confidence of detections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What the ground has."""

    recall: float
    """Objects of the truth that are known on the ground, 0 to 1."""
    roi_psnr_db: float
    """Over the windows of all chips."""
    scene_psnr_db: float
    """Over all pixels with data."""


@dataclass(frozen=True, slots=True)
class FreeEnergy:
    """An energy port that allows everything."""

    def decide(self, mpix: float) -> Decision:
        return Decision(effort=Effort.DETECT, reason="benchmark")

    def may_spend(self, step: EnergyStep, mpix: float) -> Decision:
        return Decision(effort=Effort.DETECT, reason="benchmark")

    def charge(self, step: EnergyStep, mpix: float) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True, slots=True)
class ArraySource:
    """Pixels in memory as the source of a frame."""

    pixels: Pixels

    def read_bands(self, window: Window) -> Pixels:
        rows, cols = window.slices
        return self.pixels[:, rows, cols]

    def read_mask(self, window: Window) -> Mask | None:
        return None

    def close(self) -> None:
        return None


@dataclass(slots=True, kw_only=True)
class ObservedScene:
    """One scene, worked through once; qualities are remembered by what arrived."""

    frame: SensorFrame
    """As opened, over the pixels in memory."""
    pixels: Pixels
    """(bands, height, width), the original."""
    valid: Mask
    """(height, width), where it has data."""
    truth: Truth
    """What is really there."""
    detector: Detector
    """The same on board and on the ground."""
    processed: ProcessedScene
    """What the pipeline says."""
    layers: tuple[ValuedLayer, ...]
    """What it made."""
    peak_dn: int
    """Full scale of a PSNR."""
    dn_offset: int = 0
    """Digital number of reflectance 0."""
    _remembered: dict[object, Quality] = field(default_factory=dict)
    _images: dict[tuple[int, int], DecodedImage | None] = field(default_factory=dict)

    @property
    def summary(self) -> SceneSummary:
        return self.processed.summary

    @property
    def regions(self) -> tuple[Window, ...]:
        """Windows of the chips."""
        return tuple(chip.window for chip in self.processed.chips)

    @property
    def raw_bytes(self) -> int:
        return self.pixels.nbytes

    def units(self, *, picture_weight: float = 1.0) -> list[Unit]:
        """What can be sent: layers joined to concave products, blocks worth `picture_weight` times their value.

        The summary is worth all pictures beside its own value, because none can be placed without it.
        """
        products: dict[int, list[int]] = defaultdict(list)
        values = []
        for index, valued in enumerate(self.layers):
            address = valued.layer.address
            products[address.product if address.product != ALERTS_PRODUCT else -1 - address.step].append(index)
            values.append(valued.layer.value * (picture_weight if address.is_block else 1.0))
        for index in products[SUMMARY_PRODUCT]:
            values[index] += sum(
                value
                for value, valued in zip(values, self.layers, strict=True)
                if valued.layer.address.is_block or valued.layer.address.is_chip
            )
        units: list[Unit] = []
        for number, members in enumerate(products.values()):
            sizes = [self.layers[index].layer.size_bytes for index in members]
            units += hull_units(number, members, sizes, [values[index] for index in members])
        return units

    def of_layers(self, arrived: frozenset[int]) -> Quality:
        """Quality of a set of layers. Without the summary there is no picture; alerts stand for themselves."""
        alerts: list[int] = []
        steps: dict[int, set[int]] = defaultdict(set)
        summary_came = False
        for index in arrived:
            address = self.layers[index].layer.address
            if address.product == ALERTS_PRODUCT:
                alerts.append(index)
            elif address.product == SUMMARY_PRODUCT:
                summary_came = True
            else:
                steps[address.product].add(address.step)
        usable = {product: _unbroken(came) for product, came in steps.items()} if summary_came else {}
        key = (tuple(sorted(alerts)), tuple(sorted(usable.items())))
        if key not in self._remembered:
            rebuilt = self._rebuilt(usable)
            self._remembered[key] = self._quality(rebuilt, self._recall_of_alerts(alerts))
        return self._remembered[key]

    def of_pixels(self, rebuilt: Pixels | None) -> Quality:
        """Quality of a decoded file, searched by the detector on the ground; None: nothing decoded."""
        if rebuilt is None:
            return self._quality(self._concealed(), 0.0)
        return self._quality(rebuilt, self._recall(self.searched(rebuilt)))

    def searched(self, pixels: Pixels) -> Found:
        """Corners and confidence of what the detector sees in pixels of this scene."""
        return searched(self.frame, pixels, self.detector, dn_offset=self.dn_offset)

    def _recall_of_alerts(self, alerts: Iterable[int]) -> float:
        detections = [one for index in alerts for one in decode_alerts(self.layers[index].payload)]
        return self._recall([(one.corners_px, one.confidence) for one in detections])

    def _recall(self, found: Found) -> float:
        if not found or not len(self.truth.corners_px):
            return 0.0
        corners = np.array([corners for corners, _ in found], dtype=np.float64)
        hits, _ = matched(corners, np.array([confidence for _, confidence in found]), self.truth)
        return float(hits.sum() / len(self.truth.corners_px))

    def _rebuilt(self, usable: dict[int, int]) -> Pixels:
        images = [image for product, steps in usable.items() if (image := self._image(product, steps)) is not None]
        scene = reconstruct(self.summary, images)
        return np.where(scene.quality[None] == 0, self._concealed(), scene.pixels)

    def _image(self, product: int, steps: int) -> DecodedImage | None:
        if (product, steps) not in self._images:
            assembly = ImageAssembly(nodata=self.summary.nodata)
            for valued in self.layers:
                address = valued.layer.address
                if address.product == product and address.step < steps:
                    assembly.add(address.step, valued.payload)
            self._images[product, steps] = assembly.decode()
        return self._images[product, steps]

    def _concealed(self) -> Pixels:
        means = self.pixels[:, self.valid].mean(axis=1)
        flat = np.rint(means).astype(self.pixels.dtype)
        return np.broadcast_to(flat[:, None, None], self.pixels.shape)

    def _quality(self, rebuilt: Pixels, recall: float) -> Quality:
        in_regions = region_mask(self.valid.shape, self.regions) & self.valid
        return Quality(
            recall=recall,
            roi_psnr_db=self._psnr_db(rebuilt, in_regions),
            scene_psnr_db=self._psnr_db(rebuilt, self.valid),
        )

    def _psnr_db(self, rebuilt: Pixels, where: Mask) -> float:
        difference = self.pixels[:, where].astype(np.float64) - rebuilt[:, where]
        mse = float(np.mean(difference * difference)) if difference.size else 0.0
        return 10 * math.log10(self.peak_dn**2 / max(mse, 0.01))


def searched(frame: SensorFrame, pixels: Pixels, detector: Detector, *, dn_offset: int = 0) -> Found:
    """Corners and confidence of what a detector sees in pixels (bands, height, width) of a frame, tile by tile as on board."""
    frame = replace(frame, source=ArraySource(pixels))
    found = []
    for tile in tile_grid(frame.height, frame.width):
        padded = frame.read_around(tile.core, tile.padded)
        reflectance = np.maximum(padded, dn_offset) - padded.dtype.type(dn_offset)
        seen = away_from_edges(detector.detect(reflectance, frame.band_names), size_px=padded.shape[1:], margin_px=32)
        found += [detection.shifted(tile.padded.col, tile.padded.row) for detection in seen]
    return [(detection.corners_px, detection.confidence) for detection in merge_seams(found)]


def observe(image: Path, truth: Path) -> ObservedScene:
    """Open a scene and work it through as on board, with the shipped model and policy. Raises the rooms' errors."""
    scenario = load_scenario(None)
    policy, detector = load_policy(scenario.policy.file), open_detector(scenario)
    layers: list[ValuedLayer] = []
    with open_scene(image) as opened:
        whole = Window(row=0, col=0, height=opened.height, width=opened.width)
        pixels, valid = opened.read(whole), opened.valid(whole)
        known = read_truth(truth, opened, detector.model.classes)
        settings = PipelineSettings(screening=ScreeningSettings(), peak_dn=PEAK_DN[opened.dtype])
        pipeline = ScenePipeline(
            policy=policy, settings=settings, detector=detector, energy=FreeEnergy(), emit=layers.extend
        )
        processed = pipeline.process(opened, scene=1, captured_ms=0)
    return ObservedScene(
        frame=replace(opened, source=ArraySource(pixels)),
        pixels=pixels,
        valid=valid,
        truth=known,
        detector=detector,
        processed=processed,
        layers=tuple(layers),
        peak_dn=settings.peak_dn,
    )


def _unbroken(steps: set[int]) -> int:
    """Steps from 0 on without a gap."""
    count = 0
    while count in steps:
        count += 1
    return count

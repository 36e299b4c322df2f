"""A painted image through the survey as it flies: tiles, screening, gates, detector, seams; and the verdict on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from downlink.scene import Georeference, TileOutcome, Window
from onboard.detection import Detection
from onboard.detector import Detector
from onboard.energy_prices import EnergyStep
from onboard.governor import Decision, Effort
from onboard.policy import load_policy
from onboard.processed_scene import PipelineSettings
from onboard.raw_store import RawStore
from onboard.rotated_boxes import points_inside
from onboard.scene_survey import SceneSurvey
from onboard.screening import ScreeningSettings
from onboard.sensor_frame import SensorFrame
from onboard.uncoded_tiles import UncodedTiles
from tests.onboard.failure_images import BANDS, FailureImage

NEAR_PX = 3.0
"""A detection belongs to a ship when its centre lies in the outline grown by this."""
CAPTURED_MS = 1_772_359_200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedImage:
    """What came of one image."""

    outcomes: tuple[TileOutcome, ...]
    """Of its tiles, row-major."""
    detections: tuple[Detection, ...]
    """In the image's pixels, seams merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Counts against the truth."""

    found: int
    """Ships with a detection."""
    repeated: int
    """Detections on ships beyond the first of each."""
    false_alarms: int
    """Detections on no ship."""


@dataclass(frozen=True, slots=True)
class _Painted:
    """A source of pixels in memory."""

    pixels: np.ndarray

    def read_bands(self, window: Window) -> np.ndarray:
        return np.asarray(self.pixels[(slice(None), *window.slices)])

    def read_mask(self, window: Window) -> np.ndarray | None:
        return None

    def close(self) -> None:
        pass


class _EnoughPower:
    """Every tile may be searched."""

    def decide(self, mpix: float) -> Decision:
        return Decision(effort=Effort.DETECT, reason="enough power")

    def may_spend(self, step: EnergyStep, mpix: float) -> Decision:
        return self.decide(mpix)

    @contextmanager
    def charge(self, step: EnergyStep, mpix: float) -> Iterator[None]:
        yield


def search(image: FailureImage, detector: Detector) -> SearchedImage:
    """Survey the image with the shipped policy and settings."""
    _, height, width = image.pixels.shape
    frame = SensorFrame(
        name=image.name, height=height, width=width, dtype="uint16", band_names=BANDS, nodata=0.0,
        georeference=Georeference(crs_wkt=None, transform=(10, 0, 5e5, 0, -10, 5e6)), gsd_m=10.0,
        footprint_lonlat=None, captured_ms=None, notes=(), source=_Painted(image.pixels),
    )  # fmt: skip
    survey = SceneSurvey(
        policy=load_policy(),
        settings=PipelineSettings(screening=ScreeningSettings(), peak_dn=10_000),
        detector=detector,
        energy=_EnoughPower(),
        tiles=UncodedTiles(RawStore(None, capacity_bytes=1 << 32)),
        emit=lambda layers: None,
    )
    scene = survey.survey(frame, scene=1, captured_ms=CAPTURED_MS)
    return SearchedImage(outcomes=scene.summary.tile_outcomes, detections=scene.detections)


def verdict_of(image: FailureImage, detections: tuple[Detection, ...]) -> Verdict:
    """Which detections lie on which ships."""
    per_ship = [0] * len(image.ships)
    false_alarms = 0
    for one in detections:
        on = [index for index, ship in enumerate(image.ships) if _holds(ship, one.center_px)]
        for index in on[:1]:
            per_ship[index] += 1
        false_alarms += not on
    return Verdict(
        found=sum(count > 0 for count in per_ship),
        repeated=sum(count - 1 for count in per_ship if count),
        false_alarms=false_alarms,
    )


def _holds(outline: np.ndarray, point: tuple[float, float]) -> bool:
    centre = outline.mean(axis=0)
    reach = np.linalg.norm(outline - centre, axis=1, keepdims=True)
    grown = centre + (outline - centre) * (1 + NEAR_PX / reach)
    return bool(points_inside(np.array([point]), grown[None])[0])

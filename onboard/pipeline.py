"""From a sensor frame to valued layers at one go: the survey, then the coding of all that it kept, in order of value.

For benchmarks, and for whoever has the time: a mission surveys with `onboard.scene_survey` and codes with `onboard.scene_coder`
when and as far as it pays.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from downlink.products import FIRST_BLOCK
from onboard.detector import Detector
from onboard.energy_port import EnergyPort
from onboard.policy import Policy
from onboard.processed_scene import PipelineSettings, ProcessedScene, TilePixels, TileReport
from onboard.raw_store import RawStore
from onboard.scene_coder import SceneCoder
from onboard.scene_survey import DETECTIONS_LIMIT, Emit, SceneSurvey
from onboard.sensor_frame import SensorFrame
from onboard.uncoded_tiles import UncodedTiles

__all__ = [
    "DETECTIONS_LIMIT",
    "Emit",
    "PipelineSettings",
    "ProcessedScene",
    "ScenePipeline",
    "TilePixels",
    "TileReport",
]

UNLIMITED_BYTES: Final = 1 << 62
"""Room for the raw tiles of one scene while it is worked through."""


@dataclass(slots=True, kw_only=True)
class ScenePipeline:
    """Works scenes through: everything that is kept is coded at once, as far as there is energy."""

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
    """Told of every tile surveyed."""
    is_kept: Callable[[int], bool] = field(default=lambda product: False)
    """Whether an earlier attempt at this scene had all layers of a product stored: it is not coded again. What is emitted
    together must have been stored together or not at all."""

    def process(self, frame: SensorFrame, *, scene: int, captured_ms: int) -> ProcessedScene:
        """Survey `frame`, then code every tile that was kept; hand every layer to `emit`.

        What there is no energy for stays uncoded: its report says RAW. Raises SceneTooLargeError, before any work, for a
        scene that layers and alerts cannot address.
        """
        pixels: dict[int, TilePixels] = {}
        tiles = UncodedTiles(
            RawStore(None, capacity_bytes=UNLIMITED_BYTES),
            on_pixels=lambda scene, tile, where: pixels.__setitem__(tile, where),
        )
        survey = SceneSurvey(
            policy=self.policy,
            settings=self.settings,
            detector=self.detector,
            energy=self.energy,
            tiles=tiles,
            emit=self.emit,
            on_tile=self.on_tile,
            is_kept=self.is_kept,
        )
        surveyed = survey.survey(frame, scene=scene, captured_ms=captured_ms)
        coder = SceneCoder(
            policy=self.policy,
            tiles=tiles,
            energy=self.energy,
            emit=self.emit,
            cloud=self.settings.screening.cloud,
        )
        coded_bytes: dict[int, int] = {}
        while (block := coder.code_next(captured_ms, price=0.0, requests=())) is not None:
            coded_bytes[block.product - FIRST_BLOCK] = block.size_bytes
        return surveyed.with_pixels(pixels, coded_bytes)

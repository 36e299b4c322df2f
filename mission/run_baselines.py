"""The baselines of a run: what its scenes would have cost as whole files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from downlink.scene import TileOutcome
from mission.baselines import lossless, lossy_at_equal_quality, read_whole
from mission.flight import FlightRecord
from mission.measures import SceneQuality
from mission.progress import ProgressBars
from onboard.processed_scene import ProcessedScene
from onboard.sensor_frame import SensorFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineBytes:
    """One scene, or all of them, as whole files."""

    lossless: int | None
    """The best exact coding; None where it was not measured or a scene does not have it."""
    lossy_equal_quality: int | None
    """JPEG 2000 at the quality that the regions of interest reach; the exact coding where they are exact."""
    codecs: frozenset[str] = frozenset()
    """What coded the exact ones."""


NOT_MEASURED: Final = BaselineBytes(lossless=None, lossy_equal_quality=None)


def measure_baselines(
    record: FlightRecord, frames: Sequence[SensorFrame], qualities: Sequence[SceneQuality], bars: ProgressBars
) -> BaselineBytes:
    """Baselines of all scenes together: one that a single scene does not have is None for all."""
    work = zip(frames, record.scenes, qualities, strict=True)
    scenes = [_scene_baselines(*each) for each in bars.track(work, "Baselines", total=len(frames))]
    return BaselineBytes(
        lossless=_total([scene.lossless for scene in scenes]),
        lossy_equal_quality=_total([scene.lossy_equal_quality for scene in scenes]),
        codecs=frozenset().union(*(scene.codecs for scene in scenes)),
    )


def _scene_baselines(frame: SensorFrame, processed: ProcessedScene, quality: SceneQuality) -> BaselineBytes:
    readable = TileOutcome.UNREADABLE not in processed.summary.tile_outcomes
    pixels = read_whole(frame) if readable else None
    if pixels is None:
        return NOT_MEASURED
    exact = lossless(pixels)
    lossy: int | None = exact.size_bytes
    if not quality.regions.identical:
        regions = [chip.window for chip in processed.chips]
        lossy = lossy_at_equal_quality(pixels, regions, quality.regions.mse or 0.0)
    return BaselineBytes(lossless=exact.size_bytes, lossy_equal_quality=lossy, codecs=frozenset((exact.codec,)))


def _total(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None

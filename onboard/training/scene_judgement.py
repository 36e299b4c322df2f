"""What a detector says of one labelled scene: verdicts by class, and which ships it missed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onboard.detector import Detector
from onboard.errors import LabelledDataError
from onboard.training.labelled_scene import LabelledScene
from onboard.training.matching import JudgedDetection, lie_on, ships_taken
from onboard.training.scene_detection import detect_scene
from onboard.water import land_distance_px, tells_water, water_mask

AWAY_FROM_LAND_M = 100.0
"""From here a ship lies off the quays, whose straight bright edges look like ships."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneJudgement:
    """Everything a detector reports of one scene with its verdict, and each ship with the confidence that found it."""

    judged: tuple[JudgedDetection, ...]
    """Detections down to the detector's own lowest confidence; those on ignored objects are left out."""
    judged_classes: tuple[int, ...]
    """Class of each."""
    ship_classes: tuple[int, ...]
    """Class of each ship that counts."""
    found_with: tuple[float, ...]
    """(ships,) confidence of the detection that took the ship, 0 where none did."""
    away_from_land: tuple[bool, ...] | None
    """(ships,) whether its centre lies AWAY_FROM_LAND_M or more from land; None where the bands do not tell water from land."""

    def of_class(self, class_id: int) -> SceneJudgement:
        """One class alone."""
        detections = [index for index, own in enumerate(self.judged_classes) if own == class_id]
        ships = [index for index, own in enumerate(self.ship_classes) if own == class_id]
        away = self.away_from_land
        return SceneJudgement(
            judged=tuple(self.judged[index] for index in detections),
            judged_classes=(class_id,) * len(detections),
            ship_classes=(class_id,) * len(ships),
            found_with=tuple(self.found_with[index] for index in ships),
            away_from_land=None if away is None else tuple(away[index] for index in ships),
        )


def judge_scene(detector: Detector, scene: LabelledScene, *, ignored_classes: Collection[int] = ()) -> SceneJudgement:
    """Detect the scene tile by tile as in flight, and match class by class.

    What lies on an object of an ignored class, and took no ship, counts neither for nor against. Raises LabelledDataError for a
    class that the model does not know, and what `Detector.detect` raises.
    """
    found = [
        item for item in detect_scene(detector, scene, detector.model.bands) if item.class_id not in ignored_classes
    ]
    counted = ~np.isin(scene.classes, list(ignored_classes))
    ships, ship_classes = scene.ships_px[counted], scene.classes[counted]
    corners = np.array([item.corners_px for item in found]).reshape(-1, 4, 2)
    confidences = np.array([item.confidence for item in found])
    classes = np.array([item.class_id for item in found], dtype=np.int64)
    taken = ships_taken(corners, confidences, ships, may_be=classes[:, None] == ship_classes[None])
    kept = (taken >= 0) | ~lie_on(corners, scene.ships_px[~counted])
    found_with = np.zeros(len(ships))
    found_with[taken[taken >= 0]] = confidences[taken >= 0]
    away = ships_away_from_land(scene, detector.model.bands, gsd_m=scene.gsd_m or detector.model.training_gsd_m)
    return SceneJudgement(
        judged=tuple(
            JudgedDetection(score=float(confidence), hit=bool(ship >= 0))
            for confidence, ship in zip(confidences[kept], taken[kept], strict=True)
        ),
        judged_classes=tuple(classes[kept].tolist()),
        ship_classes=tuple(ship_classes.tolist()),
        found_with=tuple(found_with.tolist()),
        away_from_land=None if away is None else tuple(away[counted].tolist()),
    )


def ships_away_from_land(scene: LabelledScene, bands: Sequence[str], *, gsd_m: float) -> np.ndarray | None:
    """(ships,) bool: whether the centre lies AWAY_FROM_LAND_M or more from land, as the pixels of `bands` show it; None where they
    do not tell water from land."""
    names = tuple(bands)
    if not tells_water(names):
        return None
    reach_px = AWAY_FROM_LAND_M / gsd_m
    water = water_mask(np.ascontiguousarray(scene.pixels.transpose(2, 0, 1)), names)
    distance = land_distance_px(water, farthest_px=int(np.ceil(reach_px)) + 1)
    height, width = distance.shape
    centres = scene.ships_px.mean(axis=1)
    columns = np.clip(centres[:, 0].astype(int), 0, width - 1)
    rows = np.clip(centres[:, 1].astype(int), 0, height - 1)
    return np.asarray(distance[rows, columns] >= reach_px)


def check_classes(
    scenes: Sequence[LabelledScene], classes: Sequence[str], *, ignored: Collection[int], what: str
) -> None:
    """Raises LabelledDataError for an object whose class `what`, a model, has no name for, unless it is ignored."""
    for scene in scenes:
        strange = sorted({int(c) for c in scene.classes if c >= len(classes)} - set(ignored))
        if strange:
            raise LabelledDataError(
                f"{scene.name} has objects of class {strange[0]}; {what} knows {len(classes)} ({', '.join(classes)}, counted from "
                f"0). Leave them out with --ignore-class {strange[0]}, or use a model that knows the class",
                path=Path(f"{scene.name}.txt"),
            )

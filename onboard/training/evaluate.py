"""Tables of precision, recall, F1 and calibration error, per port and pooled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from onboard.detector import Detector
from onboard.training.calibrate import compare_calibrations, leave_fold_out
from onboard.training.crossval import HeldOutPort
from onboard.training.labelled_scene import LabelledScene
from onboard.training.matching import JudgedDetection, Score, match, score_at
from onboard.training.scene_detection import detect_scene

Table = dict[str, Score]


def held_out_table(ports: Sequence[HeldOutPort]) -> Table:
    """Scores of ports never seen; confidence and threshold of each fold come from the other folds."""
    calibrated, thresholds = leave_fold_out(ports)
    table = {port.port: score_at(port.judged, port.ships, thresholds[port.fold]) for port in calibrated}
    above = [item for port in calibrated for item in port.judged if item.score >= thresholds[port.fold]]
    table["pooled"] = score_at(above, sum(port.ships for port in ports), 0.0)
    return table


def model_table(detector: Detector, scenes: Sequence[LabelledScene]) -> Table:
    """Scores of a model as it is shipped, threshold included. On its own training scenes this is no test."""
    table: Table = {}
    pooled: list[JudgedDetection] = []
    for scene in scenes:
        judged = judge(detector, scene)
        table[scene.name] = score_at(judged, len(scene.ships_px), 0.0)
        pooled += judged
    table["pooled"] = score_at(pooled, sum(len(scene.ships_px) for scene in scenes), 0.0)
    return table


def judge(detector: Detector, scene: LabelledScene) -> list[JudgedDetection]:
    """A scene's detections with their verdicts."""
    found = detect_scene(detector, scene, detector.model.bands)
    confidences = np.array([item.confidence for item in found])
    hits = match(np.array([item.corners_px for item in found]).reshape(-1, 4, 2), confidences, scene.ships_px)
    return [JudgedDetection(score=float(c), hit=bool(h)) for c, h in zip(confidences, hits, strict=True)]


def calibration_lines(ports: Sequence[HeldOutPort]) -> list[str]:
    """How far each calibration is off, over every held-out detection."""
    errors = compare_calibrations(ports)
    count = sum(len(port.judged) for port in ports)
    return [f"calibration error over {count} held-out detections: "] + [
        f"  {name:9s}{error:.3f}" for name, error in errors.items()
    ]


def table_lines(table: Table) -> list[str]:
    """The table as aligned text."""
    width = max(len(name) for name in table)
    lines = [f"{'':{width}s}  ships  found   hits  precision  recall     F1    ECE"]
    lines += [
        f"{name:{width}s}  {s.ships:5d}  {s.found:5d}  {s.hits:5d}  "
        f"{s.precision:9.3f}  {s.recall:6.3f}  {s.f1:5.3f}  {s.ece:5.3f}"
        for name, s in table.items()
    ]
    return lines


def table_json(table: Table) -> str:
    """The table as JSON, one object per row."""
    return json.dumps({name: asdict(score) for name, score in table.items()}, indent=1)

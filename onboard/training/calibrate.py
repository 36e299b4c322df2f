"""From raw scores to probabilities: Platt's sigmoid on the held-out verdicts of the folds, isotonic for comparison.

Fitted on what networks said of ports they never saw; the figures leave each fold out of its own fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onboard.detector import PlattCalibration
from onboard.training.crossval import HeldOutPort
from onboard.training.matching import F1_GIVEN_UP, JudgedDetection, calibration_error, operating_threshold

Calibrate = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """What goes into model.json."""

    calibration: PlattCalibration
    threshold: float
    """Calibrated confidence from which a detection is reported: see `operating_threshold`."""


def fit_platt(judged: Sequence[JudgedDetection], rounds: int = 50) -> PlattCalibration:
    """Logistic regression of the verdict on the logit of the score, by Newton's method with a light ridge."""
    logits = _logits(np.array([item.score for item in judged]))
    hits = np.array([item.hit for item in judged], dtype=np.float64)
    design = np.column_stack([logits, np.ones_like(logits)])
    weights = np.array([1.0, 0.0])
    ridge = 1e-3 * np.eye(2)
    for _ in range(rounds):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (chance - hits) + ridge @ (weights - (1.0, 0.0))
        curvature = design.T @ (design * (chance * (1 - chance))[:, None]) + ridge
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return PlattCalibration(slope=max(float(weights[0]), 1e-3), intercept=float(weights[1]))


def fit_isotonic(judged: Sequence[JudgedDetection]) -> Calibrate:
    """Pool adjacent violators: the non-decreasing step function of the score nearest to the verdicts."""
    ranked = sorted(judged, key=lambda item: item.score)
    blocks: list[list[float]] = []
    for item in ranked:
        blocks.append([float(item.hit), 1.0, item.score])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            hits, count, _ = blocks.pop()
            blocks[-1][0] += hits
            blocks[-1][1] += count
    levels = np.array([hits / count for hits, count, _ in blocks])
    starts = np.array([start for _, _, start in blocks])
    return lambda scores: levels[np.maximum(np.searchsorted(starts, scores, side="right") - 1, 0)]


def operating_point(ports: Sequence[HeldOutPort], *, f1_given_up: float = F1_GIVEN_UP) -> OperatingPoint:
    """Calibration and threshold from all folds together: what the shipped model uses. See `operating_threshold`."""
    judged = [item for port in ports for item in port.judged]
    calibration = fit_platt(judged)
    calibrated = _calibrated(judged, calibration.confidence_of)
    ships = sum(port.ships for port in ports)
    return OperatingPoint(
        calibration=calibration, threshold=operating_threshold(calibrated, ships, f1_given_up=f1_given_up)
    )


def leave_fold_out(
    ports: Sequence[HeldOutPort], *, f1_given_up: float = F1_GIVEN_UP
) -> tuple[list[HeldOutPort], dict[int, float]]:
    """Each port with confidences, and each fold's threshold, from the other folds alone.

    With a single fold there is nothing else to learn from, and it is its own judge.
    """
    calibrated: list[HeldOutPort] = []
    thresholds: dict[int, float] = {}
    for fold in sorted({port.fold for port in ports}):
        rest = [port for port in ports if port.fold != fold] or list(ports)
        point = operating_point(rest, f1_given_up=f1_given_up)
        thresholds[fold] = point.threshold
        calibrated += [
            replace(port, judged=tuple(_calibrated(port.judged, point.calibration.confidence_of)))
            for port in ports
            if port.fold == fold
        ]
    return calibrated, thresholds


def compare_calibrations(ports: Sequence[HeldOutPort]) -> dict[str, float]:
    """Expected calibration error over all held-out detections: raw, Platt and isotonic; no fold in its own fit."""
    errors: dict[str, list[JudgedDetection]] = {"raw": [], "platt": [], "isotonic": []}
    for fold in sorted({port.fold for port in ports}):
        rest = [item for port in ports if port.fold != fold for item in port.judged]
        own = [item for port in ports if port.fold == fold for item in port.judged]
        errors["raw"] += own
        errors["platt"] += _calibrated(own, fit_platt(rest or own).confidence_of)
        errors["isotonic"] += _calibrated(own, fit_isotonic(rest or own))
    return {name: calibration_error(items) for name, items in errors.items()}


def _calibrated(judged: Sequence[JudgedDetection], calibrate: Calibrate) -> list[JudgedDetection]:
    if not judged:
        return []
    confidences = calibrate(np.array([item.score for item in judged]))
    return [replace(item, score=float(c)) for item, c in zip(judged, confidences, strict=True)]


def _logits(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))

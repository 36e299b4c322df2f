"""Weights of the classical baseline from labelled scenes, and what it says of ports left out of the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from onboard.cfar import (
    BANDS,
    Candidates,
    CfarDetector,
    CfarSettings,
    CfarWeights,
    Discriminant,
    candidates_in,
    terms_of,
)
from onboard.detector import PlattCalibration
from onboard.training.calibrate import operating_point
from onboard.training.crossval import FOLDS, LOWEST_SCORE, HeldOutPort
from onboard.training.evaluate import judge
from onboard.training.labelled_scene import LabelledScene
from onboard.training.matching import match

RIDGE = 20.0
"""Penalty on the squared weights, the constant's left out: with it, a port left out loses least."""
ROUNDS = 40
BASELINE_F1_GIVEN_UP = 0.0
"""A yardstick is held at its best; a lower threshold costs this one more false alarms than it finds ships."""
_NO_CALIBRATION = PlattCalibration()


def candidates_by_scene(scenes: Sequence[LabelledScene]) -> dict[str, tuple[Candidates, NDArray[np.bool_]]]:
    """By scene name: the candidates of the whole scene, and which of them lie on a labelled ship."""
    return {scene.name: _judged_candidates(scene) for scene in scenes}


def fit_discriminant(judged: Mapping[str, tuple[Candidates, NDArray[np.bool_]]]) -> Discriminant:
    """Ridge logistic regression by Newton's method over all candidates."""
    evidence = np.concatenate([candidates.evidence for candidates, _ in judged.values()])
    on_ship = np.concatenate([hits for _, hits in judged.values()]).astype(np.float64)
    centre, spread = evidence.mean(axis=0), evidence.std(axis=0) + 1e-9
    terms = terms_of(evidence, centre, spread)
    penalty = np.diag([1e-3, *[RIDGE] * (terms.shape[1] - 1)])
    weights = np.zeros(terms.shape[1])
    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(terms @ weights, -30, 30)))
        curvature = terms.T @ (terms * (chance * (1 - chance))[:, None]) + penalty
        step = np.linalg.solve(curvature, terms.T @ (chance - on_ship) + penalty @ weights)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return Discriminant(
        centre=tuple(np.round(centre, 5)), spread=tuple(np.round(spread, 5)), weights=tuple(np.round(weights, 5))
    )


def detector_of(discriminant: Discriminant, *, calibration: PlattCalibration, threshold: float) -> CfarDetector:
    """The baseline with weights that are not the committed ones."""
    weights = CfarWeights(
        version="0", discriminant=discriminant, calibration=calibration, threshold=threshold, training_data=""
    )
    return CfarDetector(weights)


def held_out_ports(
    scenes: Sequence[LabelledScene], judged: Mapping[str, tuple[Candidates, NDArray[np.bool_]]]
) -> list[HeldOutPort]:
    """For each scene the raw scores of the baseline fitted on the ports of the other folds, tile by tile as in flight."""
    ports = []
    for fold, names in enumerate(FOLDS):
        own = [scene for scene in scenes if scene.port in names]
        rest = {name: item for name, item in judged.items() if name not in {scene.name for scene in own}}
        if not own or not rest:
            continue
        detector = detector_of(fit_discriminant(rest), calibration=_NO_CALIBRATION, threshold=LOWEST_SCORE)
        ports += [
            HeldOutPort(port=scene.port, fold=fold, ships=len(scene.ships_px), judged=tuple(judge(detector, scene)))
            for scene in own
        ]
    return ports


def fitted_weights(
    judged: Mapping[str, tuple[Candidates, NDArray[np.bool_]]], ports: Sequence[HeldOutPort], *, version: str
) -> CfarWeights:
    """What ships: the discriminant of all scenes; calibration and threshold from the verdicts on ports left out."""
    point = operating_point(ports, f1_given_up=BASELINE_F1_GIVEN_UP)
    return CfarWeights(
        version=version,
        discriminant=fit_discriminant(judged),
        calibration=point.calibration,
        threshold=round(point.threshold, 4),
        training_data=", ".join(sorted(judged)),
    )


def _judged_candidates(scene: LabelledScene) -> tuple[Candidates, NDArray[np.bool_]]:
    candidates = candidates_in(np.ascontiguousarray(scene.pixels.transpose(2, 0, 1)), BANDS, CfarSettings())
    # One at a time: several candidates may lie on one ship, and all of them show what a ship looks like.
    one = np.ones(1)
    hits = [match(corners[None], one, scene.ships_px)[0] for corners in candidates.corners]
    return candidates, np.array(hits, dtype=bool)

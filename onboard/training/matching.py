"""Which detections are which ships, and what that says: precision, recall, F1 and calibration error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from onboard.rotated_boxes import overlaps, points_inside

MIN_IOU = 0.3
"""Rotated intersection over union from which a detection is a ship's."""
SMALL_SHIP_PX = 8.0
"""For a ship shorter than this a one-pixel shift ruins the overlap: the detection's centre inside its box suffices."""
F1_GIVEN_UP = 0.01
"""So much F1 is worth a lower threshold: what is not reported is lost on board, a false alarm costs 14 bytes and a chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedDetection:
    """A detection with its verdict."""

    score: float
    """Raw score or calibrated confidence, 0..1."""
    hit: bool
    """Whether it was matched one-to-one with a ship."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a set of detections fares at one threshold."""

    ships: int
    found: int
    hits: int
    precision: float
    recall: float
    f1: float
    ece: float
    """Expected calibration error over ten equal bins of confidence, of the detections above the threshold."""


def match(corners: np.ndarray, scores: np.ndarray, ships: np.ndarray) -> np.ndarray:
    """(n, 4, 2) detections with (n,) scores against (m, 4, 2) ships: (n,) bool, which detections are hits."""
    return np.asarray(ships_taken(corners, scores, ships) >= 0)


def ships_taken(
    corners: np.ndarray, scores: np.ndarray, ships: np.ndarray, *, may_be: np.ndarray | None = None
) -> np.ndarray:
    """As `match`: (n,) int64, the ship that each detection takes, -1 for none. `may_be` (n, m) bool allows pairs, as of one class.

    Greedy and one-to-one: the most confident detection takes the ship it overlaps most.
    """
    taken_by = np.full(len(corners), -1, dtype=np.int64)
    if not len(corners) or not len(ships):
        return taken_by
    affinity = _affinity(corners, ships)
    if may_be is not None:
        affinity = np.where(may_be, affinity, 0.0)
    taken = np.zeros(len(ships), dtype=bool)
    for index in np.argsort(-scores, kind="stable"):
        free = np.where(taken, 0.0, affinity[index])
        best = int(np.argmax(free))
        if free[best] > 0:
            taken_by[index] = best
            taken[best] = True
    return taken_by


def lie_on(corners: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """(n, 4, 2) detections and (m, 4, 2) objects: (n,) bool, whether a detection overlaps one as a hit must, however many do."""
    if not len(corners) or not len(objects):
        return np.zeros(len(corners), dtype=bool)
    return np.asarray((_affinity(corners, objects) > 0).any(axis=1))


def score_at(judged: Sequence[JudgedDetection], ships: int, threshold: float) -> Score:
    """Figures of the detections of at least `threshold`; matching is greedy by score, so hits above it stay hits."""
    kept = [item for item in judged if item.score >= threshold]
    hits = sum(item.hit for item in kept)
    precision = hits / len(kept) if kept else 0.0
    recall = hits / ships if ships else 0.0
    return Score(
        ships=ships,
        found=len(kept),
        hits=hits,
        precision=precision,
        recall=recall,
        f1=2 * hits / (len(kept) + ships) if kept or ships else 0.0,
        ece=calibration_error(kept),
    )


def operating_threshold(judged: Sequence[JudgedDetection], ships: int, *, f1_given_up: float = F1_GIVEN_UP) -> float:
    """The lowest threshold at which F1 on `judged` is within `f1_given_up` of its best; 0.5 without detections or objects.

    F1 over the threshold is flat and ragged, so it is averaged over a quarter as many detections as there are ships.
    """
    ranked = sorted(judged, key=lambda item: -item.score)
    if not ranked or not ships:
        return 0.5
    hits = np.cumsum([item.hit for item in ranked])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + ships)
    width = min(ships // 8 * 2 + 1, len(ranked))
    smooth = np.convolve(np.pad(f1, width // 2, mode="edge"), np.ones(width) / width, mode="valid")[: len(f1)]
    return ranked[int(np.flatnonzero(smooth >= smooth.max() - f1_given_up)[-1])].score


def calibration_error(judged: Iterable[JudgedDetection], bins: int = 10) -> float:
    """Mean distance between confidence and share of hits over equal bins, weighted by their detections."""
    items = list(judged)
    if not items:
        return 0.0
    scores = np.array([item.score for item in items])
    hits = np.array([item.hit for item in items], dtype=np.float64)
    bin_of = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [abs(scores[bin_of == b].sum() - hits[bin_of == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(items))


def _affinity(corners: np.ndarray, ships: np.ndarray) -> np.ndarray:
    """(n, m): overlap where a detection may be a ship's, else 0."""
    count, ship_count = len(corners), len(ships)
    first, second = np.repeat(corners, ship_count, axis=0), np.tile(ships, (count, 1, 1))
    centres = first.mean(axis=1)
    reach = np.linalg.norm(first - centres[:, None], axis=2).max(axis=1)
    ship_centres = second.mean(axis=1)
    ship_reach = np.linalg.norm(second - ship_centres[:, None], axis=2).max(axis=1)
    near = np.flatnonzero(np.linalg.norm(centres - ship_centres, axis=1) <= reach + ship_reach)
    iou, _ = overlaps(first[near], second[near])
    small = np.maximum(_side(second[near], 0), _side(second[near], 1)) < SMALL_SHIP_PX
    by_centre = small & points_inside(centres[near], second[near])
    affinity = np.zeros(count * ship_count)
    affinity[near] = np.where((iou >= MIN_IOU) | by_centre, np.maximum(iou, 1e-6), 0.0)
    return affinity.reshape(count, ship_count)


def _side(corners: np.ndarray, index: int) -> np.ndarray:
    return np.asarray(np.linalg.norm(corners[:, index + 1] - corners[:, index], axis=1))

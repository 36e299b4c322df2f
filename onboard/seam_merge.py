"""One object, one detection: removes duplicates inside a tile and across the seams of overlapping tiles.

Greedy non-maximum suppression over oriented boxes, most confident first. Boxes meet only their neighbours, found
through a grid, so the cost grows with the number of detections and not with its square. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onboard.detection import Detection
from onboard.rotated_boxes import overlaps, points_inside


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRule:
    """When two boxes of one class are the same object; symmetric throughout, so a second merge changes nothing."""

    iou: float = 0.3
    """Rotated intersection over union from which two boxes are one."""
    over_smaller: float = 0.6
    """Intersection over the smaller box from which the smaller is a piece of the larger, cut off by a tile's edge."""
    centre_in_box: bool = True
    """Whether a box whose centre lies in the other is the same object."""


DEFAULT_MERGE_RULE = MergeRule()

ALL_PAIRS_UP_TO = 200
"""So few boxes are compared each with each: that takes less time than finding out which are neighbours."""


def merge_seams(detections: Sequence[Detection], rule: MergeRule = DEFAULT_MERGE_RULE) -> list[Detection]:
    """The detections without duplicates, most confident first.

    All must be in one pixel frame (see `Detection.shifted`). The result does not depend on their order.
    """
    if not detections:
        return []
    # Ties are broken by the boxes themselves: the order of arrival must not matter.
    ranked = sorted(detections, key=lambda item: (-item.confidence, item.class_id, item.corners_px))
    corners = np.array([item.corners_px for item in ranked], dtype=np.float64)
    classes = np.array([item.class_id for item in ranked])
    kept = suppress_duplicates(corners, classes, rule)
    return [ranked[index] for index in np.flatnonzero(kept)]


def suppress_duplicates(corners: np.ndarray, classes: np.ndarray, rule: MergeRule = DEFAULT_MERGE_RULE) -> np.ndarray:
    """(n, 4, 2) corners and (n,) classes, best first, to (n,) bool: which boxes stay."""
    first, second = _duplicate_pairs(corners, classes, rule)
    kept = np.ones(len(corners), dtype=bool)
    order = np.argsort(first, kind="stable")
    first, second = first[order], second[order]
    starts = np.searchsorted(first, np.arange(len(corners) + 1))
    for index in np.unique(first):
        if kept[index]:
            kept[second[starts[index] : starts[index + 1]]] = False
    return kept


def away_from_edges(detections: Sequence[Detection], *, size_px: tuple[int, int], margin_px: int) -> list[Detection]:
    """Detections of one tile of `size_px` (height, width) whose centre is at least `margin_px` from the tile's edge.

    What lies nearer may be cut; with a halo of twice the margin the neighbouring tile sees it whole.
    """
    height, width = size_px
    return [
        item
        for item in detections
        if margin_px <= item.center_px[0] < width - margin_px and margin_px <= item.center_px[1] < height - margin_px
    ]


def _duplicate_pairs(corners: np.ndarray, classes: np.ndarray, rule: MergeRule) -> tuple[np.ndarray, np.ndarray]:
    """Index pairs (better, worse) of boxes that are one object."""
    centres = corners.mean(axis=1)
    radii = np.sqrt(((corners - centres[:, None]) ** 2).sum(axis=2).max(axis=1))
    if len(corners) <= ALL_PAIRS_UP_TO:
        better, worse = np.triu_indices(len(corners), 1)
    else:
        better, worse = _neighbour_pairs(centres, cell_px=max(2 * float(radii.max()), 1.0))
    near = ((centres[better] - centres[worse]) ** 2).sum(axis=1) <= (radii[better] + radii[worse]) ** 2
    near &= classes[better] == classes[worse]
    better, worse = better[near], worse[near]
    same = np.zeros(len(better), dtype=bool)
    if rule.centre_in_box:
        holds = points_inside(centres[np.concatenate([worse, better])], corners[np.concatenate([better, worse])])
        same = holds[: len(better)] | holds[len(better) :]
    # Most boxes of one object hold each other's centres; the dearer question is for the others.
    open_ones = np.flatnonzero(~same)
    if len(open_ones):
        iou, over_smaller = overlaps(corners[better[open_ones]], corners[worse[open_ones]])
        same[open_ones] = (iou >= rule.iou) | (over_smaller >= rule.over_smaller)
    return better[same], worse[same]


def _neighbour_pairs(centres: np.ndarray, *, cell_px: float) -> tuple[np.ndarray, np.ndarray]:
    """All index pairs i < j whose centres lie in the same or in touching cells of a grid."""
    cells = np.floor(centres / cell_px).astype(np.int64)
    members: dict[tuple[int, int], list[int]] = {}
    for index, (column, row) in enumerate(cells.tolist()):
        members.setdefault((column, row), []).append(index)
    lows: list[np.ndarray] = []
    highs: list[np.ndarray] = []
    for (column, row), here in members.items():
        own = np.array(here)
        upper, lower = np.triu_indices(len(own), 1)
        lows.append(own[upper])
        highs.append(own[lower])
        # Half of the eight neighbours: the other half look back at this cell.
        for step in ((1, 0), (-1, 1), (0, 1), (1, 1)):
            there = members.get((column + step[0], row + step[1]))
            if there is not None:
                one, other = np.repeat(own, len(there)), np.tile(np.array(there), len(own))
                lows.append(np.minimum(one, other))
                highs.append(np.maximum(one, other))
    return np.concatenate(lows), np.concatenate(highs)

"""Runs a detector over a whole scene the way the pipeline does: cores of 512 px with a halo of 64 px, seams merged."""

from __future__ import annotations

import numpy as np

from onboard.detection import Detection
from onboard.detector import Detector
from onboard.seam_merge import away_from_edges, merge_seams
from onboard.training.labelled_scene import LabelledScene

CORE_PX = 512
HALO_PX = 64


def detect_scene(detector: Detector, scene: LabelledScene, bands: tuple[str, ...]) -> list[Detection]:
    """All detections of a scene in its own pixel frame."""
    height, width = scene.pixels.shape[:2]
    bottom, right = -height % CORE_PX + HALO_PX, -width % CORE_PX + HALO_PX
    padded = np.pad(scene.pixels.transpose(2, 0, 1), ((0, 0), (HALO_PX, bottom), (HALO_PX, right)), mode="edge")
    side = CORE_PX + 2 * HALO_PX
    found: list[Detection] = []
    for row in range(0, height, CORE_PX):
        for col in range(0, width, CORE_PX):
            tile = np.ascontiguousarray(padded[:, row : row + side, col : col + side])
            whole = away_from_edges(detector.detect(tile, bands), size_px=(side, side), margin_px=HALO_PX // 2)
            found += [item.shifted(col - HALO_PX, row - HALO_PX) for item in whole]
    inside = [item for item in found if 0 <= item.center_px[0] < width and 0 <= item.center_px[1] < height]
    return merge_seams(inside)

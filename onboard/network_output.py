"""From the exported network's output to box candidates. Pure numpy."""

from __future__ import annotations

import numpy as np


def candidates_of(output: np.ndarray, min_score: float) -> np.ndarray:
    """(1, 6, cells) decoded output to (n, 6) candidates of at least `min_score`.

    The network gives per cell centre x, centre y, width, height, score, angle; candidates carry the angle before the
    score.
    """
    rows = output[0, :, output[0, 4] >= min_score].astype(np.float64)
    return rows[:, [0, 1, 2, 3, 5, 4]]

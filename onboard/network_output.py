"""From the exported network's output to box candidates. Pure numpy."""

from __future__ import annotations

import numpy as np


def candidates_of(output: np.ndarray, min_score: float) -> np.ndarray:
    """(1, 4 + classes + 1, cells) decoded output to (n, 7) candidates of at least `min_score`.

    The network gives per cell centre x, centre y, width, height, a score for each class, angle; a candidate is centre x, centre y,
    width, height, angle, the score of its likeliest class, and that class.
    """
    scores = output[0, 4:-1]
    best = scores[0] if len(scores) == 1 else scores.max(axis=0)
    cells = np.flatnonzero(best >= min_score)
    rows = output[0][:, cells].astype(np.float64)
    boxes, classes = rows[:4], rows[4:-1].argmax(axis=0)
    return np.column_stack([boxes.T, rows[-1], rows[4:-1].max(axis=0), classes])

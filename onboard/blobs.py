"""Blobs of a mask and the rectangles around them, all at once. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TURNS = np.deg2rad(np.arange(0.0, 90.0, 3.0))
_ALONG_X = np.concatenate([np.cos(_TURNS), -np.sin(_TURNS)])
_ALONG_Y = np.concatenate([np.sin(_TURNS), np.cos(_TURNS)])
_PIXEL_EXTENT = 0.9 * (np.abs(_ALONG_X) + np.abs(_ALONG_Y))
"""What a pixel adds to the extent of the centres along each direction: a little less than its square, whose corners lie in the blur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blobs:
    """The blobs of one mask, by their pixels."""

    rows: NDArray[np.int64]
    """(pixels,), blob after blob."""
    columns: NDArray[np.int64]
    """(pixels,)."""
    blob: NDArray[np.int64]
    """(pixels,): number of the blob from 0, never falling."""
    starts: NDArray[np.int64]
    """(blobs,): first pixel of each."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(blobs,) pixels."""
        return np.diff(self.starts, append=len(self.blob))

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(pixels,) values to (blobs,) sums."""
        return np.asarray(np.bincount(self.blob, values, len(self)), dtype=np.float64)

    def means(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(pixels,) values to (blobs,) means."""
        return self.sums(values) / np.maximum(self.sizes, 1)


def blobs_of(mask: NDArray[np.bool_], *, min_px: int = 1, max_px: int | None = None) -> Blobs:
    """The blobs of `mask` (height, width) with `min_px` to `max_px` pixels; pixels that touch at corners are one blob."""
    height, width = mask.shape
    stride = width + 1  # one False column ends every row's last run
    flat = np.zeros(height * stride + 1, dtype=np.int8)
    flat[1:].reshape(height, stride)[:, :width] = mask
    edges = np.diff(flat, append=np.int8(0))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    root = first_runs(starts, ends, stride, diagonal=True)
    lengths = ends - starts
    sizes = np.bincount(root, weights=lengths, minlength=len(starts))[root]
    kept = np.flatnonzero((sizes >= min_px) & (sizes <= (max_px or mask.size)))
    kept = kept[np.argsort(root[kept], kind="stable")]
    starts, lengths, root = starts[kept], lengths[kept], root[kept]
    _, number = np.unique(root, return_inverse=True)
    blob = np.repeat(number, lengths).astype(np.int64)
    places = np.arange(len(blob)) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    firsts = np.searchsorted(blob, np.arange(int(blob[-1]) + 1 if len(blob) else 0))
    return Blobs(rows=places // stride, columns=places % stride, blob=blob, starts=firsts)


def smallest_rectangles(blobs: Blobs) -> NDArray[np.float64]:
    """(blobs, 5): centre x, centre y, width, height, angle in radians of the smallest rectangle, its angle to 3 degrees.

    Pixel (row 0, column 0) covers [0, 1) x [0, 1).
    """
    if not len(blobs):
        return np.empty((0, 5))
    places = blobs.columns[:, None] * _ALONG_X + blobs.rows[:, None] * _ALONG_Y
    low = np.minimum.reduceat(places, blobs.starts)
    high = np.maximum.reduceat(places, blobs.starts)
    turns = len(_TURNS)
    extents = high - low + _PIXEL_EXTENT
    best = np.argmin(extents[:, :turns] * extents[:, turns:], axis=1)
    one = np.arange(len(blobs))
    middle = (low + high) / 2
    along, across = middle[one, best], middle[one, best + turns]
    cos, sin = _ALONG_X[best], _ALONG_Y[best]
    return np.stack(
        [
            along * cos - across * sin + 0.5,
            along * sin + across * cos + 0.5,
            extents[one, best],
            extents[one, best + turns],
            _TURNS[best],
        ],
        axis=1,
    )


def box_sums(values: NDArray[Any], reach_px: int) -> NDArray[np.float64]:
    """(height, width) to the sum over the square that reaches `reach_px` from each pixel, cut at the array's edge."""
    height, width = values.shape
    table = np.zeros((height + 1, width + 1))
    np.cumsum(np.cumsum(values, axis=0, dtype=np.float64), axis=1, out=table[1:, 1:])
    top, bottom = _span(height, reach_px)
    left, right = _span(width, reach_px)
    rows = table[bottom] - table[top]
    sums: NDArray[np.float64] = rows[:, right] - rows[:, left]
    return sums


def _span(length: int, reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    places = np.arange(length)
    return np.maximum(places - reach, 0), np.minimum(places + reach + 1, length)


def first_runs(starts: NDArray[np.int64], ends: NDArray[np.int64], stride: int, *, diagonal: bool) -> NDArray[np.int64]:
    """For each run of pixels, from a start to before an end in rows laid end to end, the first run of its blob.

    Runs of neighbouring rows belong together where they share a column, with `diagonal` also where their corners meet.
    """
    first = np.searchsorted(ends, starts + stride, side="left" if diagonal else "right")
    beyond = np.searchsorted(starts, ends + stride, side="right" if diagonal else "left")
    counts = np.maximum(beyond - first, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    root = np.arange(len(starts))
    # Shiloach and Vishkin 1982: hook the larger root under the smaller, then point everything at its root.
    while not np.array_equal(one := root[upper], other := root[lower]):
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(shorter := root[root], root):
            root = shorter
    return root

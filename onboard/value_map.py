"""The semantic map of a block: what each of its pixels weighs in distortion and in points (pure).

Clear ground and sea weigh 1 or what the policy says, cloud next to nothing, what changed more, the surroundings of
detections most; a pixel without data weighs nothing. What the weight of detections means beside their chips is told in
`onboard.policy.MapWeights`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from downlink.scene import Window
from onboard.detection import Detection
from onboard.policy import MapWeights

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def value_map(
    window: Window,
    valid: Flags,
    *,
    cloud: Flags | None,
    detections: Sequence[Detection],
    changed: Flags | None,
    weights: MapWeights,
) -> Floats:
    """Weights (height, width) of the pixels of `window`, 0 where `valid` is not set.

    `detections` lie in the pixels of the scene, and need not lie in the window. `cloud` may have been judged on every n-th
    pixel: a smaller mask of (ceil(height / n), ceil(width / n)) stands for it. Over cloud a change does not count; a
    detection does, since it was seen. Where boxes overlap the most confident counts. Raises ValueError for a mask that fits
    neither way.
    """
    shape = window.height, window.width
    if valid.shape != shape or (changed is not None and changed.shape != shape):
        raise ValueError(
            f"masks of shape {valid.shape} and {None if changed is None else changed.shape} do not fit a window of "
            f"{window.height} x {window.width} px"
        )
    made = np.full(shape, weights.clear, np.float32)
    if changed is not None:
        made[changed] = weights.changed
    if cloud is not None:
        made[_full_size(cloud, shape)] = weights.cloud
    certainty = box_confidence(window, detections, margin_px=weights.margin_px)
    if certainty is not None:
        made += np.maximum(np.float32(weights.detection) - made, 0) * certainty
    made *= valid
    return made


def box_confidence(window: Window, detections: Sequence[Detection], *, margin_px: int) -> Floats | None:
    """Confidence (height, width) of the most confident detection whose box, widened by `margin_px` on each side, holds the
    centre of the pixel; 0 where there is none. None where no box reaches the window."""
    if not detections:
        return None
    corners = np.array([one.corners_px for one in detections], np.float64) - (window.col, window.row)
    confidence = np.array([one.confidence for one in detections], np.float32)
    centre, along, across = _widened(corners, margin_px)
    reach = np.abs(along) + np.abs(across)
    # Pixel centres lie at n + 0.5.
    low = np.clip(np.ceil(centre - reach - 0.5), 0, None).astype(np.int64)
    high = np.clip(np.floor(centre + reach - 0.5) + 1, None, (window.width, window.height)).astype(np.int64)
    near = np.flatnonzero((high > low).all(axis=1))
    if not len(near):
        return None
    found = np.zeros((window.height, window.width), np.float32)
    xs, ys = np.arange(window.width) + 0.5, np.arange(window.height)[:, None] + 0.5
    for box in near.tolist():
        cols, rows = slice(low[box, 0], high[box, 0]), slice(low[box, 1], high[box, 1])
        x, y = xs[cols] - centre[box, 0], ys[rows] - centre[box, 1]
        inside = _within(x, y, along[box]) & _within(x, y, across[box])
        np.maximum(found[rows, cols], confidence[box] * inside, out=found[rows, cols])
    return found


def _widened(
    corners: NDArray[np.float64], margin_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centres (n, 2), and half-sides (n, 2) along and across, of the least rectangles along the longer edge of each box that
    hold its four corners (n, 4, 2), widened by the margin. A box cut off at the edge of the scene is no rectangle any more."""
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]], axis=1)
    length = np.linalg.norm(edges, axis=2)
    longer = np.argmax(length, axis=1)
    rows = np.arange(len(corners))
    longest = length[rows, longer][:, None]
    along = np.where(longest > 0, edges[rows, longer] / np.maximum(longest, 1e-12), (1.0, 0.0))
    axes = np.stack([along, np.stack([-along[:, 1], along[:, 0]], axis=1)], axis=1)  # (n, 2 axes, 2)
    reached = np.einsum("ncx,nax->nca", corners, axes)  # every corner along every axis
    low, high = reached.min(axis=1), reached.max(axis=1)
    centre = np.einsum("na,nax->nx", (low + high) / 2, axes)
    half = (high - low) / 2 + margin_px
    return centre, axes[:, 0] * half[:, :1], axes[:, 1] * half[:, 1:]


def _within(x: NDArray[np.float64], y: NDArray[np.float64], half_side: NDArray[np.float64]) -> Flags:
    """Whether offsets x (columns) and y (rows, 1) from a centre lie within a half-side (2,), measured along it."""
    inside: Flags = np.abs(x * half_side[0] + y * half_side[1]) <= half_side @ half_side
    return inside


def _full_size(mask: Flags, shape: tuple[int, int]) -> Flags:
    """A mask judged on every n-th pixel, each sample spread over the n x n pixels from it on."""
    if mask.shape == shape:
        return mask
    for step in range(2, max(shape) + 1):
        if mask.shape == (-(-shape[0] // step), -(-shape[1] // step)):
            return mask.repeat(step, axis=0).repeat(step, axis=1)[: shape[0], : shape[1]]
    raise ValueError(
        f"a cloud mask of shape {mask.shape} is no sample of every n-th pixel of {shape[0]} x {shape[1]} px"
    )

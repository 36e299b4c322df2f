"""Geometry of oriented boxes: corners, areas, overlap. Pure numpy, many pairs at once.

Boxes are convex quadrilaterals given as (..., 4, 2) corners x, y in turn around the box, in either direction.
"""

from __future__ import annotations

import numpy as np


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """(n, 5) centre x, centre y, width, height, angle in radians to (n, 4, 2) corners."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 5)
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    along = np.stack([cos, sin], axis=1) * boxes[:, 2:3] / 2
    across = np.stack([-sin, cos], axis=1) * boxes[:, 3:4] / 2
    offsets = np.stack([along + across, along - across, -along - across, -along + across], axis=1)
    return boxes[:, None, :2] + offsets


def areas_of(corners: np.ndarray) -> np.ndarray:
    """(n, 4, 2) to (n,) areas by the shoelace formula."""
    return np.asarray(np.abs(_signed_areas(corners)))


def intersection_areas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, 4, 2) and (n, 4, 2) to the (n,) areas that the pairs share.

    The shared polygon's vertices are the corners of each box inside the other and the crossings of their edges (at
    most 8 of these 24 candidates); ordered by angle around their mean they give its area.
    """
    first, second = _counter_clockwise(first), _counter_clockwise(second)
    # A frame near the origin: far corners of a large scene would cost digits in the cross products.
    origin = first.mean(axis=1, keepdims=True)
    first, second = first - origin, second - origin
    crossings, crossed = _edge_crossings(first, second)
    points = np.concatenate([first, second, crossings], axis=1)
    valid = np.concatenate([_inside(first, second), _inside(second, first), crossed], axis=1)
    count = valid.sum(axis=1)
    centre = (points * valid[..., None]).sum(axis=1) / np.maximum(count, 1)[:, None]
    rays = np.where(valid[..., None], points - centre[:, None], 0.0)
    order = np.argsort(np.where(valid, np.arctan2(rays[..., 1], rays[..., 0]), np.inf), axis=1)
    # Absent candidates come last as zeros, the centre itself, so the fan of triangles around it is unchanged, save
    # that the fan must close from the last vertex to the first.
    ring = np.take_along_axis(rays, order[..., None], axis=1)
    last = np.maximum(count - 1, 0)
    closing = _cross(ring[np.arange(len(ring)), last], ring[:, 0])
    fan = _cross(ring[:, :-1], ring[:, 1:]).sum(axis=1)
    return np.where(count >= 3, np.abs(fan + closing) / 2, 0.0)


def overlaps(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4, 2) pairs to (n,) intersection over union and (n,) intersection over the smaller box, both 0..1."""
    area_first, area_second = areas_of(first), areas_of(second)
    shared = np.minimum(intersection_areas(first, second), np.minimum(area_first, area_second))
    union = area_first + area_second - shared
    smaller = np.minimum(area_first, area_second)
    return (
        np.divide(shared, union, out=np.zeros_like(shared), where=union > 0),
        np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0),
    )


def points_inside(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(n, 2) points and (n, 4, 2) boxes to (n,) whether each point lies in its box (borders count)."""
    return _inside(np.asarray(points, dtype=np.float64)[:, None], _counter_clockwise(corners))[:, 0]


def _signed_areas(corners: np.ndarray) -> np.ndarray:
    corners = np.asarray(corners, dtype=np.float64)
    local = corners - corners[:, :1]
    return np.asarray(_cross(local, np.roll(local, -1, axis=1)).sum(axis=1) / 2)


def _counter_clockwise(corners: np.ndarray) -> np.ndarray:
    corners = np.asarray(corners, dtype=np.float64)
    return np.where((_signed_areas(corners) < 0)[:, None, None], corners[:, ::-1], corners)


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])


def _inside(points: np.ndarray, corners: np.ndarray, slack: float = 1e-9) -> np.ndarray:
    """(n, p, 2) points in (n, 4, 2) counter-clockwise boxes: (n, p) bool, borders included."""
    edges = np.roll(corners, -1, axis=1) - corners
    to_points = points[:, :, None] - corners[:, None]
    return np.asarray((_cross(edges[:, None], to_points) >= -slack).all(axis=2))


def _edge_crossings(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points where the 4 x 4 edges of each pair cross: (n, 16, 2) and (n, 16) whether they do."""
    edge_first = (np.roll(first, -1, axis=1) - first)[:, :, None]
    edge_second = (np.roll(second, -1, axis=1) - second)[:, None]
    between = second[:, None] - first[:, :, None]
    turn = _cross(edge_first, edge_second)
    parallel = np.abs(turn) < 1e-12
    divisor = np.where(parallel, 1.0, turn)
    along_first = _cross(between, edge_second) / divisor
    along_second = _cross(between, edge_first) / divisor
    crossed = ~parallel & (along_first >= 0) & (along_first <= 1) & (along_second >= 0) & (along_second <= 1)
    points = first[:, :, None] + along_first[..., None] * edge_first
    return points.reshape(len(first), 16, 2), crossed.reshape(len(first), 16)

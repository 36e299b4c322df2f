import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point, Polygon

from onboard.rotated_boxes import areas_of, corners_of, intersection_areas, overlaps, points_inside

boxes = st.tuples(st.floats(0, 40), st.floats(0, 40), st.floats(0.5, 30), st.floats(0.5, 30), st.floats(-np.pi, np.pi))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(boxes, boxes), min_size=1, max_size=6), st.floats(0, 1e5))
def test_intersection_agrees_with_shapely(pairs, far):
    first = corners_of(np.array([pair[0] for pair in pairs])) + far
    second = corners_of(np.array([pair[1] for pair in pairs])) + far
    shared = intersection_areas(first, second)
    for index in range(len(pairs)):
        expected = Polygon(first[index]).intersection(Polygon(second[index])).area
        assert shared[index] == pytest.approx(expected, rel=1e-6, abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(boxes, st.integers(0, 3), st.booleans())
def test_a_box_overlaps_itself_whole_however_its_corners_are_listed(box, start, backwards):
    corners = corners_of(np.array([box]))
    same = np.roll(corners, start, axis=1)
    same = same[:, ::-1] if backwards else same
    iou, over_smaller = overlaps(corners, same)
    assert iou[0] == pytest.approx(1.0, abs=1e-6)
    assert over_smaller[0] == pytest.approx(1.0, abs=1e-6)
    assert areas_of(corners)[0] == pytest.approx(box[2] * box[3])


@settings(max_examples=100, deadline=None)
@given(boxes, st.floats(-10, 50), st.floats(-10, 50))
def test_points_inside_agrees_with_shapely(box, x, y):
    corners = corners_of(np.array([box]))
    polygon = Polygon(corners[0])
    if polygon.exterior.distance(Point(x, y)) > 1e-6:
        assert points_inside(np.array([[x, y]]), corners)[0] == polygon.contains(Point(x, y))


def test_known_overlaps():
    first = corners_of(np.array([[5, 5, 10, 4, 0], [5, 5, 10, 4, 0], [0, 0, 2, 2, 0], [0, 0, 4, 4, 0]], dtype=float))
    second = corners_of(
        np.array([[8, 5, 10, 4, 0], [5, 5, 10, 4, np.pi / 2], [2, 0, 2, 2, 0], [0.5, 0.5, 1, 1, 0.3]], dtype=float)
    )
    iou, over_smaller = overlaps(first, second)
    assert iou == pytest.approx([28 / 52, 16 / 64, 0.0, 1 / 16])
    assert over_smaller == pytest.approx([0.7, 0.4, 0.0, 1.0])


def test_a_box_without_area_overlaps_nothing():
    flat = corners_of(np.array([[5.0, 5.0, 8.0, 0.0, 0.4]]))
    iou, over_smaller = overlaps(flat, corners_of(np.array([[5.0, 5.0, 8.0, 6.0, 0.0]])))
    assert (iou[0], over_smaller[0]) == (0.0, 0.0)

"""The value map of a block: what weighs what, where boxes lie, and how maps scale."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.scene import Window
from onboard.detection import Detection
from onboard.policy import MapWeights
from onboard.value_map import box_confidence, value_map

WINDOW = Window(row=100, col=200, height=37, width=53)
ALL = np.ones((37, 53), bool)
WEIGHTS = MapWeights(clear=1.0, detection=8.0, margin_px=3, cloud=0.05, changed=3.0)


def box(x, y, length, width, angle, confidence=0.75):
    along = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    across = -math.sin(angle) * width / 2, math.cos(angle) * width / 2
    corners = tuple(
        (x + i * along[0] + j * across[0], y + i * along[1] + j * across[1])
        for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    )
    return Detection(class_id=0, confidence=confidence, corners_px=corners)


def inside_by_trigonometry(window, x, y, length, width, angle, margin):
    """Every pixel centre turned into the frame of the box."""
    rows, cols = np.mgrid[window.row : window.row_stop, window.col : window.col_stop] + 0.5
    along = (cols - x) * math.cos(angle) + (rows - y) * math.sin(angle)
    across = (rows - y) * math.cos(angle) - (cols - x) * math.sin(angle)
    return (np.abs(along) <= length / 2 + margin) & (np.abs(across) <= width / 2 + margin)


BOXES = st.tuples(
    st.floats(180, 275), st.floats(80, 155), st.floats(0.3, 40), st.floats(0.2, 12), st.floats(-4, 4), st.floats(0.01, 1)
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(BOXES, max_size=12), st.integers(0, 9))
def test_boxes_with_their_margin_are_where_trigonometry_puts_them(boxes, margin):
    found = box_confidence(WINDOW, [box(*one) for one in boxes], margin_px=margin)
    expected = np.zeros((37, 53), np.float32)
    near = np.zeros((37, 53), bool)  # pixel centres on an outline belong to either side
    for one in boxes:
        near |= inside_by_trigonometry(WINDOW, *one[:5], margin - 1e-6) != inside_by_trigonometry(
            WINDOW, *one[:5], margin + 1e-6
        )
    for one in sorted(boxes, key=lambda one: one[5]):
        expected[inside_by_trigonometry(WINDOW, *one[:5], margin)] = one[5]
    found = np.zeros_like(expected) if found is None else found
    assert np.array_equal(found[~near], expected[~near])
    assert near.sum() < 20


def test_a_pixel_weighs_what_it_shows():
    valid, cloud, changed = ALL.copy(), ~ALL, ~ALL
    valid[:5], cloud[:, :20], changed[:, 10:30] = False, True, True
    seen = [box(204.0, 120.0, 4.0, 4.0, 0.0, 0.5), box(225.0, 130.0, 6.0, 2.0, 1.0, 1.0)]
    made = value_map(WINDOW, valid, cloud=cloud, detections=seen, changed=changed, weights=WEIGHTS)
    assert made.shape == (37, 53) and made.dtype == np.float32
    assert not made[:5].any(), "without data"
    assert made[8, 15] == np.float32(0.05), "a change under cloud is the cloud's"
    assert made[8, 25] == 3.0, "changed"
    assert made[8, 40] == 1.0, "clear"
    assert made[30, 25] == 8.0, "a certain object, changed or not"
    assert made[20, 4] == pytest.approx(0.05 + (8 - 0.05) * 0.5), "half certain, seen through cloud"


def test_a_detection_never_lowers_a_weight():
    weights = MapWeights(detection=2.0, changed=5.0)
    made = value_map(
        WINDOW, ALL, cloud=None, detections=[box(225.0, 120.0, 9.0, 4.0, 0.3, 1.0)], changed=ALL, weights=weights
    )
    assert (made == 5.0).all()


@given(st.lists(BOXES, max_size=6), st.floats(0.01, 100))
def test_weights_scale_the_map(boxes, factor):
    seen = [box(*one) for one in boxes]
    larger = MapWeights(clear=factor, detection=8 * factor, margin_px=3, cloud=0.05 * factor, changed=3 * factor)
    one, other = (
        value_map(WINDOW, ALL, cloud=ALL[::-1], detections=seen, changed=None, weights=weights)
        for weights in (WEIGHTS, larger)
    )
    np.testing.assert_allclose(other, one * factor, rtol=1e-5)


def test_the_most_confident_of_overlapping_boxes_counts_in_whatever_order_they_come():
    seen = [box(225.0, 118.0, 20.0, 8.0, 0.4, confidence) for confidence in (0.2, 0.9, 0.5)]
    assert box_confidence(WINDOW, seen, margin_px=0).max() == np.float32(0.9)
    assert set(np.unique(box_confidence(WINDOW, seen, margin_px=0))) == {np.float32(0), np.float32(0.9)}


def test_detections_elsewhere_leave_the_map_alone():
    assert box_confidence(WINDOW, [box(100.0, 118.0, 20.0, 8.0, 0.4)], margin_px=8) is None
    assert box_confidence(WINDOW, [], margin_px=8) is None


def test_a_box_without_extent_weighs_with_its_margin():
    point = Detection(class_id=0, confidence=1.0, corners_px=((220.5, 120.5),) * 4)
    assert box_confidence(WINDOW, [point], margin_px=2).sum() == 25


def test_a_box_that_the_edge_of_the_scene_cut_keeps_all_its_corners():
    cut = Detection(
        class_id=0, confidence=1.0, corners_px=((200.0, 104.0), (208.0, 100.0), (214.0, 108.0), (200.0, 113.0))
    )
    found = box_confidence(WINDOW, [cut], margin_px=1)
    for x, y in cut.corners_px:
        assert found[min(36, int(y) - 100), int(x) - 200] == 1.0


@pytest.mark.parametrize("step", [2, 3, 4, 7])
def test_a_cloud_mask_judged_on_every_nth_pixel_is_spread(step):
    cloud = np.zeros((37, 53), bool)
    cloud[::step, ::step] = np.random.default_rng(step).random(cloud[::step, ::step].shape) < 0.4
    made = value_map(WINDOW, ALL, cloud=cloud[::step, ::step], detections=(), changed=None, weights=WEIGHTS)
    rows, cols = np.mgrid[:37, :53] // step * step
    assert np.array_equal(made == np.float32(0.05), cloud[rows, cols])


def test_masks_of_another_place_are_refused():
    for masks in ({"cloud": np.ones((30, 53), bool)}, {"changed": np.ones((5, 5), bool)}):
        with pytest.raises(ValueError, match="37 x 53"):
            value_map(WINDOW, ALL, **{"cloud": None, "changed": None} | masks, detections=(), weights=WEIGHTS)
    with pytest.raises(ValueError, match="37 x 53"):
        value_map(WINDOW, ALL[:3], cloud=None, changed=None, detections=(), weights=WEIGHTS)


def test_thousands_of_boxes_are_one_pass():
    window = Window(row=0, col=0, height=512, width=512)
    rng = np.random.default_rng(11)
    low, high = (-5, -5, 5, 2, 0, 0), (517, 517, 40, 10, 7, 1)
    seen = [box(*rng.uniform(low, high)) for _ in range(2000)]
    together = box_confidence(window, seen, margin_px=4)
    apart = np.zeros((512, 512), np.float32)
    for one in seen:
        alone = box_confidence(window, [one], margin_px=4)
        apart = apart if alone is None else np.maximum(apart, alone)
    assert np.array_equal(together, apart)

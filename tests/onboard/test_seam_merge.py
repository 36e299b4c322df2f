import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.detection import Detection
from onboard.rotated_boxes import corners_of, overlaps, points_inside
from onboard.seam_merge import DEFAULT_MERGE_RULE, MergeRule, away_from_edges, merge_seams


def box(x, y, length=20.0, width=6.0, angle=0.0, confidence=0.5, class_id=0):
    corners = corners_of(np.array([[x, y, length, width, angle]]))[0].tolist()
    return Detection(class_id=class_id, confidence=confidence, corners_px=tuple((a, b) for a, b in corners))


detections = st.lists(
    st.builds(
        box,
        st.floats(0, 120),
        st.floats(0, 120),
        st.floats(4, 40),
        st.floats(3, 12),
        st.floats(-1.5, 1.5),
        st.sampled_from([0.2, 0.5, 0.5000001, 0.9]),
        st.integers(0, 1),
    ),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(detections, st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(found, random):
    shuffled = list(found)
    random.shuffle(shuffled)
    assert merge_seams(found) == merge_seams(shuffled)


@settings(max_examples=100, deadline=None)
@given(detections)
def test_merging_twice_changes_nothing(found):
    once = merge_seams(found)
    assert merge_seams(once) == once


@settings(max_examples=100, deadline=None)
@given(detections)
def test_agrees_with_the_quadratic_definition(found):
    ranked = sorted(found, key=lambda item: (-item.confidence, item.class_id, item.corners_px))
    kept: list[Detection] = []
    for item in ranked:
        if not any(same_object(item, better) for better in kept):
            kept.append(item)
    assert merge_seams(found) == kept


def same_object(one, other):
    if one.class_id != other.class_id:
        return False
    first, second = np.array([one.corners_px]), np.array([other.corners_px])
    iou, over_smaller = overlaps(first, second)
    centre_in = points_inside(first.mean(axis=1), second)[0] or points_inside(second.mean(axis=1), first)[0]
    return bool(iou[0] >= DEFAULT_MERGE_RULE.iou or over_smaller[0] >= DEFAULT_MERGE_RULE.over_smaller or centre_in)


def test_the_more_confident_of_two_views_of_one_ship_stays():
    sure, unsure = box(64, 30, angle=0.30, confidence=0.8), box(65, 31, angle=0.35, confidence=0.6)
    assert merge_seams([unsure, sure]) == [sure]


def test_a_piece_cut_off_by_a_tile_edge_goes_with_the_whole():
    whole, piece = box(50, 30, length=40, confidence=0.8), box(66, 30, length=8, confidence=0.7)
    rule_without_centre = MergeRule(centre_in_box=False)
    assert overlaps(np.array([whole.corners_px]), np.array([piece.corners_px]))[0][0] < rule_without_centre.iou
    assert merge_seams([whole, piece], rule_without_centre) == [whole]


def test_ships_moored_side_by_side_stay_two():
    rafted = [box(50, 30, confidence=0.8), box(50, 36.5, confidence=0.7), box(71, 30, confidence=0.6)]
    assert merge_seams(rafted) == rafted


def test_another_class_at_the_same_place_stays():
    both = [box(50, 30, confidence=0.8), box(50, 30, confidence=0.7, class_id=1)]
    assert merge_seams(both) == both


def test_a_chain_keeps_its_ends():
    # The middle one is a duplicate of the best; once gone it suppresses nobody.
    best, middle, last = (box(x, 30, confidence=c) for x, c in ((50, 0.9), (58, 0.8), (66, 0.7)))
    assert merge_seams([last, best, middle]) == [best, last]


def test_no_detections():
    assert merge_seams([]) == []


def test_many_detections_far_apart_are_cheap():
    import time

    crowd = [box(40.0 * (i % 100), 40.0 * (i // 100), confidence=0.5) for i in range(10_000)]
    started = time.process_time()
    assert len(merge_seams(crowd + crowd)) == 10_000
    # 2e8 pairs would take minutes; a grid needs a few 1e5.
    assert time.process_time() - started < 15


def test_away_from_edges_leaves_cut_ships_to_the_neighbour():
    near_edge, inside = box(630, 300), box(600, 300)
    assert away_from_edges([near_edge, inside], size_px=(640, 640), margin_px=32) == [inside]


@pytest.mark.parametrize("x, y, stays", [(32.0, 32.0, True), (31.9, 100.0, False), (100.0, 608.0, False)])
def test_away_from_edges_at_the_border(x, y, stays):
    assert bool(away_from_edges([box(x, y)], size_px=(640, 640), margin_px=32)) is stays

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard.rotated_boxes import corners_of
from onboard.training.matching import JudgedDetection, calibration_error, match, operating_threshold, score_at


def boxes(*rows):
    return corners_of(np.array(rows, dtype=np.float64).reshape(-1, 5))


def test_one_ship_takes_one_detection_the_more_confident():
    ships = boxes([50, 50, 20, 6, 0.3])
    found = boxes([51, 50, 20, 6, 0.3], [50, 50, 20, 6, 0.3])
    assert match(found, np.array([0.9, 0.6]), ships).tolist() == [True, False]
    assert match(found, np.array([0.6, 0.9]), ships).tolist() == [False, True]


def test_a_detection_takes_the_ship_it_overlaps_most():
    ships = boxes([50, 50, 20, 6, 0], [56, 50, 20, 6, 0])
    found = boxes([55, 50, 20, 6, 0], [50, 50, 20, 6, 0])
    assert match(found, np.array([0.9, 0.8]), ships).all()


@pytest.mark.parametrize("shift, hit", [(10.7, True), (10.9, False)])
def test_overlap_of_three_tenths_decides_for_a_ship_of_20_px(shift, hit):
    # Two 20 x 6 boxes shifted along by s share 6 (20 - s): IoU = (20 - s) / (20 + s), 0.3 at s = 10.77.
    assert match(boxes([50 + shift, 50, 20, 6, 0]), np.array([0.9]), boxes([50, 50, 20, 6, 0]))[0] == hit


@pytest.mark.parametrize("length, shift, hit", [(7.0, 3.4, True), (7.0, 3.6, False), (9.0, 4.4, False)])
def test_for_a_ship_below_8_px_the_centre_inside_its_box_suffices(length, shift, hit):
    # A much larger detection: its overlap with the small ship is always under 0.3.
    found = boxes([50 + shift, 50, 25, 15, 0])
    assert match(found, np.array([0.9]), boxes([50, 50, length, 4, 0]))[0] == hit


def test_a_crossing_box_is_not_the_ship():
    assert not match(boxes([50, 50, 20, 5, np.pi / 2]), np.array([0.9]), boxes([50, 50, 20, 5, 0]))[0]


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_never_more_hits_than_ships_or_detections(found, ships, seed):
    rng = np.random.default_rng(seed)

    def draw(count):
        return boxes(*[[*rng.uniform(0, 30, 2), *rng.uniform(4, 20, 2), rng.uniform(0, 3)] for _ in range(count)])

    hits = match(draw(found), rng.random(found), draw(ships))
    assert hits.shape == (found,) and hits.sum() <= min(found, ships)


def judged(*pairs):
    return [JudgedDetection(score=score, hit=hit) for score, hit in pairs]


def test_precision_recall_and_f1_by_hand():
    items = judged((0.95, True), (0.8, False), (0.7, True), (0.2, True))
    score = score_at(items, ships=5, threshold=0.5)
    assert (score.found, score.hits) == (3, 2)
    assert (score.precision, score.recall, score.f1) == pytest.approx((2 / 3, 2 / 5, 0.5))


def test_nothing_found_and_nothing_there():
    nothing = score_at([], ships=4, threshold=0.5)
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.ece) == (0, 0, 0, 0)
    assert score_at([], ships=0, threshold=0.5).f1 == 0


def test_calibration_error_by_hand():
    # Bin 0.9: confidence 0.95 + 0.91 against one hit; bin 0.2: 0.25 against none. (0.86 + 0.25) / 3.
    assert calibration_error(judged((0.95, True), (0.91, False), (0.25, False))) == pytest.approx(1.11 / 3)
    assert calibration_error(judged((1.0, True))) == 0


def test_operating_threshold_separates_hits_from_misses():
    items = judged(*[(0.5 + i / 100, True) for i in range(40)], *[(0.1 + i / 1000, False) for i in range(40)])
    assert 0.12 <= operating_threshold(items, ships=40) <= 0.51


def test_operating_threshold_is_the_lowest_of_those_that_are_nearly_best():
    # A long flat top: below 0.6 every second detection is a hit, which leaves F1 as it is and brings recall; below 0.3 none is.
    surest = [(0.6 + i / 1000, True) for i in range(100)]
    doubtful = [(0.3 + i / 1000, i % 2 == 0) for i in range(200)]
    wrong = [(0.1 + i / 1000, False) for i in range(190)]
    items = judged(*surest, *doubtful, *wrong)
    threshold = operating_threshold(items, ships=200)
    assert 0.2 < threshold < 0.31
    best = max(score_at(items, ships=200, threshold=item.score).f1 for item in items)
    chosen = score_at(items, ships=200, threshold=threshold)
    assert chosen.f1 > best - 0.03
    assert chosen.recall > 0.95


@pytest.mark.parametrize(("items", "ships"), [((), 5), (((0.7, True),), 0)])
def test_operating_threshold_of_nothing_is_in_the_middle(items, ships):
    assert operating_threshold(judged(*items), ships=ships) == 0.5

"""Windows around detections: they hold their members, stay within bounds, and join what overlaps."""

import math

from hypothesis import given
from hypothesis import strategies as st

from downlink.scene import Window
from onboard.chips import Chip, cut_chips
from onboard.detection import Detection

HEIGHT, WIDTH, MARGIN_PX, LARGEST_PX = 300, 500, 8, 96


def box(x, y, length=20.0, width=6.0, angle=0.3):
    ax, ay = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    bx, by = -math.sin(angle) * width / 2, math.cos(angle) * width / 2
    corners = (
        (x - ax - bx, y - ay - by),
        (x + ax - bx, y + ay - by),
        (x + ax + bx, y + ay + by),
        (x - ax + bx, y - ay + by),
    )
    return Detection(class_id=0, confidence=0.5, corners_px=corners)


def cut(detections, **fields):
    sizes = {"height": HEIGHT, "width": WIDTH, "margin_px": MARGIN_PX, "largest_px": LARGEST_PX} | fields
    return cut_chips(detections, **sizes)


BOXES = st.lists(
    st.builds(
        box,
        st.floats(-30, WIDTH + 30),
        st.floats(-30, HEIGHT + 30),
        st.floats(0.5, 60),
        st.floats(0.5, 20),
        st.floats(0, math.pi),
    ),
    max_size=25,
)


def around(detection):
    xs, ys = zip(*detection.corners_px, strict=True)
    return min(xs) - MARGIN_PX, min(ys) - MARGIN_PX, max(xs) + MARGIN_PX, max(ys) + MARGIN_PX


@given(BOXES)
def test_every_box_that_meets_the_scene_is_in_one_chip_that_holds_it_with_its_margin(detections):
    chips = cut(detections)
    members = [member for chip in chips for member in chip.members]
    assert sorted(members) == sorted(set(members))
    for chip in chips:
        window = chip.window
        assert window.row >= 0 and window.col >= 0 and window.row_stop <= HEIGHT and window.col_stop <= WIDTH
        for member in chip.members:
            left, top, right, bottom = around(detections[member])
            assert window.col <= max(0, left) and window.row <= max(0, top)
            assert window.col_stop >= min(WIDTH, right) and window.row_stop >= min(HEIGHT, bottom)
    for index, detection in enumerate(detections):
        left, top, right, bottom = around(detection)
        inside = right > 0 and bottom > 0 and left < WIDTH and top < HEIGHT
        assert index in members or not inside or min(right, bottom, WIDTH - left, HEIGHT - top) < 1


@given(BOXES)
def test_joined_windows_stay_small_and_nothing_is_left_that_could_be_joined(detections):
    chips = cut(detections)
    for chip in chips:
        if len(chip.members) > 1:
            assert max(chip.window.height, chip.window.width) <= LARGEST_PX
    for index, one in enumerate(chips):
        for other in chips[:index]:
            if one.window.intersection(other.window):
                height = max(one.window.row_stop, other.window.row_stop) - min(one.window.row, other.window.row)
                width = max(one.window.col_stop, other.window.col_stop) - min(one.window.col, other.window.col)
                assert max(height, width) > LARGEST_PX


@given(BOXES, st.randoms(use_true_random=False))
def test_where_size_does_not_limit_joining_the_order_of_detections_does_not_matter(detections, chance):
    order = chance.sample(range(len(detections)), len(detections))
    shuffled = cut([detections[index] for index in order], largest_px=10_000)
    found = {(chip.window, tuple(sorted(order[member] for member in chip.members))) for chip in shuffled}
    straight = {(chip.window, chip.members) for chip in cut(detections, largest_px=10_000)}
    assert found == straight


def test_two_neighbours_share_a_chip_and_a_third_bridges_to_a_fourth():
    first, second, far = box(50, 50, angle=0.0), box(70, 50, angle=0.0), box(400, 200, angle=0.0)
    assert cut([first, far, second]) == (
        Chip(window=Window(row=39, col=32, height=22, width=56), members=(0, 2)),
        Chip(window=Window(row=189, col=382, height=22, width=36), members=(1,)),
    )


def test_a_box_larger_than_the_limit_still_gets_its_chip():
    (chip,) = cut([box(250, 150, length=300.0, angle=0.0)])
    assert chip.window.width > LARGEST_PX


def test_nothing_gives_nothing_and_what_lies_outside_gets_no_chip():
    assert cut([]) == ()
    assert cut([box(-100, 50), box(50, HEIGHT + 60)]) == ()

"""The replay window against a model that remembers everything."""

from hypothesis import given
from hypothesis import strategies as st

from downlink.frame_security import NUMBERS_PER_MS
from downlink.replay_window import LATE_MS, REMEMBERED_NUMBERS, ReplayWindow

SPAN = LATE_MS * NUMBERS_PER_MS
NEAR = st.integers(-40, 40)
FAR = st.integers(-3 * SPAN, 3 * SPAN)


@given(steps=st.lists(st.one_of(NEAR, NEAR, FAR), max_size=300), floor=st.integers(0, 1 << 40))
def test_no_number_is_accepted_twice_and_the_window_stays_small(steps, floor):
    window, accepted, newest = ReplayWindow(floor), set(), floor + SPAN
    for step in steps:
        number = max(0, newest + step)
        if window.is_new(number):
            assert number > floor and number not in accepted
            assert number > max(accepted, default=0) - SPAN
            assert sum(other > number for other in accepted) < REMEMBERED_NUMBERS
            window.accept(number)
            accepted.add(number)
        else:
            behind = max(accepted, default=0) - number >= SPAN
            crowded = sum(other > number for other in accepted) >= REMEMBERED_NUMBERS - 1
            assert number in accepted or number <= floor or behind or crowded
        newest = max(newest, number)
        assert len(window._accepted) <= REMEMBERED_NUMBERS


@given(order=st.permutations(range(REMEMBERED_NUMBERS)))
def test_as_many_frames_as_are_remembered_may_come_in_any_order_each_once(order):
    window = ReplayWindow(1000)
    for number in order:
        assert window.is_new(5000 + number)
        window.accept(5000 + number)
    assert not any(window.is_new(5000 + number) for number in order)


def test_a_frame_is_late_by_the_clock_of_the_sender():
    window = ReplayWindow()
    window.accept(10 * SPAN)
    assert window.is_new(9 * SPAN + 1) and not window.is_new(9 * SPAN)

"""Byte ranges against a plain set of positions."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from downlink.byte_ranges import ByteRanges

spans = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(spans, max_size=15), spans, st.integers(1, 5))
def test_behaves_like_a_set(added, window, limit):
    ranges, model = ByteRanges(), set()
    for start, end in added:
        ranges.add(start, end)
        model |= set(range(start, end))
    listed = ranges.ranges()
    assert {position for start, end in listed for position in range(start, end)} == model
    assert all(end < start for (_, end), (start, _) in pairwise(listed))
    assert (ranges.total_bytes, ranges.end, bool(ranges)) == (len(model), max(model, default=-1) + 1, bool(model))
    assert ranges.prefix_end == next(position for position in range(50) if position not in model)
    gaps = ranges.gaps(*window)
    assert {position for start, end in gaps for position in range(start, end)} == set(range(*window)) - model
    start, end = window
    if start < end:
        assert ranges.touches(start, end) == bool(model & set(range(start - 1, end + 1)))
    assert ranges.covers(*window) == (set(range(*window)) <= model)
    assert ranges.gaps(*window, limit=limit) == gaps[:limit]


@given(st.lists(spans, max_size=8), st.integers(1, 9))
def test_is_emptied_from_the_front(added, max_bytes):
    ranges, taken = ByteRanges(added), []
    positions = sorted({position for start, end in added for position in range(start, end)})
    while ranges:
        start, end = ranges.take_first(max_bytes)
        assert 0 < end - start <= max_bytes
        taken += range(start, end)
    assert taken == positions
    assert ranges.total_bytes == 0

"""When a smooth quantity is positive: coarse samples, then roots refined to a millisecond, many series at once.

Contacts ask it when elevation is above the mask, sunlight asks it when the Sun is above the limb. Both are smooth and
change slowly against the sampling step, so between two samples there is at most one rise and one set. A peak, or a dip, that
lies wholly between two samples is found by a golden-section search around each sampled extreme.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mission.errors import OrbitError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Margin = Callable[[IntArray, FloatArray], FloatArray]
"""(series of each query, Unix time of each query in ms) -> value, positive inside the interval; all of shape (n,)."""

Brackets = tuple[IntArray, FloatArray, FloatArray]
"""Series, earlier time and later time of each root, all of shape (n,)."""

GOLDEN = (5**0.5 - 1) / 2
PRECISION_MS = 1.0


def positive_intervals(
    samples: FloatArray, times_ms: FloatArray, *, margin: Margin
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """For each series, the intervals (start_ms, end_ms) in which `margin` is positive.

    `samples` is (series, n) and holds `margin` at `times_ms` (n,), which must rise evenly. Ends are whole milliseconds
    on the inner side, so that the margin is positive throughout; an interval that reaches the span's end stops there.
    """
    if samples.ndim != 2 or samples.shape[1] != len(times_ms) or len(times_ms) < 2:
        raise OrbitError(
            f"{samples.shape} samples do not fit {len(times_ms)} times; give (series, n) with n at least 2"
        )
    peaks = hidden_peaks(samples, times_ms, margin=margin)
    dips = hidden_peaks(-samples, times_ms, margin=lambda series, at_ms: -margin(series, at_ms))
    rises, sets = sign_changes(samples, times_ms, peaks=peaks, dips=dips)
    rise_ms = bisect(rises[0], outside_ms=rises[1], inside_ms=rises[2], margin=margin)
    set_ms = bisect(sets[0], outside_ms=sets[2], inside_ms=sets[1], margin=margin)
    intervals = []
    for series in range(len(samples)):
        starts = np.ceil(rise_ms[rises[0] == series]).astype(np.int64).tolist()
        ends = np.floor(set_ms[sets[0] == series]).astype(np.int64).tolist()
        if samples[series, 0] > 0:
            starts.append(int(times_ms[0]))
        if samples[series, -1] > 0:
            ends.append(int(times_ms[-1]))
        pairs = zip(sorted(starts), sorted(ends), strict=True)
        intervals.append(tuple((start, end) for start, end in pairs if end > start))
    return tuple(intervals)


def hidden_peaks(samples: FloatArray, times_ms: FloatArray, *, margin: Margin) -> tuple[IntArray, FloatArray]:
    """Series and time of each positive maximum whose neighbouring samples are all negative."""
    padded = np.pad(samples, ((0, 0), (1, 1)), constant_values=-np.inf)
    is_peak = (samples >= padded[:, :-2]) & (samples > padded[:, 2:]) & (samples <= 0)
    series, at = np.nonzero(is_peak)
    last = len(times_ms) - 1
    low, high = times_ms[np.maximum(at - 1, 0)], times_ms[np.minimum(at + 1, last)]
    while len(series) and float(np.max(high - low)) > PRECISION_MS:
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        climbs = margin(series, left) < margin(series, right)
        low, high = np.where(climbs, left, low), np.where(climbs, high, right)
    middle = (low + high) / 2
    positive = margin(series, middle) > 0 if len(series) else np.zeros(0, dtype=bool)
    return series[positive], middle[positive]


def sign_changes(
    samples: FloatArray,
    times_ms: FloatArray,
    *,
    peaks: tuple[IntArray, FloatArray],
    dips: tuple[IntArray, FloatArray],
) -> tuple[Brackets, Brackets]:
    """Brackets of every rise and of every set, those on both sides of hidden peaks and dips included."""
    inside = samples > 0
    rise_series, rise_at = np.nonzero(~inside[:, :-1] & inside[:, 1:])
    set_series, set_at = np.nonzero(inside[:, :-1] & ~inside[:, 1:])
    before_peak, after_peak = neighbours(times_ms, peaks[1])
    before_dip, after_dip = neighbours(times_ms, dips[1])
    rises = (
        np.concatenate([rise_series, peaks[0], dips[0]]),
        np.concatenate([times_ms[rise_at], before_peak, dips[1]]),
        np.concatenate([times_ms[rise_at + 1], peaks[1], after_dip]),
    )
    sets = (
        np.concatenate([set_series, peaks[0], dips[0]]),
        np.concatenate([times_ms[set_at], peaks[1], before_dip]),
        np.concatenate([times_ms[set_at + 1], after_peak, dips[1]]),
    )
    return rises, sets


def neighbours(times_ms: FloatArray, at_ms: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The samples before and after each time."""
    after = np.clip(np.searchsorted(times_ms, at_ms, side="right"), 1, len(times_ms) - 1)
    return times_ms[after - 1], times_ms[after]


def bisect(series: IntArray, *, outside_ms: FloatArray, inside_ms: FloatArray, margin: Margin) -> FloatArray:
    """The inner side of each root: a time at which the margin is positive, at most a millisecond from the root."""
    outside, inside = outside_ms.copy(), inside_ms.copy()
    while len(series) and float(np.max(np.abs(inside - outside))) > PRECISION_MS:
        middle = (outside + inside) / 2
        positive = margin(series, middle) > 0
        inside, outside = np.where(positive, middle, inside), np.where(positive, outside, middle)
    return inside


def union(intervals: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same moments as disjoint intervals in order: overlapping and touching ones are joined."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def gaps(intervals: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The times between disjoint intervals in order."""
    return tuple((first[1], second[0]) for first, second in pairwise(intervals))

"""How far two pictures of one place lie apart, to a few hundredths of a pixel (pure numpy).

Both are reduced to their details in one channel: each band less its surroundings, scaled to like strength, the bands that agree most
weighing most. Correlation finds the shift to a whole pixel. Least squares on the gradients refines it (B. Lucas, T. Kanade, An iterative
image registration technique, IJCAI 1981); pixels that differ most have changed and are left out.
"""

import functools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.prediction import REACH_AFTER_PX, REACH_BEFORE_PX, SHIFT_UNITS, TAP_BITS, interpolation_taps
from downlink.reference_canvas import Canvas, canvas_over
from downlink.scene import Window

SURROUNDINGS_PX: Final = 8
"""Half the side of the square whose mean is taken from each pixel."""
LARGEST_SIDE_PX: Final = 384
"""Of a larger window only the middle is compared."""
COARSE_PX: Final = 4
"""Bands are compared by what they change over so many columns, which a shift disturbs little."""
LEAST_PIXELS: Final = 1024
"""Fewer common pixels say nothing."""
LEAST_AGREEMENT: Final = 0.05
"""A band counts at least so much, though its details do not agree before registration."""
FITTED_PIXELS: Final = 1 << 14
"""The gradients are fitted to a regular sample of at least so many."""
DAMPING: Final = 0.7
"""Of each step: gradients of fine details are seen too small, so that a whole step goes too far. Less of it
every four steps: two shifts may each lead to the other, where they leave other pixels out."""
STEPS_LIMIT: Final = 16
SETTLED_PX: Final = 1 / 32
OUTLIER_SIGMAS: Final = 2.5
LEAST_CORRELATION: Final = 0.25
"""Of the details once registered: below this the two do not show the same."""
FAR_PX: Final = 1.0
FAR_CORRELATION: Final = 0.5
"""Needed of a shift that lies further than `FAR_PX` from where the georeferences say."""
LARGEST_ERROR_PX: Final = 0.1
"""Standard error above which the shift is not to be trusted."""
FAST_SIZES: Final = sorted(odd << power for odd in (1, 3, 5) for power in range(3, 10))
"""Sides that a Fourier transform takes in short time."""
_Shift = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A shift that was measured."""

    row_shift_px: float
    """Row r of the new scene lies at r + row_shift_px in the reference scene."""
    col_shift_px: float
    """Likewise for columns."""
    correlation: float
    """Of the two pictures' details at this shift, -1 to 1."""
    error_px: float
    """Standard error of the shift, both axes together, from what the two differ by."""
    off_px: float
    """How far the shift lies from the georeferenced one, along the worse axis."""

    @property
    def trusted(self) -> bool:
        """Whether the shift may be used."""
        least = LEAST_CORRELATION if self.off_px <= FAR_PX else FAR_CORRELATION
        return self.correlation >= least and self.error_px <= LARGEST_ERROR_PX


@dataclass(frozen=True, slots=True, kw_only=True)
class _Details:
    """One channel of a picture."""

    levels: np.ndarray
    """(height, width) float32, 0 where not known."""
    known: np.ndarray
    """(height, width) bool."""


def register(
    pixels: np.ndarray,
    valid: np.ndarray,
    window: Window,
    canvas: Canvas,
    *,
    row_shift_px: float,
    col_shift_px: float,
    search_px: float,
) -> Registration | None:
    """Measure the shift of `pixels` (bands, height, width) of a window against a canvas of the reference scene.

    The shift by georeference is where the search begins; it goes `search_px` along each axis, as far as the canvas reaches. None where
    the two have too few pixels in common, where one shows no details, or where the shift leads out of the search.
    """
    window, pixels, valid = _middle(window, pixels, valid)
    whole = (round(row_shift_px), round(col_shift_px))
    reach = math.ceil(search_px) + 1 + REACH_AFTER_PX
    around = canvas_over(_around(window.shifted(*whole), reach), canvas)
    inner = (slice(reach, -reach), slice(reach, -reach))
    if int(np.count_nonzero(valid & around.valid[inner])) < LEAST_PIXELS:
        return None
    new_weights, old_weights = _band_weights(pixels, around.pixels[:, *inner], valid & around.valid[inner])
    new, old = _details(pixels, valid, new_weights), _details(around.pixels, around.valid, old_weights)
    if not new.levels.any() or not old.levels.any():
        return None
    start = _whole_shift(new, old, reach, math.ceil(search_px))
    found = _refined(new, old, start, reach)
    if found is None:
        return None
    (rows, cols), correlation, error_px = found
    off_px = max(abs(rows + whole[0] - row_shift_px), abs(cols + whole[1] - col_shift_px))
    if off_px > search_px:
        return None
    return Registration(
        row_shift_px=whole[0] + rows,
        col_shift_px=whole[1] + cols,
        correlation=correlation,
        error_px=error_px,
        off_px=off_px,
    )


def _middle(window: Window, pixels: np.ndarray, valid: np.ndarray) -> tuple[Window, np.ndarray, np.ndarray]:
    top, left = (max(0, (side - LARGEST_SIDE_PX) // 2) for side in (window.height, window.width))
    height, width = (min(side, LARGEST_SIDE_PX) for side in (window.height, window.width))
    middle = Window(row=window.row + top, col=window.col + left, height=height, width=width)
    here = (slice(top, top + height), slice(left, left + width))
    return middle, pixels[:, *here], valid[here]


def _around(window: Window, reach: int) -> Window:
    return Window(
        row=window.row - reach, col=window.col - reach, height=window.height + 2 * reach, width=window.width + 2 * reach
    )


def _band_weights(new: np.ndarray, old: np.ndarray, both: np.ndarray) -> tuple[list[float], list[float]]:
    """What a level of each band counts in the new and in the old picture, both (bands, h, w)."""
    known = both[:, COARSE_PX:] & both[:, :-COARSE_PX]
    new_weights, old_weights = [], []
    for pair in zip(new, old, strict=True):
        one, other = (np.subtract(some[:, COARSE_PX:], some[:, :-COARSE_PX], dtype=np.float32)[known] for some in pair)
        spread = math.sqrt(np.vdot(one, one)), math.sqrt(np.vdot(other, other))
        flat = min(spread) == 0
        agreement = 0.0 if flat else max(LEAST_AGREEMENT, float(np.vdot(one, other)) / (spread[0] * spread[1]))
        new_weights.append(agreement / (spread[0] or 1))
        old_weights.append(agreement / (spread[1] or 1))
    return new_weights, old_weights


def _details(pixels: np.ndarray, valid: np.ndarray, weights: list[float]) -> _Details:
    largest = max(weights) or 1
    levels = np.zeros(valid.shape, np.float32)
    for band, weight in zip(pixels, weights, strict=True):
        levels += band * np.float32(weight / largest)
    return _Details(levels=_less_surroundings(levels, valid), known=valid)


def _less_surroundings(levels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The mean of each pixel and its neighbours less that of its surroundings, (h, w) float32; 0 where invalid.

    Single pixels, which are mostly noise, mislead the gradients.
    """
    known = levels if valid.all() else np.where(valid, levels, np.float32(0))
    near, around = (_square_sums(known, reach) / _square_counts(valid, reach) for reach in (1, SURROUNDINGS_PX))
    details: np.ndarray = np.where(valid, near - around, np.float32(0))
    return details


def _square_sums(levels: np.ndarray, reach: int) -> np.ndarray:
    """Sums over the square of 2 reach + 1 on a side around each place, float32; outside counts 0."""
    across = 2 * reach + 1
    sums = np.cumsum(np.pad(levels, [(0, 0), (reach + 1, reach)]), 1, np.float64)
    rows = (sums[:, across:] - sums[:, :-across]).astype(np.float32)
    sums = np.cumsum(np.pad(rows, [(reach + 1, reach), (0, 0)]), 0, np.float64)
    return (sums[across:] - sums[:-across]).astype(np.float32)


def _square_counts(valid: np.ndarray, reach: int) -> np.ndarray:
    """Valid places in each of those squares, at least 1."""
    if valid.all():
        down, across = (
            np.minimum(np.arange(side), reach) + np.minimum(np.arange(side)[::-1], reach) + 1 for side in valid.shape
        )
        counts: np.ndarray = np.outer(down, across).astype(np.float32)
        return counts
    known: np.ndarray = np.maximum(_square_sums(valid, reach), 1)
    return known


def _whole_shift(new: _Details, old: _Details, reach: int, search: int) -> tuple[int, int]:
    """The whole pixels up to `search` along each axis at which the details agree best, by circular correlation."""
    shape = [next(size for size in FAST_SIZES if size >= side) for side in old.levels.shape]
    here = np.fft.rfft2(new.levels * new.known, shape)
    there = np.fft.rfft2(old.levels * old.known, shape)
    agreement = np.fft.irfft2(there * np.conj(here), shape)
    near = agreement[reach - search : reach + search + 1, reach - search : reach + search + 1]
    row, col = np.unravel_index(int(np.argmax(near)), near.shape)
    return int(row) - search, int(col) - search


def _refined(new: _Details, old: _Details, start: _Shift, reach: int) -> tuple[_Shift, float, float] | None:
    """Shift, correlation and standard error; None where the steps do not settle within reach."""
    rows, cols = start
    surely = _Details(
        levels=old.levels, known=_square_counts(old.known, REACH_AFTER_PX) == (2 * REACH_AFTER_PX + 1) ** 2
    )
    for number in range(STEPS_LIMIT):
        units = (round(rows * SHIFT_UNITS), round(cols * SHIFT_UNITS))
        there = _at_shift(surely, units, new.known.shape, reach)
        both = new.known & there.known
        if np.count_nonzero(both) < LEAST_PIXELS:
            return None
        step, correlation, error_px = _step(new.levels, there.levels, both)
        if not math.isfinite(sum(step)):
            return None
        damping = DAMPING / (1 + number // 4)
        rows, cols = (unit / SHIFT_UNITS + damping * move for unit, move in zip(units, step, strict=True))
        if max(abs(rows), abs(cols)) > reach - REACH_AFTER_PX:
            return None
        if max(map(abs, step)) < SETTLED_PX:
            return (rows, cols), correlation, error_px
    return None


def _at_shift(old: _Details, shift_units: tuple[int, int], shape: tuple[int, ...], reach: int) -> _Details:
    """The old details as a picture of `shape` shifted so, in 1/64 px."""
    levels: np.ndarray = old.levels
    known = old.known
    for axis, (units, length) in enumerate(zip(shift_units, shape, strict=True)):
        first = reach + units // SHIFT_UNITS
        taps = interpolation_taps(units % SHIFT_UNITS)
        pieces = (
            np.take(levels, range(place, place + length), axis)
            for place in range(first - REACH_BEFORE_PX, first + REACH_AFTER_PX + 1)
        )
        weighted = [piece * np.float32(tap / (1 << TAP_BITS)) for piece, tap in zip(pieces, taps, strict=True) if tap]
        levels = functools.reduce(np.add, weighted)
        known = known[first : first + length] if axis == 0 else known[:, first : first + length]
    return _Details(levels=levels, known=known)


def _step(new: np.ndarray, there: np.ndarray, both: np.ndarray) -> tuple[_Shift, float, float]:
    """One step of least squares: how much further to shift, the correlation, and the standard error of the shift."""
    down, right = np.gradient(there)
    stride = max(1, int(np.count_nonzero(both)) // FITTED_PIXELS)
    columns = np.stack([some[both][::stride] for some in (there, down, right)]).astype(np.float64)
    target = new[both][::stride].astype(np.float64)
    kept = np.ones(len(target), bool)
    for _ in range(2):
        some = columns[:, kept]
        inverse = np.linalg.pinv(some @ some.T)
        gain, *moves = (float(number) for number in inverse @ (some @ target[kept]))
        left = np.abs(target - gain * columns[0] - moves[0] * columns[1] - moves[1] * columns[2])
        sigma = 1.4826 * float(np.median(left))
        kept = left <= max(OUTLIER_SIGMAS * sigma, 1e-12)
    correlation = _correlation(target[kept], columns[0, kept])
    if abs(gain) < 1e-6:
        return (math.nan, math.nan), correlation, math.inf
    variance = float(np.mean(left[kept] ** 2)) * float(inverse[1, 1] + inverse[2, 2])
    return (moves[0] / gain, moves[1] / gain), correlation, math.sqrt(variance) / abs(gain)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of details, whose means are 0."""
    spread = math.sqrt(float(np.vdot(one, one)) * float(np.vdot(other, other)))
    return float(np.vdot(one, other)) / spread if spread else 0.0

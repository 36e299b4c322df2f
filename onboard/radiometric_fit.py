"""What gain and offset make one picture look like another of the same place, band by band, changes left out (pure numpy)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.prediction import GAIN_LIMIT, GAIN_UNITS, OFFSET_LIMIT, OFFSET_UNITS

FITTED_PIXELS: Final = 1 << 13
"""The fit looks at a regular sample of at least so many pixels."""
LEAST_PIXELS: Final = 64
MOST_ROUNDS: Final = 10
OUTLIER_SIGMAS: Final = 2.5
"""Pixels further off than so many standard deviations have changed, and are left out of the next round."""
LEAST_SPREAD_DN: Final = 0.5
"""Nothing nearer than rounding is an outlier."""
SIGMA_OF_MEDIAN: Final = 1.4826
"""Standard deviation of normal noise over its median absolute value."""
_Pair = tuple[np.ndarray, np.ndarray]
"""One band, new and old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiometricFit:
    """New levels are about gain times old ones plus offset. In the units of `downlink.prediction.Reference`."""

    gains: tuple[int, ...]
    """Per band, 1/4096."""
    offsets: tuple[int, ...]
    """Per band, 1/16 DN."""


def fit_levels(new: np.ndarray, old: np.ndarray, usable: np.ndarray) -> RadiometricFit | None:
    """Fit the levels of `old` (bands, ...), already registered, to those of `new`; `usable` (...) bool says where both are known.

    Trimmed least squares (P. J. Rousseeuw, Least median of squares regression, JASA 1984, the reweighted form). None where too few
    pixels are usable.
    """
    return _fitted(new, old, usable, _level_fit)


def fit_details(new: np.ndarray, old: np.ndarray, usable: np.ndarray) -> RadiometricFit | None:
    """The same, with the gain that fits differences between neighbouring columns best: those are what coding spends its bits on."""
    return _fitted(new, old, usable, _detail_fit)


_Fit = tuple[float, float]
"""Gain and offset in DN."""


def _fitted(
    new: np.ndarray, old: np.ndarray, usable: np.ndarray, fit: Callable[[_Pair, np.ndarray], _Fit]
) -> RadiometricFit | None:
    if int(np.count_nonzero(usable)) < LEAST_PIXELS:
        return None
    fits = [_in_units(*fit(pair, usable)) for pair in zip(new, old, strict=True)]
    gains, offsets = zip(*fits, strict=True)
    return RadiometricFit(gains=gains, offsets=offsets)


def _in_units(gain: float, offset: float) -> tuple[int, int]:
    gain_units = min(GAIN_LIMIT, max(0, round(gain * GAIN_UNITS)))
    return gain_units, min(OFFSET_LIMIT, max(-OFFSET_LIMIT, round(offset * OFFSET_UNITS)))


def _level_fit(pair: _Pair, usable: np.ndarray) -> _Fit:
    new, old = (_sample(levels[usable]) for levels in pair)
    kept = np.ones(len(new), bool)
    gain = 0.0
    for _ in range(MOST_ROUNDS):
        gain, offset = _least_squares(new[kept], old[kept])
        before, kept = kept, _alike(new - gain * old - offset)
        if np.array_equal(before, kept):
            break
    return _with_offset(gain, new[kept], old[kept])


def _detail_fit(pair: _Pair, usable: np.ndarray) -> _Fit:
    both = usable[..., 1:] & usable[..., :-1]
    if not both.any():
        return _level_fit(pair, usable)
    new, old = (_sample(np.subtract(some[..., 1:], some[..., :-1], dtype=np.float64)[both]) for some in pair)
    kept = np.ones(len(new), bool)
    gain = 0.0
    for _ in range(MOST_ROUNDS):
        spread = float(np.vdot(old[kept], old[kept]))
        gain = max(0.0, float(np.vdot(old[kept], new[kept])) / spread) if spread else 0.0
        before, kept = kept, _alike(new - gain * old)
        if np.array_equal(before, kept):
            break
    new, old = (_sample(levels[usable]) for levels in pair)
    left = new - gain * old
    kept = _alike(left - float(np.median(left)))
    return _with_offset(gain, new[kept], old[kept])


def _with_offset(gain: float, new: np.ndarray, old: np.ndarray) -> _Fit:
    """The offset belongs to the gain as it travels."""
    gain = min(GAIN_LIMIT, max(0, round(gain * GAIN_UNITS))) / GAIN_UNITS
    return gain, float(np.mean(new) - gain * np.mean(old))


def _alike(left: np.ndarray) -> np.ndarray:
    """Which pixels are not further off than most; at least half of them."""
    away = np.abs(left)
    median = float(np.median(away))
    kept: np.ndarray = away <= max(OUTLIER_SIGMAS * SIGMA_OF_MEDIAN * median, LEAST_SPREAD_DN)
    return kept


def _sample(levels: np.ndarray) -> np.ndarray:
    return levels[:: max(1, len(levels) // FITTED_PIXELS)].astype(np.float64)


def _least_squares(new: np.ndarray, old: np.ndarray) -> tuple[float, float]:
    mean_new, mean_old = float(new.mean()), float(old.mean())
    spread = float(np.vdot(old - mean_old, old - mean_old))
    gain = max(0.0, float(np.vdot(old - mean_old, new - mean_new)) / spread) if spread else 0.0
    return gain, mean_new - gain * mean_old

"""How sure a share is that was counted in a sample: exact intervals of a binomial proportion (pure).

Clopper and Pearson (1934): the limits are quantiles of beta distributions, so that the true share lies between them in at least the stated
part of all samples, however small. Counts may be fractions here, for samples whose design is worth less than their size.
"""

import math
from dataclasses import dataclass
from typing import Final

CONFIDENCE: Final = 0.95
_TINY: Final = 1e-300
_TURNS: Final = 500
_HALVINGS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Two shares, 0 to 1."""

    low: float
    """Not less than this."""
    high: float
    """Not more than this."""


def clopper_pearson(hits: float, trials: float, *, confidence: float = CONFIDENCE) -> Interval:
    """The two-sided interval of the share of which `hits` of `trials` were counted; 0 to 1 without a trial.

    Raises ValueError where there are more hits than trials or less than none.
    """
    if not 0 <= hits <= trials or not 0 < confidence < 1:
        raise ValueError(f"{hits} hits in {trials} trials at confidence {confidence}: give 0 to all, and 0 to 1")
    tail = (1 - confidence) / 2
    low = beta_quantile(tail, hits, trials - hits + 1) if hits > 0 else 0.0
    high = beta_quantile(1 - tail, hits + 1, trials - hits) if hits < trials else 1.0
    return Interval(low=low, high=high)


def rule_of_three(trials: float, *, confidence: float = CONFIDENCE) -> float:
    """What the share is below where none of `trials` was a hit, one-sided: 1 - (1 - confidence)^(1 / trials), some 3 / trials at 95 %
    (Hanley and Lippman-Hand 1983); 1 without a trial."""
    return 1.0 if trials <= 0 else -math.expm1(math.log1p(-confidence) / trials)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """x at which the regularised incomplete beta function of a, b > 0 reaches `probability`, to some 1e-15."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _regularised_beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _regularised_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), by the continued fraction of NIST DLMF 8.17.22, which converges fast on this side of the mean."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _regularised_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction, evaluated from the front (Lentz's method as modified by Thompson and Barnett 1986)."""
    c, d = 1.0, 1 / _kept_apart(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TURNS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            d = 1 / _kept_apart(1 + coefficient * d)
            c = _kept_apart(1 + coefficient / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _kept_apart(value: float) -> float:
    """Not 0."""
    return value if abs(value) > _TINY else _TINY

"""When the simulated satellite stands in sunlight: always, in turn with night, or as its orbit has it."""

from functools import lru_cache
from typing import Protocol

from mission.eclipse import sunlight_intervals
from mission.errors import ServiceError
from mission.orbit import DAY_MS, epoch_unix_ms
from mission.scenario import ELEMENTS_AGE_LIMIT_DAYS, Scenario
from onboard.sunlight import Sunlight

ORBITS_KEPT = 4


class SunlightProfile(Protocol):
    """Sunlight at any time."""

    def between(self, start_ms: int, end_ms: int) -> Sunlight:
        """The lit intervals that matter from `start_ms` to `end_ms`, Unix ms. Raises OrbitError where an orbit cannot be computed."""


class AlwaysSun:
    """No night."""

    def between(self, start_ms: int, end_ms: int) -> Sunlight:
        return Sunlight(intervals=((start_ms, max(end_ms, start_ms + 1)),))


class DayAndNight:
    """Day and night in turn, counted from the Unix epoch; each period begins with its day."""

    def __init__(self, *, period_ms: int, day_ms: int) -> None:
        self._period_ms = period_ms
        self._day_ms = day_ms

    def between(self, start_ms: int, end_ms: int) -> Sunlight:
        if self._day_ms >= self._period_ms:
            return AlwaysSun().between(start_ms, end_ms)
        first, last = start_ms // self._period_ms, max(start_ms, end_ms) // self._period_ms
        starts = (number * self._period_ms for number in range(first, last + 1))
        return Sunlight(intervals=tuple((start, start + self._day_ms) for start in starts))


class SunlightOfOrbit:
    """As seen from the scenario's satellite, computed for one UTC day at a time."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._day = lru_cache(maxsize=ORBITS_KEPT)(self._compute_day)

    def between(self, start_ms: int, end_ms: int) -> Sunlight:
        first, last = start_ms // DAY_MS, max(start_ms, end_ms) // DAY_MS
        days = [self._day(number) for number in range(first, last + 1)]
        return Sunlight(intervals=tuple(interval for day in days for interval in day))

    def _compute_day(self, number: int) -> tuple[tuple[int, int], ...]:
        satellite = self._scenario.orbit.satellite(self._scenario.start_ms)
        return sunlight_intervals(satellite, number * DAY_MS, (number + 1) * DAY_MS)


def sunlight_profile(scenario: Scenario, *, now_ms: int) -> SunlightProfile:
    """What `[eps]` asks for. Raises ServiceError where the orbit's elements are not of these days."""
    section = scenario.eps
    match section.sunlight:
        case "sun":
            return AlwaysSun()
        case "orbit":
            period_ms = round(section.orbit_period_s * 1000)
            return DayAndNight(period_ms=period_ms, day_ms=max(1, round(period_ms * (1 - section.eclipse_fraction))))
        case "scenario":
            _require_fresh_elements(scenario, now_ms)
            return SunlightOfOrbit(scenario)


def _require_fresh_elements(scenario: Scenario, now_ms: int) -> None:
    if scenario.orbit.tle is None:
        return
    age_days = (now_ms - epoch_unix_ms(scenario.orbit.satellite(scenario.start_ms))) / DAY_MS
    if abs(age_days) > ELEMENTS_AGE_LIMIT_DAYS:
        raise ServiceError(
            f"orbit.tle has its epoch {abs(age_days):.0f} days {'ago' if age_days > 0 else 'ahead'}; sunlight computed from it would "
            f'be wrong: use elements within {ELEMENTS_AGE_LIMIT_DAYS} days of now, orbit.altitude_km, or eps.sunlight = "orbit"'
        )

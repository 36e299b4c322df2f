"""When there is contact, for programs that may start at any moment: each finds the same windows as every other.

Repeating contacts are counted from the Unix epoch. Windows from the orbit are computed for one UTC day at a time, from its
midnight to the next; a pass that goes on over midnight is two contacts, one after the other. Listed contacts stand where the scenario
has them, counted from the mission's start. `horizon_h`, `max_contacts` and `capacity_raw_fraction` bound a mission in virtual time; here
they say nothing.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from mission.contacts import PlannedContact, contacts_from_list, contacts_in_orbit, repeating_contact
from mission.errors import ServiceError
from mission.orbit import DAY_MS, epoch_unix_ms
from mission.scenario import ELEMENTS_AGE_LIMIT_DAYS, Scenario

DAYS_KEPT: Final = 16
DAYS_AHEAD: Final = 14
"""So far contacts from the orbit are looked for."""


class ContactWindows:
    """The contacts of a scenario, at any time. Raises OrbitError where the orbit cannot be computed at a time asked for."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._listed = contacts_from_list(scenario) if scenario.contacts.source == "list" else ()
        self._days: OrderedDict[int, tuple[PlannedContact, ...]] = OrderedDict()

    def at(self, now_ms: int) -> PlannedContact | None:
        """The contact that goes on, None without one."""
        first = next(self._not_over(now_ms), None)
        return first if first is not None and first.contact.aos_ms <= now_ms else None

    def next_after(self, now_ms: int) -> PlannedContact | None:
        """The first contact that begins later, None where none does (from the orbit: within `DAYS_AHEAD` days)."""
        return next((one for one in self._not_over(now_ms) if one.contact.aos_ms > now_ms), None)

    def coming(self, now_ms: int, count: int) -> tuple[PlannedContact, ...]:
        """The first `count` contacts that are not over, the one that goes on among them; fewer where there are not so many."""
        return tuple(islice(self._not_over(now_ms), count))

    def check(self, now_ms: int) -> None:
        """Raises ServiceError where contacts cannot be told at this time, because the orbit's elements are too old or too new."""
        orbit = self._scenario.orbit
        if self._scenario.contacts.source != "orbit" or orbit.tle is None:
            return
        age_days = (now_ms - epoch_unix_ms(orbit.satellite(self._scenario.start_ms))) / DAY_MS
        if abs(age_days) > ELEMENTS_AGE_LIMIT_DAYS:
            raise ServiceError(
                f"orbit.tle has its epoch {abs(age_days):.0f} days {'ago' if age_days > 0 else 'ahead'}; contacts computed from it "
                f"would be wrong: use elements within {ELEMENTS_AGE_LIMIT_DAYS} days of now, orbit.altitude_km, or "
                'contacts.source = "repeating"'
            )

    def _not_over(self, now_ms: int) -> Iterator[PlannedContact]:
        """Contacts with LOS after `now_ms`, in order of AOS."""
        match self._scenario.contacts.source:
            case "repeating":
                return self._repeating(now_ms)
            case "list":
                return (one for one in self._listed if one.contact.los_ms > now_ms)
            case "orbit":
                today = now_ms // DAY_MS
                days = (self._day(day) for day in range(today, today + DAYS_AHEAD))
                return (one for one in chain.from_iterable(days) if one.contact.los_ms > now_ms)

    def _repeating(self, now_ms: int) -> Iterator[PlannedContact]:
        number = max(0, self._first_not_over(now_ms))
        while True:
            yield repeating_contact(self._scenario, number)
            number += 1

    def _first_not_over(self, now_ms: int) -> int:
        first = repeating_contact(self._scenario, 0).contact
        period_ms = repeating_contact(self._scenario, 1).contact.aos_ms - first.aos_ms
        return (now_ms - first.los_ms) // period_ms + 1

    def _day(self, day: int) -> tuple[PlannedContact, ...]:
        """The contacts of one UTC day, numbered by the second of their AOS."""
        if day not in self._days:
            found = contacts_in_orbit(self._scenario, start_ms=day * DAY_MS, end_ms=(day + 1) * DAY_MS)
            self._days[day] = tuple(
                replace(one, contact=replace(one.contact, contact_id=one.contact.aos_ms // 1000)) for one in found
            )
            while len(self._days) > DAYS_KEPT:
                self._days.popitem(last=False)
        return self._days[day]

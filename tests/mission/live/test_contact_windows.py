"""Contacts by the clock: the same for everybody, whenever somebody asks."""

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.command import MAX_LINK_COUNT
from mission.contacts import PlannedContact, contacts_from_orbit, plan_contacts
from mission.errors import ScenarioError, ServiceError
from mission.live.contact_windows import ContactWindows
from mission.orbit import DAY_MS
from mission.scenario import Scenario, load_scenario

NOW_MS = 1_795_374_000_000
STATIONS = [
    {"name": "Svalbard", "latitude_deg": 78.2297, "longitude_deg": 15.3975},
    {"name": "Inuvik", "latitude_deg": 68.3194, "longitude_deg": -133.5492},
]


def repeating(period_s: float = 20.0, duration_s: float = 14.0, offset_s: float = 3.0) -> Scenario:
    return Scenario.model_validate(
        {
            "orbit": {"altitude_km": 500.0},
            "contacts": {
                "source": "repeating",
                "station": "Kiruna",
                "period_s": period_s,
                "duration_s": duration_s,
                "offset_s": offset_s,
                "downlink_bps": 2_000_000,
                "uplink_bps": 32_000,
                "delay_ms": 7,
            },
        }
    )


@cache
def in_orbit() -> Scenario:
    return Scenario.model_validate({"orbit": {"altitude_km": 550.0, "stations": STATIONS}})


def listed() -> Scenario:
    entries = [{"aos_s": at_s, "duration_s": 100.0, "downlink_bps": 9000} for at_s in (5000.0, 10.0, 700.0)]
    return Scenario.model_validate(
        {"orbit": {"altitude_km": 500.0}, "contacts": {"source": "list"}, "contact": entries}
    )


def test_repeating_contacts_are_counted_from_the_unix_epoch() -> None:
    windows = ContactWindows(repeating())
    number = NOW_MS // 20_000
    planned = windows.at(number * 20_000 + 3000)
    assert planned is not None
    contact = planned.contact
    assert (contact.aos_ms, contact.los_ms) == (number * 20_000 + 3000, number * 20_000 + 17_000)
    assert (contact.contact_id, contact.station) == (number, "Kiruna")
    assert (contact.downlink_bps, contact.uplink_bps, contact.one_way_delay_ms) == (2_000_000, 32_000, 7)
    assert planned.uplink is not None and (planned.downlink.rate_bps, planned.uplink.rate_bps) == (2_000_000, 32_000)
    assert windows.at(contact.aos_ms - 1) is None and windows.at(contact.los_ms) is None
    assert windows.at(contact.los_ms - 1) == planned


def test_what_comes() -> None:
    windows = ContactWindows(repeating())
    aos_ms = NOW_MS // 20_000 * 20_000 + 3000
    assert [one.contact.aos_ms for one in windows.coming(aos_ms + 500, 3)] == [aos_ms, aos_ms + 20_000, aos_ms + 40_000]
    assert [one.contact.aos_ms for one in windows.coming(aos_ms - 1, 1)] == [aos_ms]
    following, first = windows.next_after(aos_ms), windows.next_after(aos_ms - 1)
    assert following is not None and first is not None
    assert (following.contact.aos_ms, first.contact.aos_ms) == (aos_ms + 20_000, aos_ms)


def test_contacts_that_touch_follow_one_another() -> None:
    windows = ContactWindows(repeating(duration_s=20.0))
    edge_ms = NOW_MS // 20_000 * 20_000 + 3000
    before, after = windows.at(edge_ms - 1), windows.at(edge_ms)
    assert before is not None and after is not None
    assert before.contact.los_ms == after.contact.aos_ms == edge_ms
    assert after.contact.contact_id == before.contact.contact_id + 1


def test_before_the_first_contact_there_is_none() -> None:
    windows = ContactWindows(repeating())
    assert windows.at(0) is None and windows.at(-5) is None
    first = windows.next_after(0)
    assert first is not None and (first.contact.contact_id, first.contact.aos_ms) == (0, 3000)


def test_numbers_fit_a_link_report_for_ever() -> None:
    windows = ContactWindows(repeating(period_s=0.5, duration_s=0.5, offset_s=0.0))
    last = windows.at((MAX_LINK_COUNT + 1) * 500 - 1)
    again = windows.at((MAX_LINK_COUNT + 1) * 500)
    assert last is not None and again is not None
    assert (last.contact.contact_id, again.contact.contact_id) == (MAX_LINK_COUNT, 0)


@given(
    st.integers(500, 100_000),
    st.data(),
    st.integers(NOW_MS - DAY_MS, NOW_MS + DAY_MS),
    st.lists(st.integers(0, 10_000)),
)
@settings(max_examples=60)
def test_whoever_asks_at_whatever_moment_finds_the_same(
    period_ms: int, data: st.DataObject, now_ms: int, elsewhere: list[int]
) -> None:
    scenario = repeating(
        period_ms / 1000,
        data.draw(st.integers(1, period_ms)) / 1000,
        data.draw(st.integers(0, period_ms - 1)) / 1000,
    )
    asked_before = ContactWindows(scenario)
    for other in elsewhere:
        asked_before.at(now_ms - other)
    first = asked_before.coming(now_ms, 3)
    assert first == ContactWindows(scenario).coming(now_ms, 3)
    for planned in first:
        contact = planned.contact
        for moment in (contact.aos_ms, contact.los_ms - 1, (contact.aos_ms + contact.los_ms) // 2):
            assert asked_before.at(moment) == planned
    going_on = asked_before.at(now_ms)
    assert (going_on is not None) == (first[0].contact.aos_ms <= now_ms)
    for former, latter in pairwise(first):
        assert former.contact.los_ms <= latter.contact.aos_ms


# ---- from the orbit


@cache
def three_days() -> tuple[PlannedContact, ...]:
    windows = ContactWindows(in_orbit())
    midnight = NOW_MS // DAY_MS * DAY_MS
    found, at_ms = [], midnight
    while (planned := windows.next_after(at_ms)) is not None and planned.contact.aos_ms < midnight + 3 * DAY_MS:
        found.append(planned)
        at_ms = planned.contact.aos_ms
    return tuple(found)


def test_the_orbit_gives_passes_every_day_that_do_not_overlap() -> None:
    found = three_days()
    assert len(found) > 60
    assert all(one.contact.los_ms <= other.contact.aos_ms for one, other in pairwise(found))
    assert len({one.contact.contact_id for one in found}) == len(found)
    assert {one.contact.station for one in found} == {"Svalbard", "Inuvik"}


@given(st.integers(0, 10_000), st.integers(-3, 3))
@settings(max_examples=25, deadline=None)
def test_passes_are_the_same_from_wherever_they_are_asked(choice: int, days: int) -> None:
    found = three_days()
    planned = found[choice % len(found)]
    windows = ContactWindows(in_orbit())
    windows.at(planned.contact.aos_ms + days * DAY_MS)
    assert windows.at(planned.contact.aos_ms) == planned
    assert windows.at(planned.contact.los_ms - 1) == planned
    assert windows.next_after(planned.contact.aos_ms - 1) == planned


def test_passes_are_those_of_the_simulation() -> None:
    """But for their numbers, and for a pass that midnight divides."""
    scenario = in_orbit()
    simulated = [one.contact for one in contacts_from_orbit(scenario)]
    windows = ContactWindows(scenario)
    live = [one.contact for one in windows.coming(scenario.start_ms, len(simulated))]
    assert scenario.start_ms % DAY_MS == 0
    assert [(one.aos_ms, one.los_ms, one.station) for one in live] == [
        (one.aos_ms, one.los_ms, one.station) for one in simulated
    ]


def test_a_pass_over_midnight_is_two_contacts() -> None:
    midnight = next(
        day * DAY_MS
        for day in range(NOW_MS // DAY_MS, NOW_MS // DAY_MS + 60)
        if (one := ContactWindows(in_orbit()).at(day * DAY_MS)) is not None and one.contact.aos_ms == day * DAY_MS
    )
    windows = ContactWindows(in_orbit())
    before, after = windows.at(midnight - 1), windows.at(midnight)
    assert after is not None and after.contact.aos_ms == midnight
    assert before is None or before.contact.los_ms == midnight


def test_old_elements_are_refused() -> None:
    scenario = load_scenario("default")
    ContactWindows(scenario).check(scenario.start_ms)
    with pytest.raises(ServiceError, match="epoch 61 days ago"):
        ContactWindows(scenario).check(scenario.start_ms + 61 * DAY_MS)
    ContactWindows(in_orbit()).check(NOW_MS)
    ContactWindows(repeating()).check(NOW_MS)


# ---- listed, and in virtual time


def test_listed_contacts_end() -> None:
    windows, start_ms = ContactWindows(listed()), listed().start_ms
    assert [one.contact.aos_ms - start_ms for one in windows.coming(start_ms, 9)] == [10_000, 700_000, 5_000_000]
    assert windows.at(start_ms + 10_000) is not None and windows.next_after(start_ms + 5_000_000) is None


def test_repeating_contacts_in_virtual_time_go_on_to_the_horizon() -> None:
    scenario = repeating(period_s=600.0, duration_s=60.0, offset_s=30.0)
    planned = [one.contact for one in plan_contacts(scenario, raw_bytes=1)]
    assert len(planned) == 24 * 6
    assert [one.contact_id for one in planned] == list(range(24 * 6))
    assert planned[0].aos_ms == scenario.start_ms + 30_000 and planned[-1].los_ms <= scenario.horizon_ms
    live = [one.contact for one in ContactWindows(scenario).coming(scenario.start_ms, 5)]
    assert [one.aos_ms for one in live] == [one.aos_ms for one in planned[:5]]


def test_only_so_many_repeating_contacts_as_are_wanted() -> None:
    scenario = repeating()
    few = scenario.model_copy(update={"contacts": scenario.contacts.model_copy(update={"max_contacts": 4})})
    assert len(plan_contacts(few, raw_bytes=1)) == 4


@pytest.mark.parametrize(
    ("contacts", "message"),
    [
        ('source = "repeating"', "needs period_s and duration_s"),
        ('source = "repeating"\nperiod_s = 10.0\nduration_s = 10.5', "at most the period"),
        ('source = "repeating"\nperiod_s = 10.0\nduration_s = 1.0\noffset_s = 10.0', "the offset below it"),
        ('source = "list"\nperiod_s = 10.0', "only for repeating contacts"),
        ('source = "repeating"\nperiod_s = 0.1\nduration_s = 0.1', "greater than or equal to 0.5"),
        ('source = "repeating"\nperiod_s = 9.0\nduration_s = 2.0\n[radio]', "radio"),
        ('source = "repeating"\nperiod_s = 9.0\nduration_s = 2.0\n[[contact]]\naos_s = 1.0', "contact"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: object, contacts: str, message: str) -> None:
    file = f"{tmp_path}/scenario.toml"
    with open(file, "w", encoding="utf-8") as out:
        out.write(f"[contacts]\n{contacts}\n")
    with pytest.raises(ScenarioError, match=message):
        load_scenario(file)


def test_a_scenario_of_repeating_contacts_needs_no_more_than_them(tmp_path: object) -> None:
    file = f"{tmp_path}/scenario.toml"
    with open(file, "w", encoding="utf-8") as out:
        out.write('[contacts]\nsource = "repeating"\nperiod_s = 20.0\nduration_s = 14.0\n')
    assert load_scenario(file).contacts.period_s == 20.0

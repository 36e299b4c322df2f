"""Contacts of a mission: one station at a time, cut to the stated share, faults as the scenario says."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.contact import Contact
from downlink.errors import ContactError
from mission.contacts import capture_times_ms, contacts_from_orbit, one_at_a_time, plan_contacts
from mission.errors import ScenarioError
from mission.orbit import Station
from mission.scenario import Scenario, load_scenario
from mission.visibility import VisibilityWindow

HARBOUR_RAW_BYTES = 2 * 1024 * 1024 * 4 * 2
START_MS = 1740700800000

CONTACT = Contact(
    contact_id=3,
    station="Svalbard",
    aos_ms=START_MS + 1000,
    los_ms=START_MS + 3345,
    downlink_bps=256_001,
    uplink_bps=64_000,
    one_way_delay_ms=27,
    frame_loss=0.02,
)


def listed(*entries, **sections):
    data = {"mission": {"start": "2025-02-28T00:00:00Z"}, "contacts": {"source": "list"}, "contact": list(entries)}
    for name, values in sections.items():
        data[name] = {**data.get(name, {}), **values}
    return Scenario.model_validate(data)


def entry(aos_s, duration_s, downlink_bps=1_000_000, **more):
    return {"aos_s": float(aos_s), "duration_s": float(duration_s), "downlink_bps": downlink_bps, **more}


def test_a_contact_counts_its_bytes():
    assert CONTACT.duration_ms == 2345
    assert CONTACT.capacity_bytes == 256_001 * 2345 // 8000 == 75040


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"contact_id": -1}, "contact_id -1"),
        ({"station": ""}, "without a name"),
        ({"los_ms": START_MS + 1000}, "not after AOS"),
        ({"downlink_bps": 0}, "downlink 0 bit/s"),
        ({"uplink_bps": -5}, "uplink -5 bit/s"),
        ({"one_way_delay_ms": -1}, "delay -1 ms"),
        ({"frame_loss": 1.0}, "frame loss 1.0"),
        ({"frame_loss": float("nan")}, "frame loss nan"),
    ],
)
def test_impossible_contacts_are_refused_at_birth(change, said):
    with pytest.raises(ContactError, match=said):
        replace(CONTACT, **change)


@pytest.mark.parametrize(("name", "count", "share"), [("default", 6, 0.025), ("one_percent", 4, 0.01)])
def test_shipped_scenarios_carry_their_share(name, count, share):
    planned = plan_contacts(load_scenario(name), raw_bytes=HARBOUR_RAW_BYTES)
    contacts = [one.contact for one in planned]
    assert [contact.contact_id for contact in contacts] == list(range(count))
    assert sum(contact.capacity_bytes for contact in contacts) == pytest.approx(share * HARBOUR_RAW_BYTES, rel=0.001)
    assert sum(contact.capacity_bytes for contact in contacts) <= share * HARBOUR_RAW_BYTES
    for contact in contacts:  # each lasts many round trips, so that a NAK and its answer fit into one pass
        assert contact.duration_ms > 10 * 2 * contact.one_way_delay_ms
        assert contact.frame_loss == pytest.approx(0.02)
        assert 20 + 2 <= contact.one_way_delay_ms <= 20 + 9
    assert {contact.station for contact in contacts} >= {"Svalbard", "Inuvik"}
    assert all(one.downlink.rate_bps == one.contact.downlink_bps for one in planned)
    assert all(one.uplink.rate_bps == 64_000 and one.uplink.loss.mean_loss == pytest.approx(0.01) for one in planned)


def test_the_cut_keeps_aos_rates_and_proportions():
    scenario = load_scenario("default")
    natural = contacts_from_orbit(scenario)[:6]
    planned = plan_contacts(scenario, raw_bytes=HARBOUR_RAW_BYTES)
    for before, after in zip(natural, planned, strict=True):
        assert (after.contact.aos_ms, after.downlink) == (before.contact.aos_ms, before.downlink)
        ratio = after.contact.duration_ms / before.contact.duration_ms
        assert ratio == pytest.approx(planned[0].contact.duration_ms / natural[0].contact.duration_ms, rel=0.002)


def test_contacts_of_the_orbit_are_disjoint_and_in_order():
    contacts = [one.contact for one in contacts_from_orbit(load_scenario("default"))]
    assert all(former.los_ms <= latter.aos_ms for former, latter in pairwise(contacts))
    handover = [former for former, latter in pairwise(contacts) if former.los_ms == latter.aos_ms]
    assert [contact.station for contact in handover].count("Svalbard") >= 1  # Inuvik takes over from Svalbard


def test_contacts_are_never_lengthened():
    scenario = listed(entry(60, 1.5), contacts={"capacity_raw_fraction": 0.5})
    (planned,) = plan_contacts(scenario, raw_bytes=10**12)
    assert planned.contact.duration_ms == 1500


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 400), st.integers(1000, 10**7)), min_size=1, max_size=8),
    st.floats(0.001, 2),
    st.integers(10_000, 10**8),
)
@settings(max_examples=60)
def test_cut_contacts_never_carry_more_than_the_share(shapes, fraction, raw_bytes):
    entries, at_s = [], 0.0
    for gap_s, duration_s, rate_bps in shapes:
        entries.append(entry(at_s + gap_s, duration_s, rate_bps))
        at_s += gap_s + duration_s
    scenario = listed(*entries, contacts={"capacity_raw_fraction": fraction})
    try:
        planned = plan_contacts(scenario, raw_bytes=raw_bytes)
    except ScenarioError as error:
        assert "no contact of this mission" in str(error)
        return
    carried = sum(one.contact.capacity_bytes for one in planned)
    natural = sum(int(rate * duration * 1000) // 8000 for _, duration, rate in shapes)
    target = fraction * raw_bytes
    assert carried <= max(target, 0) or carried <= natural <= target
    rounding = sum(rate / 8000 + 1 for _, _, rate in shapes)  # one millisecond and one byte each
    assert carried >= min(target, natural) - rounding - 1


def test_max_contacts_come_before_the_cut():
    entries = [entry(60 * number, 10) for number in range(1, 6)]
    settings_ = {"capacity_raw_fraction": 0.1, "max_contacts": 2}
    planned = plan_contacts(listed(*entries, contacts=settings_), raw_bytes=1_000_000)
    assert [one.contact.capacity_bytes for one in planned] == [50_000, 50_000]


def test_listed_contacts_are_taken_as_they_stand_in_order_of_time():
    scenario = listed(
        entry(120, 2, 500_000, station="B", delay_ms=300, uplink_bps=0),
        entry(60.25, 1.5, station="A", frame_loss=0.1),
        channel={"frame_loss": 0.02, "duplicate": 0.25, "bit_error_rate": 1e-6},
    )
    first, second = plan_contacts(scenario, raw_bytes=1)
    assert (first.contact.station, second.contact.station) == ("A", "B")
    assert (first.contact.aos_ms, first.contact.los_ms) == (START_MS + 60_250, START_MS + 61_750)
    assert (first.contact.frame_loss, second.contact.frame_loss) == (0.1, 0.02)
    assert second.contact.one_way_delay_ms == second.downlink.delay_ms == 300
    assert second.uplink is None
    assert first.downlink.duplicate == first.uplink.duplicate == 0.25
    assert first.downlink.bit_error_rate == 1e-6


def test_a_contact_may_have_its_own_bursts():
    own = {"p_good_to_bad": 0.1, "p_bad_to_good": 0.5, "loss_bad": 0.8}
    scenario = listed(
        entry(60, 1),
        entry(70, 1, frame_loss=0.2),
        entry(80, 1, burst=own),
        channel={"frame_loss": 0.02, "burst": {"p_bad_to_good": 0.25}},
    )
    shared, worse, bursty = plan_contacts(scenario, raw_bytes=1)
    assert shared.downlink.loss.p_bad_to_good == worse.downlink.loss.p_bad_to_good == 0.25
    assert (shared.contact.frame_loss, worse.contact.frame_loss) == (pytest.approx(0.02), pytest.approx(0.2))
    assert bursty.contact.frame_loss == pytest.approx(0.8 * 0.1 / 0.6)


def test_a_mean_no_burst_can_reach_is_refused():
    scenario = listed(
        entry(60, 1, frame_loss=0.9), channel={"frame_loss": 0.02, "burst": {"p_bad_to_good": 0.5, "loss_bad": 1.0}}
    )
    with pytest.raises(ScenarioError, match="lower p_bad_to_good"):
        plan_contacts(scenario, raw_bytes=1)


def test_nothing_to_send_means_no_contact():
    with pytest.raises(ScenarioError, match="raise capacity_raw_fraction"):
        plan_contacts(load_scenario("default"), raw_bytes=10)


def window(name, aos_ms, los_ms):
    station = Station(name=name, latitude_deg=0.0, longitude_deg=0.0)
    return VisibilityWindow(station=station, aos_ms=aos_ms, los_ms=los_ms)


def test_the_station_that_saw_it_first_keeps_it():
    windows = [window("A", 0, 500), window("B", 100, 400), window("C", 300, 700), window("D", 690, 790)]
    served = one_at_a_time(windows, min_duration_ms=95)
    assert [(one.station.name, one.aos_ms, one.los_ms) for one in served] == [("A", 0, 500), ("C", 500, 700)]


def test_captures_begin_before_the_first_contact_but_not_before_the_start():
    planned = plan_contacts(listed(entry(1000, 1)), raw_bytes=1)
    early = listed(entry(1000, 1), sensor={"capture_before_first_contact_s": 100.5, "capture_interval_s": 0.25})
    assert capture_times_ms(early, planned, count=3) == tuple(START_MS + ms for ms in (899_500, 899_750, 900_000))
    late = listed(entry(1000, 1), sensor={"capture_before_first_contact_s": 5000.0})
    assert capture_times_ms(late, planned, count=1) == (START_MS,)

"""The governor: more charge never gives less, the reserve is never touched, the radio comes first."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard.battery import Battery
from onboard.energy_forecast import Loads, forecast_horizon_ms, forecast_net_j, lowest_charge_j
from onboard.governor import Effort, GovernorState, decide
from onboard.sunlight import Sunlight

LIT = Sunlight(intervals=((0, 30_000), (60_000, 100_000), (130_000, 200_000)))
CONTACTS_MS = ((40_000, 45_000), (150_000, 155_000))
LOADS = Loads(panel_w=20.0, idle_w=5.0, radio_w=10.0)

STATE = GovernorState(
    charge_j=60.0, capacity_j=100.0, reserve_j=30.0, screen_only_j=1.0, detect_j=4.0, forecast_net_j=(10.0, -25.0, 30.0)
)


@st.composite
def states(draw):
    capacity_j = draw(st.floats(1, 1000))
    screen_only_j = draw(st.floats(0, 50))
    return GovernorState(
        charge_j=draw(st.floats(0, 1)) * capacity_j,
        capacity_j=capacity_j,
        reserve_j=draw(st.floats(0, 1)) * capacity_j,
        screen_only_j=screen_only_j,
        detect_j=screen_only_j + draw(st.floats(0, 100)),
        forecast_net_j=tuple(share * capacity_j for share in draw(st.lists(st.floats(-1, 1), max_size=6))),
    )


@given(states(), st.floats(0, 1000))
def test_more_charge_never_gives_less_effort(state, extra_j):
    richer = replace(state, charge_j=min(state.capacity_j, state.charge_j + extra_j))
    assert decide(richer).effort >= decide(state).effort


@given(states(), st.floats(0, 300), st.integers(0, 5))
def test_more_income_or_a_lower_reserve_never_gives_less_effort(state, extra_j, phase):
    net_j = list(state.forecast_net_j)
    if net_j:
        net_j[phase % len(net_j)] += extra_j
    assert decide(replace(state, forecast_net_j=tuple(net_j))).effort >= decide(state).effort
    assert decide(replace(state, reserve_j=max(0.0, state.reserve_j - extra_j))).effort >= decide(state).effort


@given(states())
def test_an_allowed_effort_keeps_the_reserve_through_the_forecast(state):
    """Replayed on the battery itself, which clips and browns out on its own account."""
    effort = decide(state).effort
    if effort is Effort.SKIP:
        return
    price_j = state.detect_j if effort is Effort.DETECT else state.screen_only_j
    battery = Battery(capacity_j=state.capacity_j, charge_j=state.charge_j).draw(price_j)
    assert battery.charge_j >= state.reserve_j - 1e-9
    for net_j in state.forecast_net_j:
        battery = battery.harvest(net_j) if net_j > 0 else battery.draw(-net_j)
        assert battery.charge_j >= state.reserve_j - 1e-6
    assert not battery.unmet_j > 1e-6


@given(states())
def test_the_same_state_gives_the_same_decision(state):
    assert decide(state) == decide(replace(state))


def test_each_effort_by_hand():
    """The lowest point lies after the second phase: 15 J below the charge now, unless the battery is nearly full."""
    assert decide(STATE).effort is Effort.DETECT
    assert decide(replace(STATE, charge_j=49.0)).effort is Effort.DETECT  # 49 - 4 - 15 = 30, the reserve itself
    assert decide(replace(STATE, charge_j=48.9)).effort is Effort.SCREEN_ONLY
    assert decide(replace(STATE, charge_j=45.9)).effort is Effort.SKIP


def test_a_full_battery_does_not_count_light_it_cannot_keep():
    full = GovernorState(
        charge_j=100.0, capacity_j=100.0, reserve_j=30.0, screen_only_j=1.0, detect_j=4.0, forecast_net_j=(50.0, -70.0)
    )
    assert (
        decide(full).effort is Effort.DETECT
    )  # refilled to 100 before the dark phase: what is spent now costs nothing then
    assert decide(replace(full, forecast_net_j=(2.0, -70.0))).effort is Effort.SCREEN_ONLY
    assert decide(replace(full, forecast_net_j=(50.0, -71.0))).effort is Effort.SKIP  # 50 J more light would not help


def test_the_reason_has_the_numbers():
    reason = decide(replace(STATE, charge_j=46.5)).reason
    for said in (
        "DETECT costs 4.00 J",
        "27.5 J at the lowest",
        "SCREEN_ONLY costs 1.00 J",
        "30.5 J",
        "charge 46.5 J",
        "reserve 30.0 J",
    ):
        assert said in reason


def test_the_radio_comes_first():
    """With a contact before the next light the same charge allows less."""
    until_ms = forecast_horizon_ms(35_000, sunlight=LIT, contacts_ms=CONTACTS_MS)
    assert until_ms == 60_000
    with_radio = forecast_net_j(35_000, until_ms, sunlight=LIT, contacts_ms=CONTACTS_MS, loads=LOADS)
    without = forecast_net_j(35_000, until_ms, sunlight=LIT, contacts_ms=(), loads=LOADS)
    assert with_radio == pytest.approx((-25.0, -75.0, -75.0))
    assert without == pytest.approx((-125.0,))
    tight = GovernorState(charge_j=180.0, capacity_j=400.0, reserve_j=20.0, screen_only_j=1.0, detect_j=10.0)
    assert decide(replace(tight, forecast_net_j=without)).effort is Effort.DETECT
    assert decide(replace(tight, forecast_net_j=with_radio)).effort is Effort.SKIP


@pytest.mark.parametrize(
    ("now_ms", "expected_ms"),
    [(0, 60_000), (44_999, 60_000), (45_000, 155_000), (155_000, 155_000), (500_000, 500_000)],
)
def test_the_horizon_covers_the_next_contact_and_the_next_eclipse(now_ms, expected_ms):
    assert forecast_horizon_ms(now_ms, sunlight=LIT, contacts_ms=CONTACTS_MS) == expected_ms


@given(st.integers(0, 190_000), st.integers(0, 200_000))
def test_the_forecast_adds_up_to_what_the_battery_would_see(now_ms, length_ms):
    until_ms = now_ms + length_ms
    net_j = forecast_net_j(now_ms, until_ms, sunlight=LIT, contacts_ms=CONTACTS_MS, loads=LOADS)
    on_air_ms = sum(max(0, min(los, until_ms) - max(aos, now_ms)) for aos, los in CONTACTS_MS)
    expected_j = (20.0 * LIT.lit_ms(now_ms, until_ms) - 5.0 * length_ms - 10.0 * on_air_ms) / 1000
    assert sum(net_j) == pytest.approx(expected_j, abs=1e-6)


@given(st.floats(0, 100), st.floats(0, 100), st.lists(st.floats(-80, 80), max_size=8))
def test_the_lowest_charge_rises_with_the_charge(charge_j, extra_j, net_j):
    low = lowest_charge_j(charge_j, capacity_j=100.0, net_j=net_j)
    high = lowest_charge_j(min(100.0, charge_j + extra_j), capacity_j=100.0, net_j=net_j)
    assert low <= charge_j
    assert low <= high <= low + extra_j + 1e-9

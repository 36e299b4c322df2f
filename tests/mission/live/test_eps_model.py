"""The simulated power system: its books balance, it warms as it should, and what it writes reads back through the flight's own reader."""

import math
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from mission.eclipse import sunlight_intervals
from mission.errors import ServiceError
from mission.live.eps_model import EpsControl, EpsLoads, EpsModel, EpsState, eps_settings, first_state
from mission.live.eps_sunlight import AlwaysSun, DayAndNight, SunlightOfOrbit, sunlight_profile
from mission.live.eps_tree import ENERGY_RANGE_UJ, eps_files
from mission.orbit import DAY_MS
from mission.scenario import Scenario, load_scenario
from mission.scenario_eps import EpsSection
from mission.scenario_onboard import PowerSection
from onboard.battery import Battery
from onboard.eps_reading import read_eps
from onboard.errors import EnergyError
from onboard.meter import powercap_zones

NOW_MS = 1_800_000_000_000
SETTINGS = eps_settings(EpsSection(), PowerSection())
IDLE = EpsLoads(compute_w=0.0, radio_on=False)


def model_of(sunlight=None, *, settings=SETTINGS, **changes):
    state = replace(first_state(EpsSection(), PowerSection(), now_ms=NOW_MS), **changes)
    return EpsModel(settings, sunlight or AlwaysSun(), state=state)


def run(model, seconds, loads=IDLE, *, step_ms=500, control=None):
    for now_ms in range(model.state.at_ms + step_ms, model.state.at_ms + seconds * 1000 + 1, step_ms):
        model.advance(now_ms, loads, control)
    return model.state


def test_defaults_come_from_the_power_section():
    power = PowerSection(battery_capacity_wh=30.0, panel_w=11.0, idle_w=4.0, radio_w=8.0, initial_charge_fraction=0.5)
    settings = eps_settings(EpsSection(), power)
    assert (settings.capacity_j, settings.panel_w, settings.idle_w, settings.radio_w) == (108_000, 11.0, 4.0, 8.0)
    assert first_state(EpsSection(), power, now_ms=7).battery == Battery(capacity_j=108_000, charge_j=54_000)
    own = EpsSection(battery_capacity_wh=10.0, panel_w=5.0, initial_charge_fraction=0.1, cap_w=9.0)
    settings = eps_settings(own, power)
    assert (settings.capacity_j, settings.panel_w, settings.cap_w) == (36_000, 5.0, 9.0)
    assert first_state(own, power, now_ms=7).charge_fraction == pytest.approx(0.1)


def test_the_section_in_a_scenario_file(tmp_path):
    file = tmp_path / "mission.toml"
    file.write_text('[eps]\ncap_w = 12.5\nsunlight = "sun"\n')
    assert load_scenario(file).eps.cap_w == 12.5
    assert tomllib.loads(file.read_text())["eps"]["sunlight"] == "sun"


def test_joules_in_sunlight():
    state = run(model_of(), 100, EpsLoads(compute_w=3.25, radio_on=True))
    assert state.load_w == pytest.approx(6 + 12 + 3.25)
    assert state.battery.charge_j == pytest.approx(57_600 + 100 * (22 - 21.25))
    assert state.compute_j == pytest.approx(325)


def test_joules_in_eclipse_and_an_empty_battery():
    model = model_of(battery=Battery(capacity_j=72_000, charge_j=100.0))
    state = run(model, 30, control=EpsControl(sunlit=False))
    assert state.battery.charge_j == 0
    assert state.battery.unmet_j == pytest.approx(30 * 6 - 100)
    assert state.panel_w == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 9000), st.floats(0, 30), st.booleans(), st.sampled_from([None, True, False])),
        max_size=40,
    ),
    st.integers(2000, 60_000),
    st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_no_joule_is_lost(steps, period_ms, day_share):
    model = model_of(DayAndNight(period_ms=period_ms, day_ms=max(1, round(period_ms * day_share))))
    initial_j = model.state.battery.charge_j
    for step_ms, compute_w, radio_on, sunlit in steps:
        state = model.advance(
            model.state.at_ms + step_ms, EpsLoads(compute_w=compute_w, radio_on=radio_on), EpsControl(sunlit=sunlit)
        )
        battery = state.battery
        assert initial_j + battery.harvested_j == pytest.approx(battery.charge_j + battery.drawn_j + battery.clipped_j)
        assert 0 <= battery.charge_j <= battery.capacity_j
        assert -100 < state.temperature_c < 100


def test_small_steps_and_large_ones_agree():
    night = DayAndNight(period_ms=60_000, day_ms=38_000)
    loads = EpsLoads(compute_w=2.0, radio_on=False)
    fine, coarse = run(model_of(night), 600, loads, step_ms=100), run(model_of(night), 600, loads, step_ms=10_000)
    assert fine.battery.charge_j == pytest.approx(coarse.battery.charge_j)
    assert fine.temperature_c == pytest.approx(coarse.temperature_c)


def test_warmth_against_an_integrator():
    """The same equation, solved by scipy, over a day and a night with a load that changes."""
    model = model_of(DayAndNight(period_ms=4_000_000, day_ms=2_400_000), at_ms=0)
    loads = [EpsLoads(compute_w=watts, radio_on=False) for watts in (0.0, 15.0, 4.0, 0.5)]
    expected_c = model.state.temperature_c
    resistance, capacity = SETTINGS.heat_resistance_k_per_w, SETTINGS.heat_capacity_j_per_k
    for number, load in enumerate(loads):
        for second in range(number * 1000 + 10, number * 1000 + 1001, 10):
            model.advance(second * 1000, load)

        def slope(t, temperature, watts=6.0 + load.compute_w):
            around = SETTINGS.sunlit_surroundings_c if t < 2400 else SETTINGS.eclipse_surroundings_c
            return (watts - (temperature - around) / resistance) / capacity

        for begin, end in (
            ((number * 1000, 2400), (2400, number * 1000 + 1000))
            if number == 2
            else ((number * 1000, number * 1000 + 1000),)
        ):
            solved = solve_ivp(slope, (begin, end - 1e-6), [expected_c], rtol=1e-9, atol=1e-9)
            expected_c = solved.y[0, -1]
        assert model.state.temperature_c == pytest.approx(expected_c, abs=0.01)


def test_warmth_settles_at_load_times_resistance():
    state = run(model_of(), 36_000, EpsLoads(compute_w=10.0, radio_on=False), step_ms=10_000)
    assert state.temperature_c == pytest.approx(10 + 16 * 1.5, abs=1e-3)


def test_time_in_which_it_did_not_run_does_not_pass():
    model = model_of()
    for jump_ms in (3_600_000, -3_600_000, 10_001):
        before = model.state
        after = model.advance(before.at_ms + jump_ms, EpsLoads(compute_w=9.0, radio_on=True))
        assert (after.battery, after.temperature_c, after.compute_j) == (
            before.battery,
            before.temperature_c,
            before.compute_j,
        )
        assert after.at_ms == before.at_ms + jump_ms


def test_control_holds_values_as_long_as_it_is_given():
    model = model_of()
    held = EpsControl(cap_w=5.0, panel_w=0.0, charge_fraction=0.12, temperature_c=83.5)
    state = run(model, 5, EpsLoads(compute_w=20.0, radio_on=True), control=held)
    assert (state.cap_w, state.panel_w, state.temperature_c) == (5.0, 0.0, 83.5)
    assert state.charge_fraction == pytest.approx(0.12)
    state = run(model, 100)
    assert (state.cap_w, state.panel_w) == (24.0, 22.0)
    assert 0.12 < state.charge_fraction < 0.15 and 60 < state.temperature_c < 83.5


def test_impossible_loads():
    for watts in (-1.0, math.nan):
        with pytest.raises(EnergyError, match="cannot draw"):
            model_of().advance(NOW_MS + 500, EpsLoads(compute_w=watts, radio_on=False))


def test_day_and_night_in_turn():
    profile = DayAndNight(period_ms=10_000, day_ms=6_000)
    assert profile.between(13_000, 27_000).phases(13_000, 27_000) == (
        (13_000, 16_000, True),
        (16_000, 20_000, False),
        (20_000, 26_000, True),
        (26_000, 27_000, False),
    )
    whole = DayAndNight(period_ms=10_000, day_ms=10_000)
    assert whole.between(13_000, 27_000).lit_ms(13_000, 27_000) == 14_000


def test_sunlight_of_the_orbit_over_midnight():
    scenario = Scenario.model_validate({"orbit": {"altitude_km": 500.0, "stations": [station()]}})
    satellite = scenario.orbit.satellite(scenario.start_ms)
    start_ms = scenario.start_ms + DAY_MS - 3_600_000
    expected = sunlight_intervals(satellite, start_ms, start_ms + 7_200_000)
    found = SunlightOfOrbit(scenario).between(start_ms, start_ms + 7_200_000).phases(start_ms, start_ms + 7_200_000)
    lit = sum(end - begin for begin, end, is_lit in found if is_lit)
    assert lit == pytest.approx(sum(end - begin for begin, end in expected), abs=5)
    assert 0 < lit < 7_200_000


def station():
    return {"name": "a", "latitude_deg": 78.0, "longitude_deg": 15.0}


def test_old_elements_are_refused_where_sunlight_needs_them():
    scenario = load_scenario("default")
    seen = scenario.model_copy(update={"eps": EpsSection(sunlight="scenario")})
    with pytest.raises(ServiceError, match=r"orbit\.tle has its epoch .* days ago.*eps\.sunlight"):
        sunlight_profile(seen, now_ms=NOW_MS)
    assert isinstance(sunlight_profile(seen, now_ms=scenario.start_ms), SunlightOfOrbit)
    assert isinstance(sunlight_profile(scenario, now_ms=NOW_MS), DayAndNight)


@given(st.floats(0, 1), st.floats(0, 30), st.floats(0, 50), st.floats(-40, 120), st.floats(0, 1e7), st.floats(0, 100))
@settings(max_examples=60, deadline=None)
def test_what_it_writes_reads_back(tmp_path_factory, fraction, panel_w, load_w, temperature_c, compute_j, cap_w):
    root = tmp_path_factory.mktemp("power")
    state = EpsState(
        at_ms=NOW_MS,
        battery=Battery(capacity_j=72_000, charge_j=72_000 * fraction),
        temperature_c=temperature_c,
        compute_j=compute_j,
        load_w=load_w,
        panel_w=panel_w,
        cap_w=cap_w,
    )
    for name, text in eps_files(state, SETTINGS).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    reading = read_eps(root)
    assert reading.charge_fraction == pytest.approx(fraction, abs=1e-6)
    assert reading.capacity_j == pytest.approx(72_000)
    assert (reading.cap_w, reading.load_w) == (pytest.approx(cap_w, abs=1e-6), pytest.approx(load_w, abs=1e-6))
    assert reading.temperature_c == pytest.approx(temperature_c, abs=1e-3)
    assert reading.critical_c == 85.0
    rails = {rail.label: rail.power_w for rail in reading.rails}
    assert rails == {
        "panels": pytest.approx(panel_w, abs=0.01, rel=1e-3),
        "bus": pytest.approx(load_w, abs=0.01, rel=1e-3),
        "battery": pytest.approx(panel_w - load_w, abs=0.01, rel=1e-3),
    }
    if 0.01 < fraction < 0.99:
        assert reading.battery_w == pytest.approx(panel_w - load_w, abs=1e-5)
    (zone,) = powercap_zones(root / "class/powercap")
    assert zone.range_uj == ENERGY_RANGE_UJ
    assert zone.read_uj() == round(compute_j * 1e6) % (ENERGY_RANGE_UJ + 1) == reading.package_energy_uj


@pytest.mark.parametrize(
    ("fraction", "panel_w", "status"),
    [
        (0.5, 22.0, "Charging"),
        (0.5, 0.0, "Discharging"),
        (1.0, 22.0, "Full"),
        (0.0, 0.0, "Not charging"),
        (1.0, 5.0, "Discharging"),
    ],
)
def test_battery_status(fraction, panel_w, status):
    state = EpsState(
        at_ms=0, battery=Battery(capacity_j=10, charge_j=10 * fraction), temperature_c=20, load_w=6, panel_w=panel_w
    )
    assert eps_files(state, SETTINGS)["class/power_supply/battery/status"] == f"{status}\n"

"""Battery and sunlight: the books balance, charge stays in its bounds, brown-outs are told."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard.battery import Battery
from onboard.errors import EnergyError
from onboard.sunlight import Sunlight

energies = st.floats(0, 1e6)
LIT = Sunlight(intervals=((1_000, 4_000), (6_000, 6_500), (9_000, 20_000)))


@st.composite
def sunlights(draw):
    edges = draw(st.lists(st.integers(0, 100_000), unique=True, max_size=12).map(sorted))
    return Sunlight(intervals=tuple(zip(edges[::2], edges[1::2], strict=False)))


@st.composite
def batteries(draw):
    capacity_j = draw(st.floats(1, 1e6))
    return Battery(capacity_j=capacity_j, charge_j=draw(st.floats(0, 1)) * capacity_j)


def assert_books_balance(start, battery):
    assert 0 <= battery.charge_j <= battery.capacity_j
    into = start.charge_j + battery.harvested_j
    out = battery.charge_j + battery.drawn_j + battery.clipped_j
    assert into == pytest.approx(out, rel=1e-9, abs=1e-6)


@given(batteries(), st.lists(st.tuples(st.booleans(), energies), max_size=30))
def test_books_balance_through_draws_and_harvests(battery, events):
    start, asked_j = battery, 0.0
    for is_draw, energy_j in events:
        battery = battery.draw(energy_j) if is_draw else battery.harvest(energy_j)
        asked_j += energy_j * is_draw
        assert_books_balance(start, battery)
    assert battery.drawn_j + battery.unmet_j == pytest.approx(asked_j, rel=1e-9, abs=1e-6)


@given(
    batteries(),
    sunlights(),
    st.lists(st.integers(0, 120_000), min_size=2, max_size=6).map(sorted),
    st.floats(0, 50),
    st.floats(0, 50),
)
def test_time_may_be_cut_anywhere(battery, sunlight, cuts_ms, panel_w, load_w):
    """Advancing in one step or in several ends in the same state: only sunrises and sunsets matter."""
    flow = {"sunlight": sunlight, "panel_w": panel_w, "load_w": load_w}
    at_once = battery.advance(cuts_ms[0], cuts_ms[-1], **flow)
    in_steps = battery
    for start_ms, end_ms in pairwise(cuts_ms):
        in_steps = in_steps.advance(start_ms, end_ms, **flow)
        assert_books_balance(battery, in_steps)
    assert in_steps.charge_j == pytest.approx(at_once.charge_j, rel=1e-9, abs=1e-6)
    assert in_steps.unmet_j == pytest.approx(at_once.unmet_j, rel=1e-9, abs=1e-6)
    assert at_once.harvested_j == pytest.approx(panel_w * sunlight.lit_ms(cuts_ms[0], cuts_ms[-1]) / 1000, abs=1e-6)


def test_a_day_by_hand():
    """10 W of panel, 4 W of load: 2 s dark, then 1 s lit to the brim, in round numbers."""
    battery = Battery(capacity_j=20.0, charge_j=17.0)
    dark = battery.advance(4_000, 6_000, sunlight=LIT, panel_w=10.0, load_w=4.0)
    assert dark.charge_j == pytest.approx(9.0)
    lit = dark.advance(9_000, 11_000, sunlight=LIT, panel_w=10.0, load_w=4.0)
    assert (lit.charge_j, lit.harvested_j, lit.clipped_j) == (20.0, 20.0, pytest.approx(1.0))
    assert lit.unmet_j == 0


def test_an_empty_battery_browns_out_and_never_goes_negative():
    battery = Battery(capacity_j=50.0, charge_j=3.5).draw(5.0)
    assert (battery.charge_j, battery.drawn_j, battery.unmet_j) == (0.0, 3.5, 1.5)
    assert battery.harvest(50.0).unmet_j > 0  # a brown-out is not forgotten


def test_panels_that_cover_the_load_keep_an_empty_battery_alive():
    battery = Battery(capacity_j=50.0, charge_j=0.0).advance(9_000, 19_000, sunlight=LIT, panel_w=5.0, load_w=5.0)
    assert (battery.charge_j, battery.drawn_j, battery.unmet_j) == (0.0, 50.0, 0.0)


@given(sunlights(), st.integers(0, 100_000), st.integers(0, 100_000))
def test_phases_tile_the_span_and_agree_with_counting(sunlight, one_ms, other_ms):
    start_ms, end_ms = min(one_ms, other_ms), max(one_ms, other_ms)
    phases = sunlight.phases(start_ms, end_ms)
    at_ms = start_ms
    for phase_start_ms, phase_end_ms, lit in phases:
        assert phase_start_ms == at_ms < phase_end_ms
        middle_ms = (phase_start_ms + phase_end_ms) / 2
        assert lit == any(rise <= middle_ms < fall for rise, fall in sunlight.intervals)
        at_ms = phase_end_ms
    assert at_ms == end_ms
    overlaps = (max(0, min(fall, end_ms) - max(rise, start_ms)) for rise, fall in sunlight.intervals)
    assert sunlight.lit_ms(start_ms, end_ms) == sum(overlaps)


def test_the_next_sunrise():
    assert [LIT.eclipse_end_ms(now_ms) for now_ms in (0, 1_000, 5_000, 8_999, 9_000)] == [
        1_000,
        6_000,
        6_000,
        9_000,
        None,
    ]


@pytest.mark.parametrize("intervals", [((5, 5),), ((5, 4),), ((1, 5), (4, 8)), ((6, 8), (1, 2))])
def test_impossible_sunlight_is_refused(intervals):
    with pytest.raises(EnergyError, match="disjoint"):
        Sunlight(intervals=intervals)


@pytest.mark.parametrize(
    ("capacity_j", "charge_j"), [(0.0, 0.0), (-5.0, 0.0), (10.0, 10.5), (10.0, -0.5), (10.0, float("nan"))]
)
def test_impossible_batteries_are_refused(capacity_j, charge_j):
    with pytest.raises(EnergyError, match="cannot hold"):
        Battery(capacity_j=capacity_j, charge_j=charge_j)


def test_impossible_amounts_are_refused():
    battery = Battery(capacity_j=10.0, charge_j=5.0)
    with pytest.raises(EnergyError, match=r"draw -1\.5 J"):
        battery.draw(-1.5)
    with pytest.raises(EnergyError, match="give nan J"):
        battery.harvest(float("nan"))
    with pytest.raises(EnergyError, match="back to 3 ms"):
        battery.advance(4, 3, sunlight=LIT, panel_w=1.0, load_w=1.0)

"""The governor in real time: joules never exceed what the limit left, more power never gives less effort, nothing flaps."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard.eps_reading import EpsReading
from onboard.errors import EnergyError
from onboard.governor import Decision, Effort
from onboard.power_budget import SHORTEST_WAIT_MS, BudgetLimits, PowerBudget, Wait

LIMITS = BudgetLimits(idle_w=6.0, radio_w=12.0, reserve_fraction=0.3, floor_fraction=0.15, burst_j=4.0)
WELL = EpsReading(charge_fraction=0.8, cap_w=24.0, temperature_c=30.0, critical_c=85.0)
START_MS = 7_000_000_123


def budget_after(*readings, limits=LIMITS, radio_on=False, each_ms=1000):
    budget = PowerBudget(limits, now_ms=START_MS)
    now_ms = START_MS
    for reading in readings:
        budget.observe(reading, radio_on=radio_on, now_ms=now_ms)
        now_ms += each_ms
    return budget, now_ms


def asked(budget, now_ms, *, screen_only_j=2.0, detect_j=3.0):
    return budget.decide(screen_only_j=screen_only_j, detect_j=detect_j, now_ms=now_ms)


def rank(answer):
    """Higher is more: DETECT, SCREEN_ONLY, a short wait, a long wait."""
    return (1, int(answer.effort)) if isinstance(answer, Decision) else (0, -answer.for_ms)


def test_without_any_word_nothing_is_limited():
    budget, now_ms = budget_after(EpsReading())
    assert asked(budget, now_ms).effort is Effort.DETECT
    budget.spend(1e6)
    assert asked(budget, now_ms).effort is Effort.DETECT
    assert budget.available_w is None


def test_below_the_idle_power_nothing_begins():
    budget, now_ms = budget_after(replace(WELL, cap_w=5.0), replace(WELL, cap_w=5.0))
    for hour in range(3):
        answer = asked(budget, now_ms + hour * 3_600_000)
        assert answer == Wait(for_ms=500, reason="the limit of 5.00 W leaves -1.00 W to work with")
    assert budget.available_w == 0.0


def test_what_was_saved_is_lost_when_the_limit_falls_below_the_idle_power():
    budget, now_ms = budget_after(WELL, WELL, replace(WELL, cap_w=5.0), replace(WELL, cap_w=7.0))
    answer = asked(budget, now_ms - 1000)
    assert isinstance(answer, Wait) and "3.00 J of 3.00 J" in answer.reason


def test_a_tile_begins_when_its_price_is_saved():
    budget, _ = budget_after(replace(WELL, cap_w=8.0))  # 2 W: a tile of 3 J waits 1.5 s
    assert asked(budget, START_MS).for_ms == 500
    assert asked(budget, START_MS + 1400).for_ms == 101
    decision = asked(budget, START_MS + 1500)
    assert decision.effort is Effort.DETECT
    assert "DETECT costs about 3.00 J" in decision.reason and "2.00 W" in decision.reason
    budget.spend(3.5)
    debt = budget.debt(now_ms=START_MS + 1500)
    assert debt is not None and debt.for_ms == 251  # half a joule at 2 W
    assert budget.debt(now_ms=START_MS + 1751) is None


def test_the_radio_takes_its_share_while_it_is_on():
    budget, now_ms = budget_after(replace(WELL, cap_w=20.0), radio_on=True)
    assert budget.available_w == pytest.approx(2.0)
    budget.observe(replace(WELL, cap_w=20.0), radio_on=False, now_ms=now_ms)
    assert budget.available_w == pytest.approx(14.0)


def test_a_tile_dearer_than_the_burst_still_has_its_turn():
    budget, _ = budget_after(replace(WELL, cap_w=7.0))
    assert isinstance(asked(budget, START_MS, detect_j=50.0), Wait)
    for second in range(49):
        assert isinstance(asked(budget, START_MS + 1000 * second, detect_j=50.0), Wait)
    assert asked(budget, START_MS + 50_001, detect_j=50.0).effort is Effort.DETECT


@pytest.mark.parametrize(
    ("charge", "allowed"),
    [
        (1.0, Effort.DETECT),
        (0.3, Effort.DETECT),
        (0.299, Effort.SCREEN_ONLY),
        (0.15, Effort.SCREEN_ONLY),
        (0.149, None),
    ],
)
def test_charge(charge, allowed):
    answer = asked(*budget_after(EpsReading(charge_fraction=charge)))
    assert (answer.effort if isinstance(answer, Decision) else None) == allowed
    if allowed is None:
        assert "14.9% is below the floor of 15%" in answer.reason


def test_charge_lets_go_a_band_above_where_it_took_hold():
    budget = PowerBudget(LIMITS, now_ms=0)
    efforts = []
    for at, charge in enumerate((0.31, 0.29, 0.30, 0.31, 0.319, 0.321, 0.30, 0.14, 0.16, 0.171, 0.14, 0.33)):
        budget.observe(EpsReading(charge_fraction=charge), radio_on=False, now_ms=at)
        answer = asked(budget, at)
        efforts.append(answer.effort.name if isinstance(answer, Decision) else "WAIT")
    low, high = "SCREEN_ONLY", "DETECT"
    assert efforts == [high, low, low, low, low, high, high, "WAIT", "WAIT", low, "WAIT", high]


def test_a_full_battery_is_above_every_limit():
    budget = PowerBudget(replace(LIMITS, reserve_fraction=1.0), now_ms=0)
    for charge, effort in ((0.99, Effort.SCREEN_ONLY), (1.0, Effort.DETECT)):
        budget.observe(EpsReading(charge_fraction=charge), radio_on=False, now_ms=0)
        assert asked(budget, 0).effort is effort


def test_heat_waits_and_lets_go_some_degrees_below():
    budget = PowerBudget(LIMITS, now_ms=0)
    waits = []
    for at, now_c in enumerate((79.9, 80.0, 79.0, 77.0, 76.9, 79.9, 85.0, 90.0, 60.0)):
        budget.observe(EpsReading(temperature_c=now_c, critical_c=85.0), radio_on=False, now_ms=at)
        waits.append(isinstance(asked(budget, at), Wait))
    assert waits == [False, True, True, True, False, False, True, True, False]


def test_heat_says_where_it_ends():
    budget, now_ms = budget_after(replace(WELL, temperature_c=81.25))
    assert asked(budget, now_ms).reason == "81.2 degC is too near the critical 85.0 degC; work goes on below 77.0 degC"


def test_what_was_said_once_stays_in_force():
    """A power system that falls silent lifts no limit; after a while nothing is searched."""
    budget, now_ms = budget_after(replace(WELL, cap_w=5.0), None, EpsReading(), None)
    assert isinstance(asked(budget, now_ms), Wait)
    budget, now_ms = budget_after(WELL, None)
    assert asked(budget, now_ms).effort is Effort.DETECT
    answer = asked(budget, now_ms + 30_001)
    assert answer.effort is Effort.SCREEN_ONLY
    assert "has not said charge_fraction, cap_w, temperature_c, critical_c for 31 s" in answer.reason
    budget.observe(WELL, radio_on=False, now_ms=now_ms + 31_000)
    assert asked(budget, now_ms + 32_000).effort is Effort.DETECT


def test_one_word_missing_is_blindness_too():
    budget, now_ms = budget_after(WELL, *[replace(WELL, charge_fraction=None)] * 32)
    answer = asked(budget, now_ms)
    assert answer.effort is Effort.SCREEN_ONLY and "has not said charge_fraction for 32 s" in answer.reason


def test_where_one_word_is_missing_the_others_count():
    budget, now_ms = budget_after(WELL, EpsReading(cap_w=5.0))
    assert "the limit of 5.00 W" in asked(budget, now_ms).reason
    assert budget.reading == EpsReading(charge_fraction=0.8, cap_w=5.0, temperature_c=30.0, critical_c=85.0)


def test_a_long_rest_is_no_blindness():
    budget, _ = budget_after(WELL)
    budget.observe(None, radio_on=False, now_ms=START_MS + 3_600_000)
    assert asked(budget, START_MS + 3_600_000).effort is Effort.DETECT


def test_time_that_goes_back_gives_nothing():
    budget, _ = budget_after(replace(WELL, cap_w=8.0))
    assert isinstance(asked(budget, START_MS - 100_000), Wait)
    assert isinstance(asked(budget, START_MS), Wait)
    assert asked(budget, START_MS + 1500).effort is Effort.DETECT


@pytest.mark.parametrize(
    "wrong",
    [
        {"floor_fraction": 0.4},
        {"reserve_fraction": 1.1},
        {"idle_w": -1.0},
        {"radio_w": float("nan")},
        {"burst_j": -0.1},
    ],
)
def test_impossible_limits(wrong):
    with pytest.raises(EnergyError):
        replace(LIMITS, **wrong)


def test_impossible_costs():
    budget, _ = budget_after(WELL)
    for energy_j in (-1.0, float("nan")):
        with pytest.raises(EnergyError, match="cannot cost"):
            budget.spend(energy_j)


readings = st.builds(
    EpsReading,
    charge_fraction=st.floats(0, 1),
    cap_w=st.floats(0, 40),
    temperature_c=st.floats(-20, 100),
    critical_c=st.just(85.0),
)
richer = st.tuples(st.floats(0, 1), st.floats(0, 40), st.floats(0, 100))


@given(
    st.lists(st.tuples(readings, richer, st.integers(0, 5000)), min_size=1, max_size=12),
    st.booleans(),
    st.sampled_from([(2.0, True), (3.0, False)]),
)
def test_more_power_never_gives_less_effort(history, radio_on, varied):
    """Two satellites with the same history, but one has a higher limit and cooler electronics all the time, and more charge.

    With more charge a tile may get the detector, whose price takes longer to save; so there both efforts cost the same.
    """
    detect_j, more_charge = varied
    poor, rich = PowerBudget(LIMITS, now_ms=0), PowerBudget(LIMITS, now_ms=0)
    now_ms = 0
    for reading, (charge, cap_w, cooler_c), step_ms in history:
        better = replace(
            reading,
            charge_fraction=min(1.0, reading.charge_fraction + charge * more_charge),
            cap_w=reading.cap_w + cap_w,
            temperature_c=reading.temperature_c - cooler_c,
        )
        now_ms += step_ms
        poor.observe(reading, radio_on=radio_on, now_ms=now_ms)
        rich.observe(better, radio_on=False, now_ms=now_ms)
        assert rank(asked(rich, now_ms, detect_j=detect_j)) >= rank(asked(poor, now_ms, detect_j=detect_j))


@given(
    st.lists(
        st.tuples(st.floats(0, 40), st.booleans(), st.floats(0.1, 12), st.floats(0.2, 3.0), st.integers(1, 3000)),
        min_size=1,
        max_size=60,
    )
)
def test_over_any_time_no_more_is_spent_than_was_there(history):
    """A worker that asks, works, and is charged something else than the price; every window of its life is summed up."""
    budget = PowerBudget(LIMITS, now_ms=0)
    now_ms, spans, spent, dearest_j, overrun_j = 0, [], [], 0.0, 0.0
    for cap_w, radio_on, price_j, factor, pause_ms in history:
        budget.observe(EpsReading(cap_w=cap_w), radio_on=radio_on, now_ms=now_ms)
        for _ in range(40):
            answer = asked(budget, now_ms, screen_only_j=price_j, detect_j=price_j)
            begin_ms = now_ms
            if isinstance(answer, Wait):
                assert SHORTEST_WAIT_MS <= answer.for_ms <= LIMITS.look_again_ms
                now_ms += answer.for_ms
                spans.append((begin_ms, now_ms, max(0.0, cap_w - 6 - 12 * radio_on)))
                continue
            budget.spend(price_j * factor)
            spent.append((begin_ms, price_j * factor))
            dearest_j, overrun_j = max(dearest_j, price_j), max(overrun_j, price_j * (factor - 1))
            break
        begin_ms, now_ms = now_ms, now_ms + pause_ms
        spans.append((begin_ms, now_ms, max(0.0, cap_w - 6 - 12 * radio_on)))
    depth_j = max(LIMITS.burst_j, dearest_j)
    for first, (from_ms, _) in enumerate(spent):
        for until_ms, _ in spent[first:]:
            there_j = sum(
                power_w * (min(end, until_ms) - max(start, from_ms)) / 1000
                for start, end, power_w in spans
                if start < until_ms and end > from_ms
            )
            spent_j = sum(joules for at_ms, joules in spent if from_ms <= at_ms <= until_ms)
            assert spent_j <= there_j + depth_j + overrun_j + 1e-6

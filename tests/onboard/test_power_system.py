"""The power system: every joule of the ledger is the battery's, whatever the order of work, time, light and contacts."""

from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.battery import Battery
from onboard.energy_forecast import Loads
from onboard.energy_prices import EnergyPrices, EnergyStep
from onboard.governor import Effort
from onboard.meter import ModelMeter
from onboard.power_system import PowerSystem
from onboard.sunlight import Sunlight

START_MS = 1_750_000_000_000
PRICES = EnergyPrices(
    ingest_j_per_mpix=1.0, screen_j_per_mpix=2.0, store_j_per_mpix=10.0, detect_j_per_mpix=40.0, encode_j_per_mpix=25.0
)
LOADS = Loads(panel_w=20.0, idle_w=6.0, radio_w=12.0)


def power(
    charge_j=500.0,
    *,
    reserve_j=100.0,
    loads=LOADS,
    sunlight=((30_000, 60_000), (90_000, 120_000)),
    contacts=((40_000, 50_000),),
):
    return PowerSystem(
        Battery(capacity_j=1000.0, charge_j=charge_j),
        reserve_j=reserve_j,
        loads=loads,
        sunlight=Sunlight(intervals=tuple((START_MS + rise, START_MS + set_) for rise, set_ in sunlight)),
        contacts_ms=[(START_MS + aos, START_MS + los) for aos, los in contacts],
        prices=PRICES,
        meter=ModelMeter(PRICES),
        start_ms=START_MS,
    )


def test_time_is_charged_by_the_watt_with_the_radio_only_during_contacts():
    system = power()
    system.advance(START_MS + 100_000)
    assert system.ledger.by_step[EnergyStep.IDLE] == pytest.approx(600.0)
    assert system.ledger.by_step[EnergyStep.TRANSMIT] == pytest.approx(120.0)
    # 40 s of light give 800 J; bus and radio take 720 J.
    assert system.battery.charge_j == pytest.approx(500 + 800 - 720)


def test_many_small_steps_come_to_the_same_as_one_large_one():
    whole, bits = power(), power()
    whole.advance(START_MS + 95_000)
    for ms in range(0, 95_001, 777):
        bits.advance(START_MS + ms)
    bits.advance(START_MS + 95_000)
    assert bits.battery.charge_j == pytest.approx(whole.battery.charge_j)
    assert bits.ledger.by_step == pytest.approx(whole.ledger.by_step)


def test_an_earlier_time_changes_nothing():
    system = power()
    system.advance(START_MS + 10_000)
    before = (system.now_ms, system.battery, len(system.history))
    system.advance(START_MS + 3_000)
    system.advance(START_MS + 10_000)
    assert (system.now_ms, system.battery, len(system.history)) == before


def test_history_has_every_edge_of_light_and_contact():
    system = power()
    system.advance(START_MS + 100_000)
    assert [point.at_ms - START_MS for point in system.history] == [0, 30_000, 40_000, 50_000, 60_000, 90_000, 100_000]
    assert [point.sunlit for point in system.history] == [False, True, True, True, False, True, True]
    steps = [point.step for point in system.history]
    assert [step is EnergyStep.TRANSMIT for step in steps] == [False, False, False, True, False, False, False]


def test_work_that_fails_is_charged_all_the_same():
    system = power()
    with pytest.raises(RuntimeError, match="radiation"), system.charge(EnergyStep.DETECT, 0.5):
        raise RuntimeError("radiation")
    assert system.ledger.by_step[EnergyStep.DETECT] == pytest.approx(20.0)
    assert system.battery.charge_j == pytest.approx(480.0)
    assert system.history[-1].step is EnergyStep.DETECT


def test_a_meter_that_does_not_start_charges_nothing_and_hides_nothing():
    system = power()

    @contextmanager
    def broken(step, *, megapixels):
        raise OSError("counter gone")
        yield

    system.meter.measure = broken
    with pytest.raises(OSError, match="counter gone"), system.charge(EnergyStep.SCREEN, 1.0):
        raise AssertionError("the work must not start")
    assert system.ledger.spent_j == 0


WORK = st.one_of(
    st.tuples(st.just("advance"), st.integers(0, 40_000)),
    st.tuples(
        st.sampled_from([step for step in EnergyStep if step not in (EnergyStep.TRANSMIT, EnergyStep.IDLE)]),
        st.floats(0, 9),
    ),
)


@settings(max_examples=60)
@given(st.lists(WORK, max_size=15), st.floats(0, 1000))
def test_the_ledger_is_what_the_battery_gave_and_what_it_could_not_give(work, charge_j):
    system = power(charge_j)
    for what, amount in work:
        if what == "advance":
            system.advance(system.now_ms + amount)
        else:
            with system.charge(what, amount):
                pass
    battery = system.battery
    assert system.ledger.spent_j == pytest.approx(battery.drawn_j + battery.unmet_j)
    assert charge_j + battery.harvested_j == pytest.approx(battery.charge_j + battery.drawn_j + battery.clipped_j)
    times = [point.at_ms for point in system.history]
    assert times == sorted(times)
    assert system.history[-1].charge_j == battery.charge_j


def test_effort_falls_with_charge_and_is_never_bought_with_the_reserve():
    # No light and no contact to come: what a tile of 1 Mpix costs (13 J screened, 53 J searched) is all there is.
    efforts = [
        power(charge_j, sunlight=(), contacts=()).decide(1.0).effort for charge_j in (153.0, 152.9, 113.0, 112.9)
    ]
    assert efforts == [Effort.DETECT, Effort.SCREEN_ONLY, Effort.SCREEN_ONLY, Effort.SKIP]


def test_a_contact_and_an_eclipse_to_come_are_paid_first():
    # The bus takes 180 J before sunrise at 30 s; from then on light pays for bus and radio.
    assert power(100 + 180 + 53.0).decide(1.0).effort is Effort.DETECT
    assert power(100 + 180 + 52.9).decide(1.0).effort is Effort.SCREEN_ONLY
    assert power(100 + 180 + 12.9).decide(1.0).effort is Effort.SKIP


def test_a_step_on_its_own_may_be_done_down_to_the_reserve_and_no_further():
    # Coding 1 Mpix costs 25 J; the same contact and eclipse are paid first.
    assert power(125.0, sunlight=(), contacts=()).may_spend(EnergyStep.ENCODE, 1.0).is_allowed
    refused = power(124.9, sunlight=(), contacts=()).may_spend(EnergyStep.ENCODE, 1.0)
    assert not refused.is_allowed and "costs 25.00 J" in refused.reason and "reserve 100.0 J" in refused.reason
    assert power(100 + 180 + 25.0).may_spend(EnergyStep.ENCODE, 1.0).is_allowed
    assert not power(100 + 180 + 24.9).may_spend(EnergyStep.ENCODE, 1.0).is_allowed

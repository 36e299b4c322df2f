"""The worker follows the power system, in virtual time: it waits for power, loses no tile, and stays within the limit."""

import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission.live.worker_power import ComputePower, WorkerPower, WorkerPowerReport, budget_limits, worker_power
from mission.scenario_onboard import PowerSection
from onboard.energy_prices import EnergyPrices, EnergyStep
from onboard.eps_reading import EpsReading
from onboard.errors import EnergyError
from onboard.governor import Effort
from onboard.meter import Meter

PRICES = EnergyPrices(ingest_j_per_mpix=0.3, screen_j_per_mpix=0.08, detect_j_per_mpix=2.6, encode_j_per_mpix=10.3)
TILE_MPIX = 0.262144
SCREEN_ONLY_J = 10.68 * TILE_MPIX
DETECT_J = 13.28 * TILE_MPIX
WELL = EpsReading(charge_fraction=0.8, cap_w=24.0, temperature_c=30.0, critical_c=85.0, sources=("eps",))
CORE_W = 4.0
STEPS = (EnergyStep.INGEST, EnergyStep.SCREEN, EnergyStep.DETECT, EnergyStep.ENCODE)


class Satellite(Meter):
    """A worker on a satellite whose time passes only while it works or waits. Work takes its joules at 4 W."""

    name = "virtual"

    def __init__(self, section=None, *, dearer=1.0):
        self.now_ms = 1_000_000
        self.eps = WELL
        self.planned = []
        self.radio_on = False
        self.dearer = dearer
        self.work = []
        self.reports = []
        self.reads = 0
        self.power = WorkerPower(
            self.read,
            limits=budget_limits(section or PowerSection()),
            prices=PRICES,
            meter=self,
            radio_on=lambda: self.radio_on,
            on_report=self.reports.append,
            clock_ms=lambda: self.now_ms,
            sleep=self.pass_time,
        )

    def read(self):
        self.reads += 1
        if isinstance(self.eps, EnergyError):
            raise self.eps
        return self.eps

    def at(self, after_ms, eps):
        """The power system says something else from then on."""
        self.planned.append((self.now_ms + after_ms, eps))

    def pass_time(self, duration_ms):
        assert duration_ms > 0
        self.now_ms += duration_ms
        while self.planned and self.planned[0][0] <= self.now_ms:
            self.eps = self.planned.pop(0)[1]

    def begin(self, step, megapixels):
        energy_j = PRICES.step_j(step, megapixels) * self.dearer

        def finish():
            self.pass_time(max(1, round(1000 * energy_j / CORE_W)))
            self.work.append((self.now_ms, energy_j))
            return energy_j

        return finish

    def tile(self):
        decision = self.power.decide(TILE_MPIX)
        for step in STEPS:
            if step is not EnergyStep.DETECT or decision.effort is Effort.DETECT:
                with self.power.charge(step, TILE_MPIX):
                    pass
        return decision.effort

    def spent_j(self, from_ms, until_ms):
        return sum(joules for at_ms, joules in self.work if from_ms < at_ms <= until_ms)


def test_with_ample_power_work_never_waits_long():
    satellite = Satellite()
    began_ms = satellite.now_ms
    assert [satellite.tile() for _ in range(20)] == [Effort.DETECT] * 20
    assert satellite.now_ms - began_ms == pytest.approx(20 * 1000 * DETECT_J / CORE_W, rel=0.02)
    report = satellite.power.report()
    assert (report.detect, report.screen_only, report.cap_w) == (20, 0, 24.0)
    assert report.spent_j == pytest.approx(20 * DETECT_J)
    assert report.compute_w == pytest.approx(CORE_W, rel=0.02)


def test_at_5_w_with_6_w_idle_no_work_is_done_and_none_is_lost():
    """Work goes on within half a second of the limit's rise, and every tile is worked in the end."""
    satellite = Satellite()
    assert satellite.tile() is Effort.DETECT
    satellite.eps = replace(WELL, cap_w=5.0)
    satellite.at(600_000, replace(WELL, cap_w=5.9))
    satellite.at(1_200_000, WELL)
    dropped_ms = satellite.now_ms
    efforts = [satellite.tile() for _ in range(5)]
    assert efforts == [Effort.DETECT] * 5
    resumed_ms = dropped_ms + 1_200_000
    assert satellite.spent_j(dropped_ms, resumed_ms) == 0
    assert satellite.work[len(STEPS)][0] < resumed_ms + 1000
    report = satellite.power.report()
    assert (report.detect, report.waiting) == (6, False)
    assert report.waited_ms >= 1_200_000


def test_coding_is_refused_at_once_where_there_is_no_power_for_it():
    satellite = Satellite()
    satellite.eps = replace(WELL, cap_w=7.0)
    began_ms = satellite.now_ms
    satellite.pass_time(1000)
    refused = satellite.power.may_spend(EnergyStep.ENCODE, TILE_MPIX)
    assert not refused.is_allowed and "still to be saved" in refused.reason
    assert satellite.now_ms == began_ms + 1000, "more urgent work may come meanwhile"
    assert satellite.power.report().waiting and satellite.reports[-1].reason == refused.reason
    while not satellite.power.may_spend(EnergyStep.ENCODE, TILE_MPIX).is_allowed:
        satellite.pass_time(500)
    assert satellite.now_ms - began_ms == pytest.approx(1000 * 10.3 * TILE_MPIX / 1.0, abs=2000)
    assert not satellite.power.report().waiting
    satellite.eps = replace(WELL, cap_w=5.0)
    satellite.pass_time(1000)
    assert not satellite.power.may_spend(EnergyStep.ENCODE, TILE_MPIX).is_allowed
    satellite.power.rest()
    assert not satellite.power.report().waiting and not satellite.reports[-1].waiting


def test_while_it_waits_it_says_so():
    satellite = Satellite()
    satellite.eps = replace(WELL, cap_w=5.0)
    satellite.at(60_000, WELL)
    satellite.tile()
    waiting = [report for report in satellite.reports if report.waiting]
    assert len(waiting) == pytest.approx(120, abs=3)
    assert all("leaves -1.00 W" in report.reason and report.compute_w == 0 for report in waiting[2:118])
    assert waiting[60].waited_ms == pytest.approx(30_000, abs=600)
    assert waiting[60].available_w == 0 and waiting[60].cap_w == 5.0
    assert not satellite.reports[-1].waiting


def test_hot_electronics_wait_until_they_are_cool():
    satellite = Satellite()
    satellite.eps = replace(WELL, temperature_c=81.0)
    satellite.at(30_000, replace(WELL, temperature_c=78.0))
    satellite.at(60_000, replace(WELL, temperature_c=76.0))
    began_ms = satellite.now_ms
    assert satellite.tile() is Effort.DETECT
    assert satellite.work[0][0] >= began_ms + 60_000


def test_a_low_battery_screens_then_waits_then_comes_back():
    satellite = Satellite()
    satellite.eps = replace(WELL, charge_fraction=0.25)
    assert satellite.tile() is Effort.SCREEN_ONLY
    assert len(satellite.work) == 3
    satellite.pass_time(1000)
    satellite.eps = replace(WELL, charge_fraction=0.1)
    satellite.at(60_000, replace(WELL, charge_fraction=0.16))
    satellite.at(120_000, replace(WELL, charge_fraction=0.2))
    satellite.at(300_000, replace(WELL, charge_fraction=0.33))
    began_ms = satellite.now_ms
    assert satellite.tile() is Effort.SCREEN_ONLY
    assert satellite.work[3][0] >= began_ms + 120_000
    satellite.pass_time(300_000)
    assert satellite.tile() is Effort.DETECT
    report = satellite.power.report()
    assert (report.detect, report.screen_only) == (1, 2)


def test_a_power_system_that_cannot_be_read_is_counted_and_its_limit_stays():
    satellite = Satellite()
    satellite.eps = replace(WELL, cap_w=5.0)
    satellite.at(10_000, EnergyError("power file power1_cap cannot be read"))
    satellite.at(100_000, WELL)
    began_ms = satellite.now_ms
    satellite.tile()
    assert satellite.work[0][0] > began_ms + 100_000
    troubled = [report for report in satellite.reports if report.problem]
    assert troubled[-1].problem == "power file power1_cap cannot be read" and troubled[-1].problems > 100
    assert satellite.power.report().problem == ""


def test_the_power_system_is_not_asked_all_the_time():
    satellite = Satellite()
    began_ms = satellite.now_ms
    for _ in range(2000):
        with satellite.power.charge(EnergyStep.SCREEN, 0.001):
            pass
    assert satellite.reads <= (satellite.now_ms - began_ms) / 250 + 2


def test_the_radio_slows_work_down():
    took_ms = []
    for radio_on in (False, True):
        satellite = Satellite()
        satellite.eps = replace(WELL, cap_w=20.0)
        satellite.radio_on = radio_on
        began_ms = satellite.now_ms
        for _ in range(20):
            satellite.tile()
        took_ms.append(satellite.now_ms - began_ms)
    assert took_ms[1] == pytest.approx(20 * DETECT_J / 2.0 * 1000, rel=0.05)  # 20 - 6 - 12 W
    assert took_ms[0] == pytest.approx(20 * DETECT_J / CORE_W * 1000, rel=0.05)


def test_work_that_fails_has_cost_its_joules():
    satellite = Satellite()
    satellite.power.decide(TILE_MPIX)
    with pytest.raises(ZeroDivisionError), satellite.power.charge(EnergyStep.DETECT, TILE_MPIX):
        raise ZeroDivisionError
    assert satellite.power.report().spent_j == pytest.approx(2.6 * TILE_MPIX)


def test_what_the_report_raises_ends_the_wait():
    """A worker whose parent is gone must not wait for power for ever."""
    satellite = Satellite()
    satellite.eps = replace(WELL, cap_w=0.0)

    def broken(report):
        raise BrokenPipeError

    satellite.power._on_report = broken
    with pytest.raises(BrokenPipeError):
        satellite.power.decide(TILE_MPIX)


def test_reports_go_through_a_pipe():
    report = Satellite().power.report()
    assert pickle.loads(pickle.dumps(report)) == report
    assert isinstance(report, WorkerPowerReport)


limits_w = st.one_of(st.floats(0, 6), st.floats(6.05, 12), st.floats(12, 30))


@given(st.lists(st.tuples(limits_w, st.integers(500, 30_000)), min_size=1, max_size=6), st.floats(0.1, 2.5))
@settings(max_examples=40, deadline=None)
def test_mean_power_stays_within_the_limit(history, dearer):
    """Tiles that cost something else than their price, under a limit that changes: idle and work together keep it on average.

    A change is noticed within the 0.25 s between readings, or at the next step, which takes as long as it takes.
    """
    satellite = Satellite(dearer=dearer)
    satellite.eps = replace(WELL, cap_w=history[0][0])
    at_ms, phases = satellite.now_ms, []
    for cap_w, length_ms in history:
        satellite.at(at_ms - satellite.now_ms, replace(WELL, cap_w=cap_w))
        phases.append((at_ms, at_ms + length_ms, cap_w))
        at_ms += length_ms
    satellite.at(at_ms - satellite.now_ms, replace(WELL, cap_w=24.0))
    for _ in range(12):
        assert satellite.tile() is Effort.DETECT
        if satellite.now_ms > at_ms:
            break
    step_j = DETECT_J * dearer
    for from_ms, until_ms, cap_w in phases:
        # What was begun before the limit fell ends after it; what was saved before may be spent after it.
        allowed_j = max(0.0, cap_w - 6.0) * (until_ms - from_ms) / 1000 + 4.0 + step_j + 0.25 * 24.0
        assert satellite.spent_j(from_ms, until_ms) <= allowed_j + 1e-6


@given(st.floats(6.5, 9.5), st.floats(0.2, 3.0))
@settings(max_examples=25, deadline=None)
def test_a_constant_limit_is_used_up_and_kept(cap_w, dearer):
    """Over a few minutes: not above the limit but for the burst, and not far below it either."""
    satellite = Satellite(dearer=dearer)
    satellite.eps = replace(WELL, cap_w=cap_w)
    began_ms = satellite.now_ms
    while satellite.now_ms < began_ms + 300_000:
        satellite.tile()
    seconds = (satellite.now_ms - began_ms) / 1000
    spent_j = satellite.spent_j(began_ms, satellite.now_ms)
    assert spent_j <= (cap_w - 6.0) * seconds + 10.3 * TILE_MPIX * dearer
    assert spent_j >= 0.95 * min(CORE_W, cap_w - 6.0) * seconds - DETECT_J * dearer - 4.0


def test_mean_power_of_the_last_seconds():
    power = ComputePower(10_000)
    power.add(0, 4000, 8.0)
    power.add(5000, 6000, 6.0)
    assert power.mean_w(6000) == pytest.approx(1.4)
    assert power.mean_w(12_000) == pytest.approx((4.0 + 6.0) / 10)
    assert power.mean_w(15_500) == pytest.approx(0.3)
    assert power.mean_w(16_000) == 0.0


def test_a_port_from_a_scenario_section(tmp_path):
    limiter = tmp_path / "class/hwmon/hwmon0"
    limiter.mkdir(parents=True)
    (limiter / "name").write_text("eps\n")
    (limiter / "power1_cap").write_text("5500000\n")
    section = PowerSection(reserve_fraction=0.5, meter="model")
    slept = []

    def sleep(duration_ms):
        slept.append(duration_ms)
        (limiter / "power1_cap").write_text("900000000\n")

    port = worker_power(section, tmp_path, radio_on=lambda: False, on_report=lambda report: None, sleep=sleep)
    assert port._budget.limits.floor_fraction == 0.25
    port._clock_ms = lambda: 1_000_000_000_000 + 400 * len(slept)
    assert port.decide(TILE_MPIX).effort is Effort.DETECT
    assert slept and port.report().source == "hwmon0 eps, meter model"

"""Meters: one contract for all three, the powercap one on folders laid out as the kernel lays them out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard.energy_ledger import EnergyLedger
from onboard.energy_prices import EnergyPrices, EnergyStep
from onboard.errors import EnergyError, MeterError
from onboard.meter import CpuMeter, Meter, ModelMeter, PowercapMeter, PowercapZone, choose_meter

PRICES = EnergyPrices(ingest_j_per_mpix=0.25, screen_j_per_mpix=0.5, detect_j_per_mpix=1.5, encode_j_per_mpix=8.0)
RANGE_UJ = 262_143_328_850


class FakeMachine:
    """A processor whose CPU clock and counters move when told to: 4 W per core, so 0.5 s of work is 2 J."""

    def __init__(self, folder):
        self.folder = folder
        self.cpu_s = 123.456
        self.zones_uj = {}

    def add_zone(self, zone, label, start_uj):
        (self.folder / zone).mkdir(parents=True)
        (self.folder / zone / "name").write_text(f"{label}\n")
        (self.folder / zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self.zones_uj[zone] = start_uj
        self.write(zone)

    def write(self, zone):
        (self.folder / zone / "energy_uj").write_text(f"{self.zones_uj[zone]}\n")

    def work(self, seconds):
        """Half of the energy shows in the package, a quarter of it again in `core` (inside the package), half in DRAM."""
        self.cpu_s += seconds
        for zone, share in (
            ("intel-rapl:0", 0.5),
            ("intel-rapl:0:0", 0.25),
            ("intel-rapl:0:1", 0.5),
            ("intel-rapl:1", 9.0),
        ):
            if zone in self.zones_uj and share < 1:
                self.zones_uj[zone] = (self.zones_uj[zone] + round(seconds * 4e6 * share)) % (RANGE_UJ + 1)
                self.write(zone)


@pytest.fixture
def machine(tmp_path):
    made = FakeMachine(tmp_path / "powercap")
    made.add_zone("intel-rapl:0", "package-0", RANGE_UJ - 500_000)  # wraps within the first joule
    made.add_zone("intel-rapl:0:0", "core", 7_000_000)
    made.add_zone("intel-rapl:0:1", "dram", 3_141_592)
    made.add_zone("intel-rapl:1", "psys", 1_234_567)  # the whole board: contains the package, must not be added
    made.add_zone("intel-rapl-mmio:0", "package-0", 55)  # the same package seen another way, must not be added
    (made.folder / "intel-rapl").mkdir()
    return made


@pytest.fixture(params=["model", "cpu", "powercap"])
def meter(request, machine) -> Meter:
    return {
        "model": lambda: ModelMeter(PRICES),
        "cpu": lambda: CpuMeter(4.0, lambda: machine.cpu_s),
        "powercap": lambda: PowercapMeter(machine.folder),
    }[request.param]()


class TestEveryMeter:
    """0.5 s of work over 4 Mpix of screening is 2 J by every one of them."""

    def test_a_step_costs_its_joules(self, meter, machine):
        with meter.measure(EnergyStep.SCREEN, megapixels=4.0) as reading:
            machine.work(0.5)
            assert reading.energy_j == 0.0
        assert reading.step is EnergyStep.SCREEN
        assert reading.energy_j == pytest.approx(2.0, abs=2e-6)

    def test_steps_add_up(self, meter, machine):
        total_j = 0.0
        for _ in range(5):
            with meter.measure(EnergyStep.SCREEN, megapixels=0.8) as reading:
                machine.work(0.1)
            total_j += reading.energy_j
        assert total_j == pytest.approx(2.0, abs=1e-5)

    def test_no_work_costs_nothing(self, meter):
        with meter.measure(EnergyStep.ENCODE) as reading:
            pass
        assert reading.energy_j == 0.0

    def test_a_step_that_fails_is_charged_too(self, meter, machine):
        with (
            pytest.raises(RuntimeError, match="broken tile"),
            meter.measure(EnergyStep.SCREEN, megapixels=4.0) as reading,
        ):
            machine.work(0.5)
            raise RuntimeError("broken tile")
        assert reading.energy_j == pytest.approx(2.0, abs=2e-6)

    def test_work_between_steps_is_not_charged(self, meter, machine):
        machine.work(3.0)
        with meter.measure(EnergyStep.SCREEN, megapixels=4.0) as reading:
            machine.work(0.5)
        machine.work(3.0)
        assert reading.energy_j == pytest.approx(2.0, abs=2e-6)

    def test_impossible_pixels_are_refused(self, meter):
        with pytest.raises(EnergyError, match="-1"), meter.measure(EnergyStep.SCREEN, megapixels=-1.0):
            pass

    def test_it_says_its_name(self, meter):
        assert meter.name in ("model", "cpu", "powercap")


@given(st.integers(0, RANGE_UJ), st.integers(0, RANGE_UJ))
def test_one_wrap_of_a_counter_is_no_loss(before_uj, spent_uj):
    zone = PowercapZone(energy_file=None, range_uj=RANGE_UJ)
    assert zone.spent_uj(before_uj, (before_uj + spent_uj) % (RANGE_UJ + 1)) == spent_uj


def test_auto_prefers_counters_and_falls_back_to_cpu_seconds(machine, tmp_path):
    def choose(name, folder):
        return choose_meter(name, prices=PRICES, core_w=4.0, powercap_folder=folder)

    assert isinstance(choose("auto", machine.folder), PowercapMeter)
    assert isinstance(choose("auto", tmp_path / "absent"), CpuMeter)
    assert isinstance(choose("model", machine.folder), ModelMeter)
    assert isinstance(choose("cpu", machine.folder), CpuMeter)
    assert isinstance(choose("powercap", machine.folder), PowercapMeter)
    with pytest.raises(MeterError, match="absent; set power"):
        choose("powercap", tmp_path / "absent")


def test_a_counter_that_cannot_be_read_names_file_and_remedy(machine):
    (machine.folder / "intel-rapl:0" / "energy_uj").unlink()
    (machine.folder / "intel-rapl:0" / "energy_uj").mkdir()  # unreadable for every user, root included
    with pytest.raises(MeterError, match=r"intel-rapl:0 cannot be read.*read permission"):
        PowercapMeter(machine.folder)
    assert isinstance(choose_meter("auto", prices=PRICES, core_w=4.0, powercap_folder=machine.folder), CpuMeter)


def test_nonsense_in_a_counter_is_told(machine):
    (machine.folder / "intel-rapl:0" / "energy_uj").write_text("lots\n")
    with pytest.raises(MeterError, match="intel-rapl:0"):
        PowercapMeter(machine.folder)


def test_the_cpu_meter_measures_this_process():
    with choose_meter("cpu", prices=PRICES, core_w=4.0).measure(EnergyStep.DETECT) as reading:
        sum(range(300_000))
    assert 0 < reading.energy_j < 40


def test_prices_by_step():
    assert [PRICES.step_j(step, 2.0) for step in (EnergyStep.INGEST, EnergyStep.DETECT, EnergyStep.ENCODE)] == [
        0.5,
        3.0,
        16.0,
    ]
    with pytest.raises(EnergyError, match="not paid by the pixel"):
        PRICES.step_j(EnergyStep.TRANSMIT, 1.0)
    with pytest.raises(EnergyError, match="encode_j_per_mpix is -8"):
        EnergyPrices(ingest_j_per_mpix=1, screen_j_per_mpix=1, detect_j_per_mpix=1, encode_j_per_mpix=-8)


def test_impossible_core_power_is_refused():
    with pytest.raises(MeterError, match=r"0\.0 W"):
        CpuMeter(0.0)


@given(st.lists(st.tuples(st.sampled_from(EnergyStep), st.floats(0, 1e6)), max_size=40))
def test_the_ledger_keeps_every_joule_under_its_step(entries):
    ledger = EnergyLedger()
    for step, energy_j in entries:
        ledger.charge(step, energy_j)
    assert set(ledger.by_step) == set(EnergyStep)
    for step in EnergyStep:
        assert ledger.by_step[step] == pytest.approx(sum(energy_j for of, energy_j in entries if of is step))
    assert ledger.spent_j == pytest.approx(sum(energy_j for _, energy_j in entries))


def test_the_ledger_refuses_the_impossible():
    with pytest.raises(EnergyError, match="'detect' cannot cost nan"):
        EnergyLedger().charge(EnergyStep.DETECT, float("nan"))

"""Readings of the power system: one contract over trees as drivers lay them out, and what becomes of broken ones.

Layouts and units after the kernel's documents: Documentation/ABI/testing/sysfs-class-power (energy uWh, charge uAh, voltage uV,
current uA with discharging negative, temperature in tenths), Documentation/hwmon/ina3221.rst (in1..3 mV, curr1..3 mA, in4..6 shunt uV,
in7 and curr4 sums), Documentation/ABI/testing/sysfs-class-hwmon (powerY_cap uW, tempY in thousandths, ENODATA of a channel that is off),
Documentation/power/powercap/powercap.rst (zones, subzones, energy_uj).
"""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onboard.eps_reading import EpsReading, PowerRail, read_eps
from onboard.errors import EnergyError

ACPI_BATTERY = {
    # An ACPI battery that counts energy and gives power without a sign, discharging.
    "class/power_supply/BAT0/type": "Battery",
    "class/power_supply/BAT0/present": "1",
    "class/power_supply/BAT0/status": "Discharging",
    "class/power_supply/BAT0/capacity": "72",
    "class/power_supply/BAT0/energy_full_design": "57020000",
    "class/power_supply/BAT0/energy_full": "50000000",
    "class/power_supply/BAT0/energy_now": "36250000",
    "class/power_supply/BAT0/power_now": "8123000",
    "class/power_supply/BAT0/voltage_now": "11800000",
    "class/power_supply/AC/type": "Mains",
    "class/power_supply/AC/online": "0",
    # A wireless mouse: a battery, but not this machine's.
    "class/power_supply/hidpp_battery_0/type": "Battery",
    "class/power_supply/hidpp_battery_0/scope": "Device",
    "class/power_supply/hidpp_battery_0/capacity": "5",
}
FUEL_GAUGE = {
    # A bq27xxx gauge: ampere-hours, a signed current, tenths of a degree.
    "class/power_supply/bq27z561-0/type": "Battery",
    "class/power_supply/bq27z561-0/status": "Charging",
    "class/power_supply/bq27z561-0/capacity": "41",
    "class/power_supply/bq27z561-0/charge_full": "5200000",
    "class/power_supply/bq27z561-0/charge_now": "2132000",
    "class/power_supply/bq27z561-0/voltage_now": "7512000",
    "class/power_supply/bq27z561-0/voltage_min_design": "7200000",
    "class/power_supply/bq27z561-0/current_now": "-1250000",
    "class/power_supply/bq27z561-0/temp": "-53",
}
INA3221 = {
    "class/hwmon/hwmon3/name": "ina3221",
    "class/hwmon/hwmon3/in1_label": "VDD_IN",
    "class/hwmon/hwmon3/in1_enable": "1",
    "class/hwmon/hwmon3/in1_input": "5064",
    "class/hwmon/hwmon3/curr1_input": "1344",
    "class/hwmon/hwmon3/curr1_crit": "4000",
    "class/hwmon/hwmon3/shunt1_resistor": "5000",
    "class/hwmon/hwmon3/in2_label": "VDD_CPU_GPU_CV",
    "class/hwmon/hwmon3/in2_input": "5056",
    "class/hwmon/hwmon3/curr2_input": "-208",
    "class/hwmon/hwmon3/in3_label": "VDD_SOC",
    "class/hwmon/hwmon3/in3_input": "5064",  # channel 3 has no current: its shunt is switched off
    "class/hwmon/hwmon3/in4_input": "6720",
    "class/hwmon/hwmon3/in7_label": "sum of shunt voltages",
    "class/hwmon/hwmon3/in7_input": "8720",
    "class/hwmon/hwmon3/curr4_input": "1744",
}
LIMITER = {
    "class/hwmon/hwmon0/name": "power_meter",
    "class/hwmon/hwmon0/power1_cap": "17500000",
    "class/hwmon/hwmon0/power1_cap_max": "40000000",
    "class/hwmon/hwmon0/power1_average": "11250000",
    "class/hwmon/hwmon1/name": "coretemp",
    "class/hwmon/hwmon1/temp1_input": "61000",
    "class/hwmon/hwmon1/temp1_crit": "105000",
    "class/hwmon/hwmon1/temp2_input": "58500",
    "class/hwmon/hwmon1/temp2_crit": "70000",
    "class/hwmon/hwmon1/temp3_input": "-61000",  # no limit set, and cold
    "class/hwmon/hwmon1/temp4_input": "127500",
    "class/hwmon/hwmon1/temp4_crit": "100000",
    "class/hwmon/hwmon1/temp4_fault": "1",
    "class/hwmon/hwmon2/name": "amdgpu",  # another device's limit and warmth
    "class/hwmon/hwmon2/power1_cap": "2000000",
    "class/hwmon/hwmon2/temp1_input": "99000",
    "class/hwmon/hwmon2/temp1_crit": "100000",
}
RAPL = {
    "class/powercap/intel-rapl:0/name": "package-0",
    "class/powercap/intel-rapl:0/energy_uj": "123456789012",
    "class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850",
    "class/powercap/intel-rapl:0:0/name": "core",
    "class/powercap/intel-rapl:0:0/energy_uj": "98765432",
    "class/powercap/intel-rapl:1/name": "package-1",
    "class/powercap/intel-rapl:1/energy_uj": "1000",
    "class/powercap/intel-rapl:2/name": "psys",
    "class/powercap/intel-rapl:2/energy_uj": "77",
}
BOARD = ACPI_BATTERY | INA3221 | LIMITER | RAPL


def write_tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def test_a_battery_that_counts_energy(tmp_path):
    reading = read_eps(write_tree(tmp_path, ACPI_BATTERY))
    assert reading.charge_fraction == pytest.approx(0.725)
    assert reading.charge_j == pytest.approx(36.25 * 3600)
    assert reading.capacity_j == pytest.approx(50 * 3600)
    assert reading.battery_w == pytest.approx(-8.123)
    assert reading.sources == ("power_supply/BAT0",)
    assert reading.cap_w is None and reading.temperature_c is None and reading.rails == ()


def test_a_battery_that_counts_ampere_hours(tmp_path):
    """Its sign contradicts its status, as some drivers' do: the status is believed."""
    reading = read_eps(write_tree(tmp_path, FUEL_GAUGE))
    assert reading.charge_fraction == pytest.approx(0.41)
    assert reading.capacity_j == pytest.approx(5.2 * 7.2 * 3600)
    assert reading.battery_w == pytest.approx(1.25 * 7.512)
    assert reading.battery_c == pytest.approx(-5.3)


def test_a_battery_that_counts_percent_alone(tmp_path):
    files = {"class/power_supply/b/type": "UPS", "class/power_supply/b/capacity": "37"}
    reading = read_eps(write_tree(tmp_path, files))
    assert (reading.charge_fraction, reading.charge_j, reading.battery_w) == (0.37, None, None)


def test_two_batteries_are_one_store_and_an_empty_bay_is_none(tmp_path):
    more = {f"class/power_supply/BAT1/{Path(name).name}": text for name, text in ACPI_BATTERY.items() if "BAT0" in name}
    more |= {"class/power_supply/BAT1/energy_full": "10000000", "class/power_supply/BAT1/energy_now": "0"}
    root = write_tree(tmp_path, ACPI_BATTERY | more)
    assert read_eps(root).charge_fraction == pytest.approx(36.25 / 60)
    (root / "class/power_supply/BAT1/present").write_text("0\n")
    assert read_eps(root).charge_fraction == pytest.approx(0.725)


def test_the_rails_of_an_ina3221(tmp_path):
    reading = read_eps(write_tree(tmp_path, INA3221))
    assert reading.rails == (
        PowerRail(label="VDD_IN", voltage_v=5.064, current_a=1.344),
        PowerRail(label="VDD_CPU_GPU_CV", voltage_v=5.056, current_a=-0.208),
    )
    assert reading.rails[0].power_w == pytest.approx(6.806016)


def test_limit_and_temperature(tmp_path):
    reading = read_eps(write_tree(tmp_path, LIMITER))
    assert (reading.cap_w, reading.load_w) == (17.5, 11.25)
    assert (reading.temperature_c, reading.critical_c) == (58.5, 70.0)  # nearest to its limit, though not the hottest


def test_the_lowest_limit_holds(tmp_path):
    second = {"class/hwmon/hwmon10/name": "eps", "class/hwmon/hwmon10/power2_cap": "5000000"}
    assert read_eps(write_tree(tmp_path, LIMITER | second)).cap_w == 5.0


def test_energy_counters_of_packages(tmp_path):
    assert read_eps(write_tree(tmp_path, RAPL)).package_energy_uj == 123456790012


def test_a_machine_without_any(tmp_path):
    assert read_eps(tmp_path) == EpsReading()
    assert read_eps(tmp_path / "absent") == EpsReading()


def test_this_machine():
    reading = read_eps(Path("/sys"))
    assert reading.charge_fraction is None or 0 <= reading.charge_fraction <= 1
    assert reading.cap_w is None or reading.cap_w >= 0


READ_FILES = sorted(
    name
    for name in BOARD
    if name.rsplit("/", 1)[1]
    in {"capacity", "energy_full", "energy_now", "power_now", "voltage_now", "power1_cap", "temp1_input", "temp2_crit"}
    | {"in1_input", "curr1_input", "energy_uj", "present"}
    and not any(other in name for other in ("AC/", "hidpp", "hwmon2/", ":0:0", "intel-rapl:2"))
)


@pytest.mark.parametrize("name", READ_FILES)
@pytest.mark.parametrize("text", ["", "nan", "0x10", "12.5", "1_000", "1e3", "٣", "9" * 5000, "\0", "7 W"])
def test_nonsense_names_file_content_and_remedy(tmp_path, name, text):
    root = write_tree(tmp_path, BOARD)
    (root / name).write_text(text, encoding="utf-8")
    with pytest.raises(EnergyError) as refusal:
        read_eps(root)
    assert str(root / name) in str(refusal.value)
    assert "whole number" in str(refusal.value) and "--power" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class/power_supply/BAT0/energy_now", "-1"),
        ("class/power_supply/BAT0/energy_full", "0"),
        ("class/power_supply/BAT0/capacity", "101"),
        ("class/power_supply/BAT0/voltage_now", "-11800000"),
        ("class/hwmon/hwmon0/power1_cap", "-1"),
        ("class/hwmon/hwmon0/power1_average", "-5"),
        ("class/hwmon/hwmon1/temp1_input", "2000000"),
        ("class/hwmon/hwmon1/temp1_input", "-273000"),
        ("class/powercap/intel-rapl:0/energy_uj", "-4"),
    ],
)
def test_numbers_that_cannot_be(tmp_path, name, text):
    root = write_tree(tmp_path, BOARD)
    (root / name).write_text(text)
    with pytest.raises(EnergyError, match=Path(name).name):
        read_eps(root)


def test_more_charge_than_full_is_full(tmp_path):
    """Gauges drift; a battery at 101 % is no error."""
    root = write_tree(tmp_path, ACPI_BATTERY | {"class/power_supply/BAT0/energy_now": "50500000"})
    assert read_eps(root).charge_fraction == 1.0


@given(gone=st.sets(st.sampled_from(sorted(BOARD)), max_size=len(BOARD)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_may_be_absent(tmp_path_factory, gone):
    root = write_tree(tmp_path_factory.mktemp("board"), {n: t for n, t in BOARD.items() if n not in gone})
    reading = read_eps(root)
    assert (reading.cap_w is None) == ("class/hwmon/hwmon0/power1_cap" in gone) or reading.cap_w == 2.0
    assert len(reading.rails) <= 2


@given(name=st.sampled_from(sorted(BOARD)), content=st.binary(max_size=40))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_content_is_read_or_refused(board, name, content):
    (board / name).write_bytes(content)
    try:
        reading = read_eps(board)
    except EnergyError as refusal:
        assert str(board / name) in str(refusal)
    else:
        assert reading.charge_fraction is None or 0 <= reading.charge_fraction <= 1
    finally:
        (board / name).write_text(f"{BOARD[name]}\n")


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("board"), BOARD)


class FailingFiles:
    """Lets some files fail as a driver lets them."""

    def __init__(self, monkeypatch):
        self.codes = {}
        opened = Path.open

        def open_or_fail(path, *arguments, **options):
            if path.as_posix() in self.codes:
                code = self.codes[path.as_posix()]
                raise OSError(code, os.strerror(code), str(path))
            return opened(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", open_or_fail)


@pytest.mark.parametrize(
    "name", ["class/hwmon/hwmon0/power1_cap", "class/power_supply/BAT0/type", "class/hwmon/hwmon1/name"]
)
@pytest.mark.parametrize("code", [errno.EIO, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EAGAIN, errno.EINVAL])
def test_a_bus_that_fails_is_an_error(tmp_path, monkeypatch, name, code):
    root = write_tree(tmp_path, BOARD)
    FailingFiles(monkeypatch).codes[(root / name).as_posix()] = code
    with pytest.raises(EnergyError) as refusal:
        read_eps(root)
    assert str(root / name) in str(refusal.value) and os.strerror(code) in str(refusal.value)


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENODATA, errno.EACCES, errno.EPERM])
def test_what_vanishes_or_is_not_for_us_is_none(tmp_path, monkeypatch, code):
    """ENOENT and ENODEV: gone between listing and reading. EACCES: energy_uj belongs to root since Linux 5.10."""
    root = write_tree(tmp_path, BOARD)
    failing = FailingFiles(monkeypatch)
    for name in ("hwmon/hwmon0/power1_cap", "powercap/intel-rapl:0/energy_uj", "hwmon/hwmon3/curr1_input"):
        failing.codes[(root / "class" / name).as_posix()] = code
    reading = read_eps(root)
    assert (reading.cap_w, reading.package_energy_uj) == (None, 1000)
    assert [rail.label for rail in reading.rails] == ["VDD_CPU_GPU_CV"]
    assert reading.charge_fraction == pytest.approx(0.725)


def test_a_folder_in_a_files_place_is_an_error(tmp_path):
    (write_tree(tmp_path, LIMITER) / "class/hwmon/hwmon0/power1_average").unlink()
    (tmp_path / "class/hwmon/hwmon0/power1_input").mkdir()
    with pytest.raises(EnergyError, match="power1_input cannot be read"):
        read_eps(tmp_path)


def test_entries_may_be_links_and_stray_files(tmp_path):
    """On a board every entry of a class is a link to its device."""
    device = write_tree(tmp_path / "devices", {"i2c/power1_cap": "5000000", "i2c/name": "eps"}) / "i2c"
    (tmp_path / "class/hwmon").mkdir(parents=True)
    (tmp_path / "class/hwmon/hwmon0").symlink_to(device)
    (tmp_path / "class/hwmon/hwmon1").symlink_to(tmp_path / "nowhere")
    (tmp_path / "class/hwmon/hwmon2").write_text("no folder")
    assert read_eps(tmp_path).cap_w == 5.0

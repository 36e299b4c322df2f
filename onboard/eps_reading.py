"""What the power system says of itself, from files laid out as Linux lays out /sys (edge: files).

`read_eps(Path("/sys"))` reads a board; the power simulator writes the same tree elsewhere. What is read, and where it is defined
(the kernel's Documentation/ABI/testing and Documentation/hwmon):

* `class/power_supply/*` with `type` Battery or UPS: energy in uWh, charge in uAh, voltage in uV, current in uA, power in uW,
  temperature in tenths of a degree Celsius, capacity in percent (sysfs-class-power; power_supply_class.rst, "Units").
* `class/hwmon/hwmon*` with `powerN_cap`: the limit that the system must keep, uW (sysfs-class-hwmon, powerY_cap).
* `class/hwmon/hwmon*` named `ina...`: bus voltage in mV and current in mA of channels 1 to 3. From channel 4 on the INA3221 driver
  gives shunt voltages in uV and sums, which are no rails (ina3221.rst).
* `class/hwmon/hwmon*` with `tempN_input` and `tempN_crit`: thousandths of a degree Celsius.
* `class/powercap/intel-rapl:*` named `package-N`: `energy_uj`, microjoules since some moment (powercap.rst).

A file that is absent, that the driver has no value for, or that this user may not read is None. A file that cannot be read for
another reason, or holds what cannot be, raises EnergyError.
"""

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from onboard.errors import EnergyError

ABSENT_ERRNOS = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENODEV,  # the device left between listing and reading
        errno.ENXIO,
        errno.ENODATA,  # what hwmon answers for a channel that is switched off
        errno.EOPNOTSUPP,
        errno.EACCES,
        errno.EPERM,
    }
)
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
FILE_LIMIT_CHARS = 4096
"""What the kernel gives for one attribute at most: a page."""
OTHER_DEVICES = frozenset({"amdgpu", "radeon", "nouveau", "i915", "xe"})
"""Chips of graphics cards: their limits and temperatures are theirs alone."""
JOULES_PER_UWH = 3600 / 1e6
COLDEST_C, HOTTEST_C = -150.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerRail:
    """One measured supply line."""

    label: str
    """What the board calls it."""
    voltage_v: float
    """Volts."""
    current_a: float
    """Amperes, negative where the line feeds back."""

    @property
    def power_w(self) -> float:
        """Watts."""
        return self.voltage_v * self.current_a


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsReading:
    """The power system at one moment. None: nothing on this machine says it."""

    charge_fraction: float | None = None
    """Charge of all batteries together, share of what they can hold, 0 to 1."""
    charge_j: float | None = None
    """The same in joules."""
    capacity_j: float | None = None
    """What the batteries can hold, joules."""
    battery_w: float | None = None
    """Power into the batteries, watts; negative while they discharge."""
    battery_c: float | None = None
    """The warmest battery, degrees Celsius."""
    cap_w: float | None = None
    """The lowest limit on total power, watts."""
    load_w: float | None = None
    """What the limit applies to now, watts."""
    rails: tuple[PowerRail, ...] = ()
    """Measured supply lines."""
    temperature_c: float | None = None
    """Of the sensor that is nearest to its critical temperature, or the hottest where none has one; degrees Celsius."""
    critical_c: float | None = None
    """That sensor's critical temperature."""
    package_energy_uj: int | None = None
    """Energy counters of all processor packages, microjoules; they wrap."""
    sources: tuple[str, ...] = ()
    """Which devices spoke, for the record: "power_supply/battery", "hwmon0 ina3221"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Battery:
    """One battery as its driver describes it."""

    name: str
    fraction: float | None
    charge_j: float | None
    capacity_j: float | None
    power_w: float | None
    temperature_c: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chip:
    """One hardware monitor."""

    source: str
    caps: tuple[tuple[float, float | None], ...]
    """(limit, power now) in watts."""
    rails: tuple[PowerRail, ...]
    temperatures: tuple[tuple[float, float | None], ...]
    """(now, critical) in degrees Celsius."""

    @property
    def speaks(self) -> bool:
        return bool(self.caps or self.rails or self.temperatures)


def read_eps(root: Path) -> EpsReading:
    """Everything that the tree under `root` says now. Raises EnergyError for a file that holds nonsense or fails to read."""
    batteries = [battery for folder in _entries(root / "class/power_supply", "*") if (battery := _battery(folder))]
    chips = [chip for folder in _entries(root / "class/hwmon", "hwmon*") if (chip := _chip(folder)).speaks]
    zones = [
        energy_uj
        for folder in _entries(root / "class/powercap", "intel-rapl:*")
        if _word(folder / "name").startswith("package")
        and (energy_uj := _number(folder / "energy_uj", lowest=0)) is not None
    ]
    cap_w, load_w = min((cap for chip in chips for cap in chip.caps), key=lambda cap: cap[0], default=(None, None))
    temperature_c, critical_c = _nearest_to_critical([pair for chip in chips for pair in chip.temperatures])
    charge_j, capacity_j = _sum([one.charge_j for one in batteries]), _sum([one.capacity_j for one in batteries])
    return EpsReading(
        charge_fraction=_fraction(batteries, charge_j, capacity_j),
        charge_j=charge_j,
        capacity_j=capacity_j,
        battery_w=_sum([one.power_w for one in batteries]),
        battery_c=max((one.temperature_c for one in batteries if one.temperature_c is not None), default=None),
        cap_w=cap_w,
        load_w=load_w,
        rails=tuple(rail for chip in chips for rail in chip.rails),
        temperature_c=temperature_c,
        critical_c=critical_c,
        package_energy_uj=sum(zones) if zones else None,
        sources=(*(f"power_supply/{one.name}" for one in batteries), *(chip.source for chip in chips)),
    )


def _battery(folder: Path) -> _Battery | None:
    """A system battery that is there; None for mains, chargers, batteries of mice, and empty bays."""
    if _word(folder / "type") not in ("Battery", "UPS") or _word(folder / "scope") == "Device":
        return None
    if _number(folder / "present") == 0:
        return None
    percent = _number(folder / "capacity", lowest=0, highest=100)
    voltage_uv = _number(folder / "voltage_now", lowest=0)
    charge_j, capacity_j = _energy_j(folder, voltage_uv)
    return _Battery(
        name=folder.name,
        fraction=None if percent is None else percent / 100,
        charge_j=charge_j,
        capacity_j=capacity_j,
        power_w=_battery_w(folder, voltage_uv),
        temperature_c=_celsius(folder / "temp", per_degree=10),
    )


def _energy_j(folder: Path, voltage_uv: int | None) -> tuple[float | None, float | None]:
    """Charge and capacity in joules; a driver that counts ampere-hours is taken at the battery's design or present voltage."""
    full_uwh, now_uwh = _number(folder / "energy_full", lowest=1), _number(folder / "energy_now", lowest=0)
    if full_uwh is not None and now_uwh is not None:
        return min(now_uwh, full_uwh) * JOULES_PER_UWH, full_uwh * JOULES_PER_UWH
    full_uah, now_uah = _number(folder / "charge_full", lowest=1), _number(folder / "charge_now", lowest=0)
    volts_uv = _number(folder / "voltage_min_design", lowest=1) or voltage_uv
    if full_uah is None or now_uah is None or not volts_uv:
        return None, None
    joules_per_uah = volts_uv / 1e6 * JOULES_PER_UWH
    return min(now_uah, full_uah) * joules_per_uah, full_uah * joules_per_uah


def _battery_w(folder: Path, voltage_uv: int | None) -> float | None:
    """Power into the battery. The ABI wants discharging negative; drivers without a sign say it in `status`."""
    power_uw, current_ua = _number(folder / "power_now"), _number(folder / "current_now")
    if power_uw is not None:
        power_w = power_uw / 1e6
    elif current_ua is not None and voltage_uv is not None:
        power_w = current_ua * voltage_uv / 1e12
    else:
        return None
    status = _word(folder / "status", "Unknown")
    if status == "Discharging":
        return -abs(power_w)
    return abs(power_w) if status == "Charging" else power_w


def _chip(folder: Path) -> _Chip:
    name = _word(folder / "name")
    is_ours = name not in OTHER_DEVICES
    return _Chip(
        source=f"{folder.name} {name}".strip(),
        caps=_caps(folder) if is_ours else (),
        rails=_rails(folder) if name.startswith("ina") else (),
        temperatures=_temperatures(folder) if is_ours else (),
    )


def _caps(folder: Path) -> tuple[tuple[float, float | None], ...]:
    caps = []
    for file in _entries(folder, "power*_cap"):
        cap_uw = _number(file, lowest=0)
        if cap_uw is not None:
            stem = file.name.removesuffix("_cap")
            power_uw = _number(folder / f"{stem}_input", lowest=0)
            if power_uw is None:
                power_uw = _number(folder / f"{stem}_average", lowest=0)
            caps.append((cap_uw / 1e6, None if power_uw is None else power_uw / 1e6))
    return tuple(caps)


def _rails(folder: Path) -> tuple[PowerRail, ...]:
    rails = []
    for channel in (1, 2, 3):
        voltage_mv, current_ma = _number(folder / f"in{channel}_input"), _number(folder / f"curr{channel}_input")
        if voltage_mv is not None and current_ma is not None:
            label = _word(folder / f"in{channel}_label", f"{folder.name} in{channel}")
            rails.append(PowerRail(label=label, voltage_v=voltage_mv / 1000, current_a=current_ma / 1000))
    return tuple(rails)


def _temperatures(folder: Path) -> tuple[tuple[float, float | None], ...]:
    found = []
    for file in _entries(folder, "temp*_input"):
        if _number(folder / file.name.replace("_input", "_fault")) == 1:
            continue
        now_c = _celsius(file, per_degree=1000)
        critical_mc = _number(folder / file.name.replace("_input", "_crit"))
        if now_c is not None:
            # A limit at or below freezing is a register that nobody has set.
            found.append((now_c, critical_mc / 1000 if critical_mc is not None and critical_mc > 0 else None))
    return tuple(found)


def _nearest_to_critical(pairs: list[tuple[float, float | None]]) -> tuple[float | None, float | None]:
    limited = [(now_c, critical_c) for now_c, critical_c in pairs if critical_c is not None]
    if limited:
        return min(limited, key=lambda pair: pair[1] - pair[0])
    return max((now_c for now_c, _ in pairs), default=None), None


def _fraction(batteries: list[_Battery], charge_j: float | None, capacity_j: float | None) -> float | None:
    """From joules where all batteries give them, else from percent."""
    complete = all(one.capacity_j is not None for one in batteries)
    if complete and charge_j is not None and capacity_j is not None:
        return charge_j / capacity_j
    percents = [one.fraction for one in batteries if one.fraction is not None]
    return sum(percents) / len(percents) if percents else None


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _celsius(file: Path, *, per_degree: int) -> float | None:
    lowest, highest = round(COLDEST_C * per_degree), round(HOTTEST_C * per_degree)
    value = _number(file, lowest=lowest, highest=highest)
    return None if value is None else value / per_degree


def _number(file: Path, *, lowest: int | None = None, highest: int | None = None) -> int | None:
    """The whole number in a file; None where there is none to read."""
    text = _text(file)
    if text is None:
        return None
    number = int(text) if WHOLE_NUMBER.fullmatch(text) else None
    if number is None or (lowest is not None and number < lowest) or (highest is not None and number > highest):
        floor = "" if lowest is None else f" of at least {lowest}"
        ceiling = "" if highest is None else f" and at most {highest}"
        raise EnergyError(
            f"power file {file} holds {text[:40]!r}, expected a whole number{floor}{ceiling}; check its driver, or point --power elsewhere"
        )
    return number


def _word(file: Path, default: str = "") -> str:
    """The text of a file; `default` where there is none to read."""
    text = _text(file)
    return default if text is None else text


def _text(file: Path) -> str | None:
    """The stripped text of a file; None where it is absent, has no value, or is not for this user."""
    try:
        with file.open(encoding="ascii", errors="backslashreplace") as opened:
            return opened.read(FILE_LIMIT_CHARS).strip()
    except OSError as error:
        if error.errno in ABSENT_ERRNOS:
            return None
        raise _unreadable(file, error) from error


def _entries(parent: Path, pattern: str) -> list[Path]:
    """What a folder holds, in order; the entries of a class are links to the devices."""
    try:
        return sorted(parent.glob(pattern))
    except OSError as error:
        if error.errno in ABSENT_ERRNOS:
            return []
        raise _unreadable(parent, error) from error


def _unreadable(path: Path, error: OSError) -> EnergyError:
    return EnergyError(
        f"power file {path} cannot be read: {error.strerror}; check the sensor's bus and driver, or point --power elsewhere"
    )

"""Meters: joules of a step, measured where the kernel offers a counter, reckoned elsewhere. Edge: counter files and the CPU clock.

* `PowercapMeter` reads the energy counters of the Linux powercap tree (RAPL). It measures whole processor packages: other programs
  on the machine are inside the figure.
* `CpuMeter` takes CPU seconds of this process, all threads, times watts per busy core.
* `ModelMeter` takes a price list times megapixels: no machine enters, so a simulation repeats to the joule.

Linux lays out one folder per zone: `intel-rapl:0` with `name` ("package-0"), `energy_uj` and `max_energy_range_uj`, and sub-zones
`intel-rapl:0:1` ("core", "uncore", "dram"). Packages contain core and uncore; DRAM is outside and is added. Source: the kernel's
Documentation/power/powercap/powercap.rst.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from onboard.energy_prices import EnergyPrices, EnergyStep
from onboard.errors import EnergyError, MeterError

POWERCAP_FOLDER = Path("/sys/class/powercap")

MeterName = Literal["auto", "model", "cpu", "powercap"]


@dataclass(slots=True, kw_only=True)
class EnergyReading:
    """What one measured step cost; filled in when the step ends, also when it ends with an exception."""

    step: EnergyStep
    """What was measured."""
    energy_j: float = 0.0
    """Joules, 0 until the step has ended."""


class Meter(ABC):
    """The port: `with meter.measure(EnergyStep.DETECT, megapixels=0.26) as reading: ...`, then `reading.energy_j`."""

    name: ClassVar[str]
    """What reports call this way of measuring."""

    @contextmanager
    def measure(self, step: EnergyStep, *, megapixels: float = 0.0) -> Iterator[EnergyReading]:
        """Measures the body of the `with` as one step over so many million scene pixels."""
        if not megapixels >= 0:
            raise EnergyError(f"step {step.value!r} over {megapixels} Mpix is not possible; give 0 or more")
        reading = EnergyReading(step=step)
        finish = self.begin(step, megapixels)
        try:
            yield reading
        finally:
            reading.energy_j = finish()

    @abstractmethod
    def begin(self, step: EnergyStep, megapixels: float) -> Callable[[], float]:
        """Starts a step; the function it gives back ends it and returns its joules."""


class ModelMeter(Meter):
    """Joules from a price list."""

    name = "model"

    def __init__(self, prices: EnergyPrices) -> None:
        self._prices = prices

    def begin(self, step: EnergyStep, megapixels: float) -> Callable[[], float]:
        energy_j = self._prices.step_j(step, megapixels)
        return lambda: energy_j


class CpuMeter(Meter):
    """CPU seconds of this process times watts per busy core."""

    name = "cpu"

    def __init__(self, core_w: float, cpu_seconds: Callable[[], float] = time.process_time) -> None:
        if not core_w > 0:
            raise MeterError(f"a busy core of {core_w} W is not possible; give power.core_w above 0")
        self._core_w = core_w
        self._cpu_seconds = cpu_seconds

    def begin(self, step: EnergyStep, megapixels: float) -> Callable[[], float]:
        start_s = self._cpu_seconds()
        return lambda: max(0.0, self._cpu_seconds() - start_s) * self._core_w


@dataclass(frozen=True, slots=True, kw_only=True)
class PowercapZone:
    """One energy counter of the kernel."""

    energy_file: Path
    """Holds microjoules since some moment; falls back to 0 after `range_uj`."""
    range_uj: int
    """The counter's largest value."""

    def read_uj(self) -> int:
        """The counter now. Raises MeterError where it cannot be read."""
        try:
            return int(self.energy_file.read_text())
        except (OSError, ValueError) as error:
            raise unreadable(self.energy_file.parent, error) from error

    def spent_uj(self, before_uj: int, after_uj: int) -> int:
        """Microjoules between two readings at most one wrap apart."""
        return after_uj - before_uj if after_uj >= before_uj else after_uj - before_uj + self.range_uj + 1


class PowercapMeter(Meter):
    """The kernel's counters of all processor packages and their DRAM. Raises MeterError where there is none to read."""

    name = "powercap"

    def __init__(self, folder: Path = POWERCAP_FOLDER) -> None:
        self._zones = powercap_zones(folder)

    def begin(self, step: EnergyStep, megapixels: float) -> Callable[[], float]:
        before = [zone.read_uj() for zone in self._zones]

        def finish() -> float:
            pairs = zip(self._zones, before, strict=True)
            return sum(zone.spent_uj(start_uj, zone.read_uj()) for zone, start_uj in pairs) / 1e6

        return finish


def powercap_zones(folder: Path) -> tuple[PowercapZone, ...]:
    """The zones that together count each joule once: packages, and DRAM beside them."""
    zones = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            label = (zone / "name").read_text().strip()
            if not label.startswith("package") and label != "dram":
                continue
            found = PowercapZone(
                energy_file=zone / "energy_uj", range_uj=int((zone / "max_energy_range_uj").read_text())
            )
        except (OSError, ValueError) as error:
            raise unreadable(zone, error) from error
        found.read_uj()  # fails here, at the start, rather than in the first step
        zones.append(found)
    if not zones:
        raise MeterError(f'no energy counter in {folder}; set power.meter = "cpu" or "model" on this machine')
    return tuple(zones)


def unreadable(zone: Path, error: Exception) -> MeterError:
    """What to say of a counter that exists and cannot be read (since Linux 5.10 only root may by default)."""
    remedy = 'give this user read permission on energy_uj, or set power.meter = "cpu"'
    return MeterError(f"energy counter {zone} cannot be read ({error}); {remedy}")


def choose_meter(
    name: MeterName, *, prices: EnergyPrices, core_w: float, powercap_folder: Path = POWERCAP_FOLDER
) -> Meter:
    """The meter called `name`; `auto` takes powercap where its counters can be read, CPU seconds elsewhere."""
    match name:
        case "model":
            return ModelMeter(prices)
        case "cpu":
            return CpuMeter(core_w)
        case "powercap":
            return PowercapMeter(powercap_folder)
        case "auto":
            try:
                return PowercapMeter(powercap_folder)
            except MeterError:  # expected on most machines; the meter's name in the report says which one was taken
                return CpuMeter(core_w)

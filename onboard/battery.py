"""The battery: joules in, joules out, nothing lost from the books.

A battery is a value; every step gives a new one. At any time
`initial + harvested = charge + drawn + clipped`, where `harvested` is all that the panels gave, `clipped` what a full battery could
not take, and `drawn` what was really given to loads. A load that asks for more than is there gets the rest; the shortfall is
counted in `unmet_j`: charge never goes below zero, and a brown-out is not forgotten.

The store is ideal: no charging loss, no ageing, no temperature, no limit of current.
"""

from dataclasses import dataclass, replace

from onboard.errors import EnergyError
from onboard.sunlight import Sunlight


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """State of the battery."""

    capacity_j: float
    """What it can hold, joules, above 0."""
    charge_j: float
    """What it holds, joules, 0 to `capacity_j`."""
    harvested_j: float = 0.0
    """What the panels gave so far, joules."""
    drawn_j: float = 0.0
    """What loads got so far, joules."""
    clipped_j: float = 0.0
    """Sunlight that found the battery full, joules."""
    unmet_j: float = 0.0
    """What loads asked for and did not get, joules."""

    def __post_init__(self) -> None:
        if not self.capacity_j > 0 or not 0 <= self.charge_j <= self.capacity_j:
            raise EnergyError(
                f"a battery of {self.capacity_j} J cannot hold {self.charge_j} J; the capacity must be above 0 and the charge within it"
            )

    def draw(self, energy_j: float) -> "Battery":
        """After a load took `energy_j`, or what was left of it."""
        if not energy_j >= 0:
            raise EnergyError(f"a load cannot draw {energy_j} J; give 0 or more (charging is `harvest`)")
        given_j = min(energy_j, self.charge_j)
        return replace(
            self,
            charge_j=self.charge_j - given_j,
            drawn_j=self.drawn_j + given_j,
            unmet_j=self.unmet_j + (energy_j - given_j),
        )

    def harvest(self, energy_j: float) -> "Battery":
        """After the panels gave `energy_j`; what does not fit is clipped."""
        if not energy_j >= 0:
            raise EnergyError(f"panels cannot give {energy_j} J; give 0 or more")
        kept_j = min(energy_j, self.capacity_j - self.charge_j)
        return replace(
            self,
            charge_j=min(self.capacity_j, self.charge_j + kept_j),
            harvested_j=self.harvested_j + energy_j,
            clipped_j=self.clipped_j + (energy_j - kept_j),
        )

    def advance(self, start_ms: int, end_ms: int, *, sunlight: Sunlight, panel_w: float, load_w: float) -> "Battery":
        """After a constant load from `start_ms` to `end_ms`, with the panels giving `panel_w` while lit.

        Panels feed the load directly; only the difference goes through the battery, so a lit satellite whose panels cover
        the load never browns out.
        """
        if end_ms < start_ms:
            raise EnergyError(f"time cannot run from {start_ms} back to {end_ms} ms")
        battery = self
        for phase_start_ms, phase_end_ms, lit in sunlight.phases(start_ms, end_ms):
            seconds = (phase_end_ms - phase_start_ms) / 1000
            income_j, load_j = (panel_w * seconds if lit else 0.0), load_w * seconds
            direct_j = min(income_j, load_j)
            battery = replace(battery, harvested_j=battery.harvested_j + direct_j, drawn_j=battery.drawn_j + direct_j)
            battery = battery.harvest(income_j - direct_j).draw(load_j - direct_j)
        return battery

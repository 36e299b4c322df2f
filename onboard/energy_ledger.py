"""Where every joule went: spent by step."""

from onboard.energy_prices import EnergyStep
from onboard.errors import EnergyError


class EnergyLedger:
    """Joules spent by step."""

    def __init__(self) -> None:
        self._by_step = dict.fromkeys(EnergyStep, 0.0)

    def charge(self, step: EnergyStep, energy_j: float) -> None:
        """Enters `energy_j` under a step."""
        if not energy_j >= 0:
            raise EnergyError(f"step {step.value!r} cannot cost {energy_j} J; give 0 or more")
        self._by_step[step] += energy_j

    @property
    def by_step(self) -> dict[EnergyStep, float]:
        """Joules spent under each step, every step listed."""
        return dict(self._by_step)

    @property
    def spent_j(self) -> float:
        """All joules spent."""
        return sum(self._by_step.values())

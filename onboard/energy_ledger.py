"""Where every joule went: spent by step, against a budget."""

from onboard.energy_prices import EnergyStep
from onboard.errors import EnergyError


class EnergyLedger:
    """Joules spent by step. The budget is what the mission may spend; overspending is shown, not prevented."""

    def __init__(self, budget_j: float) -> None:
        if not budget_j >= 0:
            raise EnergyError(f"an energy budget of {budget_j} J is not possible; give 0 or more")
        self.budget_j = budget_j
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

    @property
    def left_j(self) -> float:
        """Budget minus spent; negative after overspending."""
        return self.budget_j - self.spent_j

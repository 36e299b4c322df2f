"""The governor: how much effort a tile gets, given the energy there is.

Effort is allowed when, after paying for it, the battery stays at or above its reserve now and at every later moment until the next
contact and the next eclipse are over, with bus and radio paid first (`onboard.energy_forecast`). Of the allowed efforts the highest
is taken. The rule has no memory: the same state gives the same effort, and more charge never gives less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from onboard.energy_forecast import lowest_charge_j


class Effort(IntEnum):
    """What is done with a tile; higher is more."""

    SKIP = 0
    """Nothing: the tile is recorded as skipped for power."""
    SCREEN_ONLY = 1
    """Screened and kept, not looked at by the detector."""
    DETECT = 2
    """Everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernorState:
    """All that the decision depends on."""

    charge_j: float
    """What the battery holds, joules."""
    capacity_j: float
    """What the battery can hold, joules."""
    reserve_j: float
    """What image processing must never touch, joules."""
    screen_only_j: float
    """Price of one tile without the detector (ingest, screen, store), joules."""
    detect_j: float
    """Price of one tile with the detector, joules; not below `screen_only_j`."""
    forecast_net_j: tuple[float, ...] = ()
    """Net joules of the phases to come, without image processing (`energy_forecast.forecast_net_j`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An effort and why."""

    effort: Effort
    """What to do with the tile."""
    reason: str
    """The numbers behind it, for the record."""

    @property
    def is_allowed(self) -> bool:
        """Whether anything may be done."""
        return self.effort is not Effort.SKIP


def decide(state: GovernorState) -> Decision:
    """The highest effort that leaves the reserve untouched up to the end of the forecast."""
    prices = ((Effort.DETECT, state.detect_j), (Effort.SCREEN_ONLY, state.screen_only_j))
    refused: list[str] = []
    for effort, price_j in prices:
        lowest_j = lowest_after(price_j, state)
        figures = f"{effort.name} costs {price_j:.2f} J and leaves {lowest_j:.1f} J at the lowest point"
        if lowest_j >= state.reserve_j:
            return Decision(effort=effort, reason=reason_text([*refused, figures], state))
        refused.append(figures)
    return Decision(effort=Effort.SKIP, reason=reason_text(refused, state))


def may_spend(price_j: float, state: GovernorState) -> Decision:
    """Whether work of one price leaves the reserve untouched up to the end of the forecast: SCREEN_ONLY where it does, else SKIP."""
    lowest_j = lowest_after(price_j, state)
    figures = f"costs {price_j:.2f} J and leaves {lowest_j:.1f} J at the lowest point"
    effort = Effort.SCREEN_ONLY if lowest_j >= state.reserve_j else Effort.SKIP
    return Decision(effort=effort, reason=reason_text([figures], state))


def lowest_after(price_j: float, state: GovernorState) -> float:
    """The lowest charge to come if `price_j` is spent now."""
    return lowest_charge_j(state.charge_j - price_j, capacity_j=state.capacity_j, net_j=state.forecast_net_j)


def reason_text(figures: Sequence[str], state: GovernorState) -> str:
    """The figures, the charge and the reserve in one sentence."""
    return f"{'; '.join(figures)}; charge {state.charge_j:.1f} J, reserve {state.reserve_j:.1f} J"

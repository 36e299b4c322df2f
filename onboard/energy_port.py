"""The port through which work on board asks for energy and pays for it."""

from contextlib import AbstractContextManager
from typing import Protocol

from onboard.energy_prices import EnergyStep
from onboard.governor import Decision


class EnergyPort(Protocol):
    """Who decides what a tile may cost and notes what it did cost."""

    def decide(self, mpix: float) -> Decision:
        """The effort that a tile of `mpix` million pixels may take, and why."""

    def may_spend(self, step: EnergyStep, mpix: float) -> Decision:
        """Whether `step` may be done now on `mpix` million pixels: effort SKIP where not, and why."""

    def charge(self, step: EnergyStep, mpix: float) -> AbstractContextManager[None]:
        """A context in which the work of `step` on `mpix` million pixels is done and charged."""

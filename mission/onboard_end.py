"""The satellite's end of the link put together. Imports nothing that reads or codes pixels: it fits a small process."""

from collections.abc import Callable, Sequence
from typing import Protocol

from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings
from downlink.link_profile import LinkProfile
from downlink.products import LayerAddress
from mission.link_setup import SIMULATED_KEYS, EndJournals, LinkKeys
from onboard.command_gate import CommandGate
from onboard.computer import OnboardComputer
from onboard.store import ProductStore


class AcknowledgedLayers(Protocol):
    """Keeps what the ground has acknowledged, to predict from (`onboard.reference_store`)."""

    def take(self, address: LayerAddress, payload: bytes) -> None:
        """An acknowledged layer."""

    def forget(self, scene: int | None) -> None:
        """Predict from a scene no more, or from none. Raises StoreError."""


def onboard_computer(
    profile: LinkProfile,
    *,
    capacity_bytes: int,
    journals: EndJournals | None = None,
    keys: LinkKeys = SIMULATED_KEYS,
    expected_contacts: Sequence[Contact] = (),
    planning: PlannerSettings | None = None,
    references: AcknowledgedLayers | None = None,
    discard_uncoded: Callable[[int], None] | None = None,
) -> OnboardComputer:
    """The satellite's end, from what its journals hold; `references` is told what the ground acknowledges, and what it has lost,
    `discard_uncoded` which scenes it does not want."""
    journals = journals or EndJournals()
    gate = CommandGate(profile, keys.associations, journals.commands, ahead_ms=keys.reboot_lockout_ms)
    return OnboardComputer(
        ProductStore(journals.layers, on_delivered=None if references is None else references.take),
        gate,
        profile,
        capacity_bytes=capacity_bytes,
        expected_contacts=expected_contacts,
        planning=planning,
        forget_references=None if references is None else references.forget,
        discard_uncoded=discard_uncoded,
    )

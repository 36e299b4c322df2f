"""The satellite's end of the link put together. Imports nothing that reads or codes pixels: it fits a small process."""

from collections.abc import Sequence

from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings
from downlink.link_profile import LinkProfile
from mission.link_setup import SIMULATED_KEYS, EndJournals, LinkKeys
from onboard.command_gate import CommandGate
from onboard.computer import OnboardComputer
from onboard.store import ProductStore


def onboard_computer(
    profile: LinkProfile,
    *,
    capacity_bytes: int,
    journals: EndJournals | None = None,
    keys: LinkKeys = SIMULATED_KEYS,
    expected_contacts: Sequence[Contact] = (),
    planning: PlannerSettings | None = None,
) -> OnboardComputer:
    """The satellite's end, from what its journals hold."""
    journals = journals or EndJournals()
    gate = CommandGate(profile, keys.associations, journals.commands, ahead_ms=keys.reboot_lockout_ms)
    return OnboardComputer(
        ProductStore(journals.layers),
        gate,
        profile,
        capacity_bytes=capacity_bytes,
        expected_contacts=expected_contacts,
        planning=planning,
    )

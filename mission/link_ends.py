"""The two ends of the link put together: stores, keys, and what each end is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings
from downlink.frame_security import FrameProtector, SecurityAssociation
from downlink.journal import Journal, MemoryJournal
from downlink.link_profile import LinkProfile
from ground.command_desk import CommandDesk
from ground.station import GroundStation
from ground.store import LayerStore
from mission.scenario_security import simulated_association
from onboard.command_gate import CEILING_AHEAD_MS, CommandGate
from onboard.computer import OnboardComputer
from onboard.store import ProductStore


@dataclass(frozen=True, slots=True, kw_only=True)
class EndJournals:
    """What one end of the link must not forget."""

    layers: Journal = field(default_factory=MemoryJournal)
    """On board the product store, on the ground the layers that arrived."""
    commands: Journal = field(default_factory=MemoryJournal)
    """On board replay protection and standing orders, on the ground the orders given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkKeys:
    """What uplink frames are authenticated with."""

    associations: Sequence[SecurityAssociation] = (simulated_association(0),)
    """The first one protects, all are accepted."""
    reboot_lockout_ms: int = CEILING_AHEAD_MS
    """How long the satellite may refuse the ground after a reboot."""


SIMULATED_KEYS = LinkKeys()


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


def ground_station(
    profile: LinkProfile,
    *,
    journals: EndJournals | None = None,
    keys: LinkKeys = SIMULATED_KEYS,
    snapshot: bytes | None = None,
    now_ms: int = 0,
) -> GroundStation:
    """The ground's end, from what its journals and its snapshot of unfinished files hold."""
    journals = journals or EndJournals()
    return GroundStation(
        LayerStore(journals.layers),
        CommandDesk(keys.associations, journals.commands),
        FrameProtector(keys.associations[0]),
        profile,
        snapshot=snapshot,
        now_ms=now_ms,
    )

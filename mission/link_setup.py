"""What a scenario and a policy say of the link: profile, keys, planning, and the journals of an end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from downlink.contact_plan import PlannerSettings
from downlink.frame_security import SecurityAssociation
from downlink.journal import Journal, MemoryJournal
from downlink.link_profile import LinkProfile
from mission.scenario import Scenario
from mission.scenario_security import simulated_association
from onboard.command_gate import CEILING_AHEAD_MS
from onboard.policy import Policy


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


def link_profile(scenario: Scenario) -> LinkProfile:
    """Frames and timers, as `[link]` has them."""
    link = scenario.link
    return LinkProfile(
        spacecraft_id=link.spacecraft_id,
        frame_bytes=link.frame_bytes,
        express_repeat_ms=round(link.alert_repeat_s * 1000),
        ack_timeout_ms=round(link.ack_timer_s * 1000),
        nak_timeout_ms=round(link.nak_timer_s * 1000),
    )


def link_keys(scenario: Scenario, *, seed: int) -> LinkKeys:
    """The uplink's keys, as `[security]` has them. Raises KeyFileError."""
    security = scenario.security
    associations = security.associations(seed=seed, folder=Path())
    return LinkKeys(associations=associations, reboot_lockout_ms=security.reboot_lockout_ms)


def planner_settings(policy: Policy) -> PlannerSettings:
    """How contacts are shared, and how far ahead images are coded, as `[planning]` and `[coding]` of the policy have it."""
    rules = policy.planning
    return PlannerSettings(
        max_wait_s=rules.max_wait_s,
        waiting_share=rules.waiting_share,
        new_scene_share=rules.new_scene_share,
        contacts_ahead=policy.coding.contacts_ahead,
    )

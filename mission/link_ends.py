"""The two ends of the link put together: stores, keys, and what each end is made of."""

from downlink.frame_security import FrameProtector
from downlink.link_profile import LinkProfile
from ground.command_desk import CommandDesk
from ground.station import GroundStation
from ground.store import LayerStore
from mission.link_setup import SIMULATED_KEYS, EndJournals, LinkKeys
from mission.onboard_end import onboard_computer

__all__ = ["SIMULATED_KEYS", "EndJournals", "LinkKeys", "ground_station", "onboard_computer"]


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
    desk = CommandDesk(keys.associations, journals.commands)
    key = keys.associations[0]
    return GroundStation(
        LayerStore(journals.layers),
        desk,
        FrameProtector(key, first_number=desk.first_frame_number(key.spi)),
        profile,
        snapshot=snapshot,
        now_ms=now_ms,
    )

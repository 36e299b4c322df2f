"""What the onboard computer and the world tell each other, beside the events of any end (`downlink.link_events`)."""

from collections.abc import Sequence
from dataclasses import dataclass

from downlink.contact import Contact
from downlink.housekeeping import Housekeeping
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.products import LayerAddress
from onboard.valuation import ValuedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersCaptured:
    """The pipeline has made layers."""

    layers: Sequence[ValuedLayer]
    """To be stored and sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HousekeepingTaken:
    """The satellite has measured itself."""

    report: Housekeeping
    """To be told in contact; the latest alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsExpected:
    """The contacts that are coming have been computed anew."""

    contacts: tuple[Contact, ...]
    """In place of those expected before; one that goes on is among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomWanted:
    """The disk has no room for the layers that come next."""


Event = (
    LayersCaptured
    | RoomWanted
    | HousekeepingTaken
    | ContactsExpected
    | ContactStarted
    | ContactEnded
    | TransmitterReady
    | FrameHeard
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersSent:
    """These layers have been handed to the link for the first time since the computer started, in this order."""

    addresses: tuple[LayerAddress, ...]
    """Express records, or the layers of a new bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersDelivered:
    """The ground has acknowledged these."""

    addresses: tuple[LayerAddress, ...]
    """Removed from the backlog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersEvicted:
    """The store was full: these were given up."""

    addresses: tuple[LayerAddress, ...]
    """Least valuable first."""


Action = TransmitFrame | WakeAt | LayersSent | LayersDelivered | LayersEvicted

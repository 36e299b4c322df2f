"""What the ground station and the world tell each other, beside the events of any end (`downlink.link_events`)."""

from dataclasses import dataclass

from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.products import LayerAddress

Event = ContactStarted | ContactEnded | TransmitterReady | FrameHeard


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersArrived:
    """These layers are on the ground for the first time, checked and durable."""

    addresses: tuple[LayerAddress, ...]
    """In order of arrival."""


Action = TransmitFrame | WakeAt | LayersArrived

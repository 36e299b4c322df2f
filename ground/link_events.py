"""What the ground station and the world tell each other, beside the events of any end (`downlink.link_events`)."""

from dataclasses import dataclass

from downlink.command import Order
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.products import LayerAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderGiven:
    """Event: the operator wants something of the satellite."""

    order: Order
    """What; it is durable once the event has been handled."""


Event = ContactStarted | ContactEnded | TransmitterReady | FrameHeard | OrderGiven


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersArrived:
    """These layers are on the ground for the first time, checked and durable."""

    addresses: tuple[LayerAddress, ...]
    """In order of arrival."""


Action = TransmitFrame | WakeAt | LayersArrived

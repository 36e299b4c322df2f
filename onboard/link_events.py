"""What the onboard computer and the world tell each other. The computer never acts: it answers events with actions."""

from collections.abc import Sequence
from dataclasses import dataclass

from downlink.contact import Contact
from downlink.products import LayerAddress
from onboard.valuation import ValuedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersCaptured:
    """The pipeline has made layers."""

    layers: Sequence[ValuedLayer]
    """To be stored and sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactStarted:
    """Acquisition of signal."""

    contact: Contact
    """The pass that begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactEnded:
    """Loss of signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitterReady:
    """The radio has room for one frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeard:
    """The receiver has heard a frame, damaged or not."""

    frame: bytes
    """As it arrived."""


Event = LayersCaptured | ContactStarted | ContactEnded | TransmitterReady | FrameHeard


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitFrame:
    """Send this frame now."""

    frame: bytes
    """A whole transfer frame."""
    express: bool
    """Whether it belongs to the express channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """Nothing to send: offer the transmitter again at this time, or when a frame has been heard."""

    at_ms: int | None
    """None: only a heard frame can help."""


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

"""What the ground station and the world tell each other."""

from dataclasses import dataclass

from downlink.contact import Contact
from downlink.products import LayerAddress


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
    """The uplink has room for one frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeard:
    """The receiver has heard a frame, damaged or not."""

    frame: bytes
    """As it arrived."""


Event = ContactStarted | ContactEnded | TransmitterReady | FrameHeard


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitFrame:
    """Send this frame now."""

    frame: bytes
    """A whole transfer frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """Nothing to send: offer the transmitter again at this time, or when a frame has been heard."""

    at_ms: int | None
    """None: only a heard frame can help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersArrived:
    """These layers are on the ground for the first time, checked and durable."""

    addresses: tuple[LayerAddress, ...]
    """In order of arrival."""


Action = TransmitFrame | WakeAt | LayersArrived

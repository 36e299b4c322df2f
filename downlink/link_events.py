"""What either end of the link and the world tell each other. An end never acts: it answers events with actions."""

from dataclasses import dataclass

from downlink.contact import Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactStarted:
    """Event: acquisition of signal."""

    contact: Contact
    """The pass that begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactEnded:
    """Event: loss of signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitterReady:
    """Event: the transmitter has room for one frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeard:
    """Event: the receiver has heard a frame, damaged or not."""

    frame: bytes
    """As it arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitFrame:
    """Action: send this frame now."""

    frame: bytes
    """A whole transfer frame."""
    robust: bool = False
    """Whether the radio should code it more strongly than the contact's rate profile says: alerts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt:
    """Action: nothing to send; offer the transmitter again at this time, or when a frame has been heard."""

    at_ms: int | None
    """None: only a heard frame can help."""

"""Who speaks where on the link: application process identifiers, virtual channels, entity numbers, sizes and timers."""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_source_transaction import SourceSettings
from downlink.frame_security import SECURITY_BYTES
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES

PDU_FRAMES_LIMIT: Final = 8
"""A PDU of file data fills at most so many frames."""
PDU_HEADERS_BYTES: Final = 19
"""Space packet 6, PDU header 9, offset 4."""
FRAMES_PER_PDU_FRAME: Final = 64
"""For each frame that a PDU fills the contact must have so many left."""
SHORTEST_UPLINK_PDU_BYTES: Final = 48
"""A NAK needs so much even where frames are shorter; it then crosses from frame to frame."""


class Apid(IntEnum):
    """Application processes of the space packets, 133.0-B-2 4.1.3.3.4."""

    EXPRESS = 0x101
    """Down: one record, a summary or an alert batch."""
    FILES_DOWN = 0x102
    """Down: one CFDP PDU."""
    ERASURE_DOWN = 0x103
    """Down: one symbol of an erasure-coded layer."""
    EXPRESS_RECEIPT = 0x111
    """Up: addresses of express records that the ground holds."""
    FILES_UP = 0x112
    """Up: one CFDP PDU."""
    COMMAND = 0x113
    """Up: one command."""
    COMMAND_REPORT = 0x104
    """Down: what became of commands, and what was refused."""
    HOUSEKEEPING = 0x105
    """Down: how the satellite is."""


class VirtualChannel(IntEnum):
    """Virtual channels of the transfer frames; each counts its own frames."""

    EXPRESS = 0
    FILES = 1
    COMMANDS = 2
    """Up: receipts and PDUs."""
    ERASURE = 3
    """Down: symbols of erasure-coded layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProfile:
    """What both ends must have in common."""

    spacecraft_id: int = 0x2A5
    """10 bits."""
    frame_bytes: int = 1115
    """Length of a downlink transfer frame."""
    uplink_frame_bytes: int = 256
    """Length of an uplink transfer frame."""
    onboard_entity: int = 1
    """CFDP entity of the satellite."""
    ground_entity: int = 2
    """CFDP entity of the ground."""
    bundle_bytes: int = 65_536
    """Layers are sent in files of about this size; a larger layer is a file of its own."""
    express_repeat_ms: int = 1000
    """Wait for a receipt before an express record is sent again; doubled each time within a contact."""
    ack_timeout_ms: int = 2000
    """Wait for the acknowledgement of an EndOfFile before repeating it."""
    nak_timeout_ms: int = 1000
    """Wait for missing segments before asking again."""
    silence_ms: int = 60_000
    """Silence about a file, link time, after which the ground asks whether it is still being sent; after as long again it
    gives the file up and keeps its whole records."""

    @property
    def pdu_bytes(self) -> int:
        """CFDP PDU that with its packet header fills the packet zone of a frame."""
        return self.frame_bytes - 16

    @property
    def longest_pdu_bytes(self) -> int:
        """PDU that fills `PDU_FRAMES_LIMIT` frames."""
        return self.pdu_bytes + (PDU_FRAMES_LIMIT - 1) * (self.frame_bytes - FRAME_OVERHEAD_BYTES)

    def frames_per_pdu(self, frame_loss: float, contact_bytes: int) -> int:
        """How many frames a PDU of file data should fill: long ones save headers, short ones lose less with a lost frame.

        With h bytes of headers per PDU and z bytes of packets per frame, n frames cost h/(n z) + (n - 1) p more than they
        must; the best n is the root of h/(z p). In a short contact a PDU cut by loss of signal counts too.
        """
        best = math.sqrt(PDU_HEADERS_BYTES / (self.frame_bytes - FRAME_OVERHEAD_BYTES) / max(frame_loss, 1e-6))
        fitting = contact_bytes // (FRAMES_PER_PDU_FRAME * self.frame_bytes)
        return max(1, min(round(best), fitting, PDU_FRAMES_LIMIT))

    @property
    def source_settings(self) -> SourceSettings:
        return SourceSettings(
            max_pdu_bytes=self.longest_pdu_bytes,
            frame_pdu_bytes=self.pdu_bytes,
            entity_id_bytes=1,
            transaction_seq_bytes=3,
            ack_timeout_ms=self.ack_timeout_ms,
            max_ack_timeout_ms=8 * self.ack_timeout_ms,
        )

    @property
    def destination_settings(self) -> DestinationSettings:
        return DestinationSettings(
            max_pdu_bytes=max(SHORTEST_UPLINK_PDU_BYTES, self.uplink_frame_bytes - SECURITY_BYTES - 16),
            nak_timeout_ms=self.nak_timeout_ms,
            finished_timeout_ms=self.ack_timeout_ms,
            inactivity_timeout_ms=max(self.silence_ms, 16 * self.ack_timeout_ms),
        )

"""CCSDS AOS transfer frames (732.0-B-4): the fixed-length units that the radio sends.

    version 2 bits (01) | spacecraft id, low 8 | virtual channel 6 | frame count 24                       primary header, 6 bytes
    replay 1 | cycle in use 1 | spacecraft id, high 2 | frame count cycle 4
    spare 5 bits | first header pointer 11                                                                  packet zone header, 2
    packet zone: a stretch of the virtual channel's packet stream                                                frame_bytes - 10
    CRC-16 over all the above (polynomial 0x1021, preset 0xFFFF)                                              error control field, 2

No insert zone, no operational control field, no header error control. The frame count cycle is in use, so a virtual
channel's count has 28 bits: at 1000 frames a second it wraps after three days.
"""

import binascii
import struct
from dataclasses import dataclass

from downlink.errors import TransferFrameError

AOS_VERSION = 1
DEFAULT_FRAME_BYTES = 1115
FRAME_OVERHEAD_BYTES = 10
MIN_FRAME_BYTES = FRAME_OVERHEAD_BYTES + 7
MAX_FRAME_BYTES = 2048
FRAME_COUNT_MODULUS = 1 << 28
IDLE_VC_ID = 63
MAX_SPACECRAFT_ID = 1023
NO_PACKET_STARTS = 0x7FF
ONLY_IDLE_DATA = 0x7FE

_HEADER = struct.Struct(">HIH")
_ERROR_CONTROL_BYTES = 2
_CYCLE_IN_USE = 0x40


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFrame:
    """One AOS transfer frame that carries a packet zone."""

    spacecraft_id: int
    """0..1023; the two high bits travel in the signalling field"""
    vc_id: int
    """virtual channel, 0..62; 63 is idle"""
    frame_count: int
    """count of frames of this virtual channel, 0..2**28 - 1"""
    first_header_pointer: int
    """offset of the first packet header in `packet_zone`; 0x7FF: no packet starts here; 0x7FE: only idle data"""
    packet_zone: bytes
    """7..2038 bytes of the packet stream"""
    replay: bool = False
    """whether the frame comes from a recorder"""

    def __post_init__(self) -> None:
        if not 0 <= self.spacecraft_id <= MAX_SPACECRAFT_ID:
            raise TransferFrameError(
                f"spacecraft id {self.spacecraft_id} does not fit 10 bits; use 0..{MAX_SPACECRAFT_ID}"
            )
        if not 0 <= self.vc_id <= IDLE_VC_ID:
            raise TransferFrameError(f"virtual channel {self.vc_id} does not fit 6 bits; use 0..{IDLE_VC_ID}")
        if not 0 <= self.frame_count < FRAME_COUNT_MODULUS:
            raise TransferFrameError(f"frame count {self.frame_count} does not fit 28 bits")
        if not 0 <= self.first_header_pointer <= NO_PACKET_STARTS:
            raise TransferFrameError(f"first header pointer {self.first_header_pointer} does not fit 11 bits")
        check_frame_bytes(len(self.packet_zone) + FRAME_OVERHEAD_BYTES)

    def encode(self) -> bytes:
        """The frame as bytes: the packet zone and 10 bytes more."""
        channel = ChannelHeader(self.spacecraft_id, self.vc_id, replay=self.replay)
        return channel.frame(self.frame_count, self.first_header_pointer, self.packet_zone)


class ChannelHeader:
    """What the headers of all frames of one virtual channel share, worked out once."""

    __slots__ = ("_identification", "_signalling")

    def __init__(self, spacecraft_id: int, vc_id: int, *, replay: bool = False) -> None:
        self._identification = 1 << 14 | (spacecraft_id & 0xFF) << 6 | vc_id
        self._signalling = replay << 7 | _CYCLE_IN_USE | spacecraft_id >> 8 << 4

    def frame(self, frame_count: int, first_header_pointer: int, packet_zone: bytes | bytearray) -> bytes:
        """The frame as bytes. The fields are taken to be in range."""
        count = (frame_count & 0xFFFFFF) << 8 | self._signalling | frame_count >> 24
        header = _HEADER.pack(self._identification, count, first_header_pointer)
        check = binascii.crc_hqx(packet_zone, binascii.crc_hqx(header, 0xFFFF))
        return b"".join((header, packet_zone, check.to_bytes(2)))


def check_frame_bytes(frame_bytes: int) -> None:
    """Raises TransferFrameError unless a frame may be `frame_bytes` long."""
    if not MIN_FRAME_BYTES <= frame_bytes <= MAX_FRAME_BYTES:
        raise TransferFrameError(f"frame of {frame_bytes} bytes; use {MIN_FRAME_BYTES}..{MAX_FRAME_BYTES}")


def frame_is_intact(frame: bytes) -> bool:
    """Whether the error control field of a received frame agrees with the rest of it."""
    return binascii.crc_hqx(frame, 0xFFFF) == 0


def decode_transfer_frame(frame: bytes) -> TransferFrame:
    """The frame that `frame` is. Raises TransferFrameError on a wrong length, check value or version.

    A sender that does not use the frame count cycle is read with a cycle of 0.
    """
    check_frame_bytes(len(frame))
    if not frame_is_intact(frame):
        raise TransferFrameError(f"frame of {len(frame)} bytes fails its error control field")
    version, spacecraft_id, vc_id, frame_count, pointer = read_header(frame)
    if version != AOS_VERSION:
        raise TransferFrameError(f"transfer frame version {version} is not {AOS_VERSION} (AOS)")
    return TransferFrame(
        spacecraft_id=spacecraft_id,
        vc_id=vc_id,
        frame_count=frame_count,
        first_header_pointer=pointer,
        packet_zone=packet_zone(frame),
        replay=bool(frame[5] & 0x80),
    )


def read_header(frame: bytes) -> tuple[int, int, int, int, int]:
    """Version, spacecraft id, virtual channel, frame count and first header pointer of an intact frame."""
    identification, count, pointer = _HEADER.unpack_from(frame)
    cycle = count & 0xF if count & _CYCLE_IN_USE else 0
    spacecraft_id = (count >> 4 & 3) << 8 | identification >> 6 & 0xFF
    return (
        identification >> 14,
        spacecraft_id,
        identification & 0x3F,
        cycle << 24 | count >> 8,
        pointer & NO_PACKET_STARTS,
    )


def packet_zone(frame: bytes) -> bytes:
    """What a frame carries between its header and its error control field."""
    return frame[_HEADER.size : -_ERROR_CONTROL_BYTES]

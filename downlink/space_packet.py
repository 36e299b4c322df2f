"""CCSDS space packets (133.0-B-2): what every alert and every file delivery PDU travels in.

A packet is a 6-byte primary header and 1 to 65536 bytes of data:

    version 3 bits (0) | type 1 | secondary header 1 | APID 11 | sequence flags 2 | sequence count 14 | data length - 1, 16

`SpacePacket.encode` and `decode_space_packet` are for one packet whose bounds are known; `scan_space_packets` finds packets in a
stream that may hold anything, and never raises on what it reads.
"""

import struct
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from downlink.errors import SpacePacketError

PRIMARY_HEADER_BYTES = 6
MAX_PACKET_BYTES = 65542
MIN_PACKET_BYTES = 7
IDLE_APID = 0x7FF
SEQUENCE_COUNT_MODULUS = 1 << 14

_HEADER = struct.Struct(">HHH")


class PacketType(IntEnum):
    """Which way a packet goes (133.0-B-2, 4.1.3.3.2)."""

    TELEMETRY = 0
    TELECOMMAND = 1


class SequenceFlags(IntEnum):
    """Where a packet stands in a group of packets (133.0-B-2, 4.1.3.4.2)."""

    CONTINUATION = 0
    FIRST = 1
    LAST = 2
    UNSEGMENTED = 3


_UNSEGMENTED = int(SequenceFlags.UNSEGMENTED) << 14
_PACKET_TYPES, _SEQUENCE_FLAGS = tuple(PacketType), tuple(SequenceFlags)


class _PacketFields(NamedTuple):
    apid: int
    """application process that sends or receives it, 0..2047; 2047 is idle"""
    sequence_count: int
    """count of packets of this APID, modulo 16384"""
    data: bytes
    """secondary header (where `secondary_header` is set) and user data, 1..65536 bytes"""
    packet_type: PacketType
    """telemetry or telecommand"""
    sequence_flags: SequenceFlags
    """place in a group of packets"""
    secondary_header: bool
    """whether `data` begins with a secondary header"""


class SpacePacket(_PacketFields):
    """One space packet. Fields that do not fit are refused with SpacePacketError.

    A tuple because every received packet becomes one: `_make`, which checks nothing, serves where the fields come from a header.
    """

    __slots__ = ()

    def __new__(
        cls,
        *,
        apid: int,
        sequence_count: int,
        data: bytes,
        packet_type: PacketType = PacketType.TELEMETRY,
        sequence_flags: SequenceFlags = SequenceFlags.UNSEGMENTED,
        secondary_header: bool = False,
    ) -> "SpacePacket":
        if not 0 <= apid <= IDLE_APID:
            raise SpacePacketError(f"APID {apid} does not fit 11 bits; use 0..{IDLE_APID}")
        if not 0 <= sequence_count < SEQUENCE_COUNT_MODULUS:
            raise SpacePacketError(f"sequence count {sequence_count} does not fit 14 bits; see next_sequence_count")
        if not 1 <= len(data) <= MAX_PACKET_BYTES - PRIMARY_HEADER_BYTES:
            raise SpacePacketError(
                f"packet data of {len(data)} bytes; a space packet carries 1..{MAX_PACKET_BYTES - PRIMARY_HEADER_BYTES},"
                " send longer data as a file"
            )
        return cls._make((apid, sequence_count, data, packet_type, sequence_flags, secondary_header))

    @property
    def is_idle(self) -> bool:
        """Whether the packet only fills space."""
        return self.apid == IDLE_APID

    def encode(self) -> bytes:
        """The packet as bytes, 7..65542 of them."""
        identification = self.packet_type << 12 | self.secondary_header << 11 | self.apid
        sequence = self.sequence_flags << 14 | self.sequence_count
        return _HEADER.pack(identification, sequence, len(self.data) - 1) + self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketScan:
    """What a scan made of a stretch of bytes: `found` and `skipped` together cover the first `consumed` bytes."""

    found: tuple[SpacePacket, ...]
    """packets, in order"""
    skipped: tuple[tuple[int, int], ...]
    """half-open byte ranges that belong to no packet"""
    consumed: int
    """bytes dealt with; what follows is the beginning of a packet that has not arrived whole"""


def next_sequence_count(sequence_count: int) -> int:
    """The sequence count that follows, wrapped at 14 bits."""
    return (sequence_count + 1) % SEQUENCE_COUNT_MODULUS


def packet_length_bytes(data: bytes | bytearray, start: int = 0) -> int:
    """Length of the whole packet whose primary header begins at `start`."""
    return (data[start + 4] << 8 | data[start + 5]) + 1 + PRIMARY_HEADER_BYTES


class PacketStream:
    """The packets of one application process, numbered as they are made (133.0-B-2, 4.1.3.4.3): headers with little work."""

    __slots__ = ("_identification", "_next_sequence")

    def __init__(self, apid: int, packet_type: PacketType = PacketType.TELEMETRY) -> None:
        if not 0 <= apid < IDLE_APID:
            raise SpacePacketError(f"APID {apid} is not that of an application process; use 0..{IDLE_APID - 1}")
        self._identification = packet_type << 12 | apid
        self._next_sequence = _UNSEGMENTED

    def packet(self, data: bytes) -> bytes:
        """The next packet, encoded. Raises SpacePacketError when `data` do not fit one packet."""
        if not 0 < len(data) <= MAX_PACKET_BYTES - PRIMARY_HEADER_BYTES:
            raise SpacePacketError(
                f"packet data of {len(data)} bytes; a space packet carries 1..{MAX_PACKET_BYTES - PRIMARY_HEADER_BYTES}"
            )
        header = _HEADER.pack(self._identification, self._next_sequence, len(data) - 1)
        self._next_sequence = _UNSEGMENTED | (self._next_sequence + 1) % SEQUENCE_COUNT_MODULUS
        return header + data


def idle_packet(total_bytes: int) -> bytes:
    """An idle packet (APID 2047) of `total_bytes` bytes, 7..65542, header included."""
    if not MIN_PACKET_BYTES <= total_bytes <= MAX_PACKET_BYTES:
        raise SpacePacketError(f"idle packet of {total_bytes} bytes; use {MIN_PACKET_BYTES}..{MAX_PACKET_BYTES}")
    fill = b"\x55" * (total_bytes - PRIMARY_HEADER_BYTES)
    return SpacePacket(apid=IDLE_APID, sequence_count=0, data=fill).encode()


def decode_space_packet(data: bytes) -> SpacePacket:
    """The packet that `data` is, whole and alone. Raises SpacePacketError when it is not exactly one packet."""
    if len(data) < MIN_PACKET_BYTES:
        raise SpacePacketError(f"{len(data)} bytes are too few for a space packet of at least {MIN_PACKET_BYTES}")
    if data[0] >> 5:
        raise SpacePacketError(f"packet version {data[0] >> 5} is not 0: these bytes are no space packet")
    if packet_length_bytes(data) != len(data):
        raise SpacePacketError(f"header announces {packet_length_bytes(data)} bytes, {len(data)} are here")
    return read_packet(data, 0, len(data))


def read_packet(data: bytes, start: int, end: int) -> SpacePacket:
    """The packet that data[start:end] is, where its version and its length are known to be right."""
    identification, sequence, _ = _HEADER.unpack_from(data, start)
    return SpacePacket._make(
        (
            identification & IDLE_APID,
            sequence & (SEQUENCE_COUNT_MODULUS - 1),
            data[start + PRIMARY_HEADER_BYTES : end],
            _PACKET_TYPES[identification >> 12 & 1],
            _SEQUENCE_FLAGS[sequence >> 14],
            identification & 0x800 != 0,
        )
    )


def scan_space_packets(data: bytes, *, apids: Collection[int] | None = None) -> PacketScan:
    """Finds the packets in `data`, skipping what is none.

    A packet is believed where the version is 0 and the APID is one of `apids` (None: any). Space packets carry no check value, so
    in a noisy stream name the APIDs that are expected. Keep `data[scan.consumed:]` and scan it again with what follows.
    """
    found: list[SpacePacket] = []
    skipped: list[tuple[int, int]] = []
    position, noise_start = 0, 0
    while position + PRIMARY_HEADER_BYTES <= len(data):
        identification = data[position] << 8 | data[position + 1]
        if identification >> 13 or (apids is not None and identification & IDLE_APID not in apids):
            position += 1
            continue
        end = position + packet_length_bytes(data, position)
        if end > len(data):
            break
        if noise_start < position:
            skipped.append((noise_start, position))
        found.append(decode_space_packet(data[position:end]))
        position = noise_start = end
    if noise_start < position:
        skipped.append((noise_start, position))
    return PacketScan(found=tuple(found), skipped=tuple(skipped), consumed=position)

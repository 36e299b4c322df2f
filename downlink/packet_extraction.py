"""Space packets back out of the packet zones of one virtual channel."""

from typing import NamedTuple

from downlink.space_packet import IDLE_APID, PRIMARY_HEADER_BYTES, SpacePacket, packet_length_bytes, read_packet
from downlink.transfer_frame import NO_PACKET_STARTS


class ExtractedPackets(NamedTuple):
    """What one packet zone completed."""

    packets: list[SpacePacket]
    """packets that ended in this zone, in order, idle packets left out"""
    discarded_bytes: int
    """bytes of packets that can never be completed, or that contradict the first header pointer"""


class PacketExtraction:
    """Follows the packet stream of one virtual channel from zone to zone.

    Holds at most one unfinished packet (65542 bytes). After a loss it waits for the next packet header that a first header pointer
    names: nothing is guessed from the bytes themselves.
    """

    def __init__(self) -> None:
        self._unfinished = bytearray()
        self._in_step = False

    def lose_step(self) -> int:
        """Forgets the unfinished packet, because what continues it is lost. Returns the bytes given up."""
        discarded = len(self._unfinished)
        self._unfinished.clear()
        self._in_step = False
        return discarded

    def take(self, zone: bytes, first_header_pointer: int) -> ExtractedPackets:
        """The packets that `zone`, the successor of the zone taken last, completes."""
        packets: list[SpacePacket] = []
        if first_header_pointer == NO_PACKET_STARTS:
            return ExtractedPackets(packets, self._continue(zone, None, packets))
        if first_header_pointer >= len(zone):
            return ExtractedPackets(packets, self.lose_step() + len(zone))
        discarded = 0
        if first_header_pointer or self._unfinished:
            discarded = self._continue(zone[:first_header_pointer], first_header_pointer, packets)
        self._in_step = True
        return ExtractedPackets(packets, discarded + self._start(zone, first_header_pointer, packets))

    def take_alone(self, zone: bytes, first_header_pointer: int) -> ExtractedPackets:
        """The packets that lie wholly inside `zone`, a zone out of order. The stream in progress is left as it is."""
        alone = PacketExtraction()
        packets, discarded = alone.take(zone, first_header_pointer)
        return ExtractedPackets(packets, discarded + alone.lose_step())

    def _continue(self, head: bytes, first_header_pointer: int | None, packets: list[SpacePacket]) -> int:
        """Adds `head` to the unfinished packet. Returns the bytes that turn out to be of no packet."""
        if not self._in_step:
            return len(head)
        held = self._unfinished
        held += head
        if len(held) >= PRIMARY_HEADER_BYTES:
            length = packet_length_bytes(held)
            if held[0] >> 5 == 0 and length == len(held):
                _append(bytes(held), 0, length, packets)
                held.clear()
                return 0
            if held[0] >> 5 == 0 and length > len(held) and first_header_pointer is None:
                return 0
        elif first_header_pointer is None or not held:
            return 0
        return self.lose_step()

    def _start(self, zone: bytes, position: int, packets: list[SpacePacket]) -> int:
        """Reads packets from the header at `position` on, and keeps the last one where it is unfinished."""
        while position + PRIMARY_HEADER_BYTES <= len(zone):
            if zone[position] >> 5:
                self._in_step = False
                return len(zone) - position
            end = position + packet_length_bytes(zone, position)
            if end > len(zone):
                break
            _append(zone, position, end, packets)
            position = end
        self._unfinished += zone[position:]
        return 0


def _append(data: bytes, start: int, end: int, packets: list[SpacePacket]) -> None:
    """Appends the packet that data[start:end] is, unless it is idle."""
    packet = read_packet(data, start, end)
    if packet.apid != IDLE_APID:
        packets.append(packet)

"""Space packets back out of the packet zones of one virtual channel."""

from downlink.space_packet import IDLE_APID, PRIMARY_HEADER_BYTES, SpacePacket, packet_length_bytes, read_packet
from downlink.transfer_frame import NO_PACKET_STARTS

Extracted = tuple[list[SpacePacket], int]
"""Packets that one zone completed, in order, idle packets left out; and bytes of packets that can never be completed, or that
contradict the first header pointer."""


class PacketExtraction:
    """Follows the packet stream of one virtual channel from zone to zone.

    Holds at most one unfinished packet (65542 bytes). After a loss it waits for the next packet header that a first header pointer
    names: nothing is guessed from the bytes themselves.
    """

    __slots__ = ("_in_step", "_unfinished")

    def __init__(self) -> None:
        # A packet that spans many zones is gathered in a bytearray, so that it is not copied with each of them.
        self._unfinished: bytes | bytearray = b""
        self._in_step = False

    def lose_step(self) -> int:
        """Forgets the unfinished packet, because what continues it is lost. Returns the bytes given up."""
        discarded = len(self._unfinished)
        self._unfinished = b""
        self._in_step = False
        return discarded

    def take(self, zone: bytes, first_header_pointer: int) -> Extracted:
        """The packets that `zone`, the successor of the zone taken last, completes."""
        packets: list[SpacePacket] = []
        position, zone_bytes, discarded = first_header_pointer, len(zone), 0
        if position == NO_PACKET_STARTS:
            return packets, self._continue(zone, packets)
        if position >= zone_bytes:
            return packets, self.lose_step() + zone_bytes
        if position or self._unfinished:
            discarded = self._end(zone[:position], packets)
        self._in_step = True
        while position + PRIMARY_HEADER_BYTES <= zone_bytes:
            if zone[position] >> 5:
                self._in_step = False
                return packets, discarded + zone_bytes - position
            end = position + packet_length_bytes(zone, position)
            if end > zone_bytes:
                break
            packet = read_packet(zone, position, end)
            if packet.apid != IDLE_APID:
                packets.append(packet)
            position = end
        self._unfinished = zone[position:]
        return packets, discarded

    def take_alone(self, zone: bytes, first_header_pointer: int) -> Extracted:
        """The packets that lie wholly inside `zone`, a zone out of order. The stream in progress is left as it is."""
        alone = PacketExtraction()
        packets, discarded = alone.take(zone, first_header_pointer)
        return packets, discarded + alone.lose_step()

    def _end(self, tail: bytes, packets: list[SpacePacket]) -> int:
        """Ends the unfinished packet with `tail`. Returns the bytes that turn out to be of no packet."""
        if not self._in_step:
            return len(tail)
        packet = bytes(self._unfinished) + tail
        self._unfinished = b""
        if not _is_packet(packet):
            return len(packet)
        ended = read_packet(packet, 0, len(packet))
        if ended.apid != IDLE_APID:
            packets.append(ended)
        return 0

    def _continue(self, zone: bytes, packets: list[SpacePacket]) -> int:
        """Adds a zone in which no packet starts to the unfinished packet. Returns the bytes that turn out to be of no packet."""
        if not self._in_step:
            return len(zone)
        held = self._unfinished = (
            bytearray(self._unfinished) if isinstance(self._unfinished, bytes) else self._unfinished
        )
        held += zone
        if _is_packet(held):
            return self._end(b"", packets)
        if len(held) < PRIMARY_HEADER_BYTES or (held[0] >> 5 == 0 and packet_length_bytes(held) > len(held)):
            return 0
        return self.lose_step()


def _is_packet(data: bytes | bytearray) -> bool:
    """Whether the data are one whole packet by their header."""
    return len(data) >= PRIMARY_HEADER_BYTES and data[0] >> 5 == 0 and packet_length_bytes(data) == len(data)

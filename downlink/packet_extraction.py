"""Space packets back out of the packet zones of one virtual channel."""

from dataclasses import dataclass

from downlink.space_packet import PRIMARY_HEADER_BYTES, SpacePacket, decode_space_packet, packet_length_bytes
from downlink.transfer_frame import NO_PACKET_STARTS


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedPackets:
    """What one packet zone completed."""

    packets: tuple[SpacePacket, ...]
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
            return ExtractedPackets(discarded_bytes=self._continue(zone, None, packets), packets=tuple(packets))
        if first_header_pointer >= len(zone):
            return ExtractedPackets(discarded_bytes=self.lose_step() + len(zone), packets=())
        discarded = self._continue(zone[:first_header_pointer], first_header_pointer, packets)
        self._in_step = True
        discarded += self._start(zone[first_header_pointer:], packets)
        return ExtractedPackets(packets=tuple(packets), discarded_bytes=discarded)

    def take_alone(self, zone: bytes, first_header_pointer: int) -> ExtractedPackets:
        """The packets that lie wholly inside `zone`, a zone out of order. The stream in progress is left as it is."""
        alone = PacketExtraction()
        extracted = alone.take(zone, first_header_pointer)
        return ExtractedPackets(
            packets=extracted.packets, discarded_bytes=extracted.discarded_bytes + alone.lose_step()
        )

    def _continue(self, head: bytes, first_header_pointer: int | None, packets: list[SpacePacket]) -> int:
        """Adds `head` to the unfinished packet. Returns the bytes that turn out to be of no packet."""
        if not self._in_step:
            return len(head)
        held = self._unfinished
        held += head
        if len(held) >= PRIMARY_HEADER_BYTES:
            length = packet_length_bytes(held)
            if held[0] >> 5 == 0 and length == len(held):
                self._finish(bytes(held), packets)
                held.clear()
                return 0
            if held[0] >> 5 == 0 and length > len(held) and first_header_pointer is None:
                return 0
        elif first_header_pointer is None or not held:
            return 0
        return self.lose_step()

    def _start(self, rest: bytes, packets: list[SpacePacket]) -> int:
        """Reads packets from a header on, and keeps the last one where it is unfinished."""
        position = 0
        while position + PRIMARY_HEADER_BYTES <= len(rest):
            if rest[position] >> 5:
                self._in_step = False
                return len(rest) - position
            end = position + packet_length_bytes(rest[position : position + PRIMARY_HEADER_BYTES])
            if end > len(rest):
                break
            self._finish(rest[position:end], packets)
            position = end
        self._unfinished += rest[position:]
        return 0

    @staticmethod
    def _finish(packet: bytes, packets: list[SpacePacket]) -> None:
        decoded = decode_space_packet(packet)
        if not decoded.is_idle:
            packets.append(decoded)

"""Packets in, transfer frames out: the sending side of one virtual channel (732.0-B-4, 4.2.2, the M_PDU service)."""

from collections import deque

from downlink.errors import TransferFrameError
from downlink.space_packet import MIN_PACKET_BYTES, idle_packet, packet_length_bytes
from downlink.transfer_frame import (
    DEFAULT_FRAME_BYTES,
    FRAME_COUNT_MODULUS,
    FRAME_OVERHEAD_BYTES,
    IDLE_VC_ID,
    MAX_SPACECRAFT_ID,
    NO_PACKET_STARTS,
    ChannelHeader,
    check_frame_bytes,
)


class FrameAssembler:
    """Lays the packets of one virtual channel end to end in the packet zones of fixed-length frames.

    Packets cross from frame to frame, so nothing is wasted while there is more to send. When there is not, `next_frame(flush=True)`
    fills the rest with an idle packet rather than let an alert wait for company. Save `next_frame_count` across a reboot: a
    receiver tells lost frames by it.
    """

    def __init__(
        self, spacecraft_id: int, vc_id: int, *, frame_bytes: int = DEFAULT_FRAME_BYTES, next_frame_count: int = 0
    ) -> None:
        check_frame_bytes(frame_bytes)
        if not 0 <= vc_id < IDLE_VC_ID:
            raise TransferFrameError(f"virtual channel {vc_id} carries no packets; use 0..{IDLE_VC_ID - 1}")
        if not 0 <= spacecraft_id <= MAX_SPACECRAFT_ID:
            raise TransferFrameError(f"spacecraft id {spacecraft_id} does not fit 10 bits; use 0..{MAX_SPACECRAFT_ID}")
        if not 0 <= next_frame_count < FRAME_COUNT_MODULUS:
            raise TransferFrameError(f"frame count {next_frame_count} does not fit 28 bits")
        self.spacecraft_id = spacecraft_id
        self.vc_id = vc_id
        self.frame_bytes = frame_bytes
        self.next_frame_count = next_frame_count
        self._header = ChannelHeader(spacecraft_id, vc_id)
        self._zone_bytes = frame_bytes - FRAME_OVERHEAD_BYTES
        self._stream = bytearray()
        # Where packets start, counted from the first byte ever pushed; _framed_bytes of them have left.
        self._starts: deque[int] = deque()
        self._framed_bytes = 0
        self._idle_tail_bytes = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes of pushed packets that no frame has carried yet. The tail of an idle packet is not counted."""
        return len(self._stream) - self._idle_tail_bytes

    @property
    def full_frame_ready(self) -> bool:
        """Whether the next frame needs no fill."""
        return len(self._stream) >= self._zone_bytes

    @property
    def room_bytes(self) -> int:
        """Bytes of packets that the next frame still takes; 0 when it is full."""
        return max(0, self._zone_bytes - len(self._stream))

    def push(self, packet: bytes) -> None:
        """Queues one encoded space packet. Raises TransferFrameError when the bytes are not one packet long."""
        if len(packet) < MIN_PACKET_BYTES or packet_length_bytes(packet) != len(packet):
            raise TransferFrameError(
                f"{len(packet)} bytes pushed that are not one space packet; push SpacePacket.encode()"
            )
        self._starts.append(self._framed_bytes + len(self._stream))
        self._stream += packet
        self._idle_tail_bytes = 0

    def next_frame(self, *, flush: bool = False) -> bytes | None:
        """The next frame, or None while less than a frame's worth waits (with `flush`: while nothing waits)."""
        missing = self._zone_bytes - len(self._stream)
        if missing > 0:
            if not flush or not self.pending_bytes:
                return None
            self._fill(missing)
        zone_start, zone_end = self._framed_bytes, self._framed_bytes + self._zone_bytes
        starts = self._starts
        pointer = starts[0] - zone_start if starts and starts[0] < zone_end else NO_PACKET_STARTS
        frame = self._header.frame(self.next_frame_count, pointer, self._stream[: self._zone_bytes])
        del self._stream[: self._zone_bytes]
        self._framed_bytes = zone_end
        while starts and starts[0] < zone_end:
            starts.popleft()
        self.next_frame_count = (self.next_frame_count + 1) % FRAME_COUNT_MODULUS
        return frame

    def _fill(self, missing: int) -> None:
        # The shortest idle packet is 7 bytes: where less is missing, its tail goes into the next frame.
        fill = idle_packet(max(missing, MIN_PACKET_BYTES))
        self._starts.append(self._framed_bytes + len(self._stream))
        self._stream += fill
        self._idle_tail_bytes = len(fill) - missing

"""Transfer frames in, packets out: the receiving side of a physical channel. What was heard is data, never an exception."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from downlink.packet_extraction import PacketExtraction
from downlink.space_packet import SpacePacket
from downlink.transfer_frame import (
    AOS_VERSION,
    DEFAULT_FRAME_BYTES,
    FRAME_COUNT_MODULUS,
    IDLE_VC_ID,
    ONLY_IDLE_DATA,
    check_frame_bytes,
    frame_is_intact,
    packet_zone,
    read_header,
)

# A frame this far behind the one due is late; one further behind means that the counter was restarted.
LATE_WINDOW_FRAMES = 256
# Twice the window, because late frames take places too.
REMEMBERED_FRAMES = 2 * LATE_WINDOW_FRAMES


class FrameVerdict(StrEnum):
    """What a reader made of one frame."""

    IN_ORDER = "in_order"
    """the frame that was due"""
    AFTER_GAP = "after_gap"
    """a later frame than was due: `frames_lost` were not seen before it"""
    LATE = "late"
    """a frame counted lost before; packets that lie wholly inside it are read"""
    DUPLICATE = "duplicate"
    """a frame already read; nothing is read from it"""
    RESTARTED = "restarted"
    """the sender's counter jumped back: it has rebooted without its count"""
    IDLE = "idle"
    """an idle frame"""
    CORRUPT = "corrupt"
    """the wrong length, or the error control field disagrees"""
    FOREIGN = "foreign"
    """intact, but of another format, spacecraft or virtual channel"""


class FrameReading(NamedTuple):
    """The outcome of one received frame."""

    verdict: FrameVerdict
    """what the frame was"""
    packets: tuple[SpacePacket, ...] = ()
    """packets that the frame completed, in order"""
    vc_id: int | None = None
    """virtual channel, where the frame could be read"""
    frame_count: int | None = None
    """its count, where the frame could be read"""
    frames_lost: int = 0
    """frames missing between the last one of this channel and this one; late ones may still come"""
    discarded_bytes: int = 0
    """packet bytes given up because of this frame"""


@dataclass(slots=True)
class _VirtualChannel:
    extraction: PacketExtraction = field(default_factory=PacketExtraction)
    next_count: int | None = None
    # Count of each recent frame with its check value, oldest first: tells a duplicate from a new frame after a restart.
    recent: OrderedDict[int, bytes] = field(default_factory=OrderedDict)


class FrameReader:
    """Reads the frames of one spacecraft, every virtual channel with its own count and packet stream.

    Memory is bounded: per virtual channel one unfinished packet and the counts of the last 512 frames.
    """

    def __init__(
        self,
        spacecraft_id: int,
        *,
        frame_bytes: int = DEFAULT_FRAME_BYTES,
        vc_ids: Collection[int] | None = None,
    ) -> None:
        check_frame_bytes(frame_bytes)
        self.spacecraft_id = spacecraft_id
        self.frame_bytes = frame_bytes
        self.vc_ids = None if vc_ids is None else frozenset(vc_ids)
        self._channels: dict[int, _VirtualChannel] = {}

    def feed(self, frame: bytes) -> FrameReading:
        """Reads one frame as the radio delivered it, damaged or not."""
        if len(frame) != self.frame_bytes or not frame_is_intact(frame):
            return FrameReading(FrameVerdict.CORRUPT)
        version, spacecraft_id, vc_id, frame_count, pointer = read_header(frame)
        if version != AOS_VERSION or spacecraft_id != self.spacecraft_id:
            return FrameReading(FrameVerdict.FOREIGN)
        if vc_id == IDLE_VC_ID:
            return FrameReading(FrameVerdict.IDLE, (), vc_id, frame_count)
        if self.vc_ids is not None and vc_id not in self.vc_ids:
            return FrameReading(FrameVerdict.FOREIGN, (), vc_id, frame_count)
        channel = self._channels.get(vc_id)
        if channel is None:
            channel = self._channels[vc_id] = _VirtualChannel()
        verdict, frames_lost, lost_bytes = FrameVerdict.IN_ORDER, 0, 0
        if frame_count != channel.next_count:
            verdict, frames_lost = _judge(channel, frame_count, frame[-2:])
            if verdict is FrameVerdict.DUPLICATE:
                return FrameReading(verdict, (), vc_id, frame_count)
            lost_bytes = _leave_order(channel, verdict)
        _remember(channel, frame_count, frame[-2:])
        if verdict is FrameVerdict.LATE:
            packets, discarded = channel.extraction.take_alone(packet_zone(frame), pointer)
            return FrameReading(verdict, tuple(packets), vc_id, frame_count, frames_lost, discarded)
        channel.next_count = (frame_count + 1) % FRAME_COUNT_MODULUS
        if pointer == ONLY_IDLE_DATA:
            verdict, packets, discarded = FrameVerdict.IDLE, [], channel.extraction.lose_step()
        else:
            packets, discarded = channel.extraction.take(packet_zone(frame), pointer)
        return FrameReading(verdict, tuple(packets), vc_id, frame_count, frames_lost, lost_bytes + discarded)


def _judge(channel: _VirtualChannel, frame_count: int, check_value: bytes) -> tuple[FrameVerdict, int]:
    """The verdict on a frame of this count, and how many frames are missing before it."""
    if channel.next_count is None or frame_count == channel.next_count:
        return FrameVerdict.IN_ORDER, 0
    if frame_count in channel.recent:
        same = channel.recent[frame_count] == check_value
        return (FrameVerdict.DUPLICATE if same else FrameVerdict.RESTARTED), 0
    ahead = (frame_count - channel.next_count) % FRAME_COUNT_MODULUS
    if ahead < FRAME_COUNT_MODULUS // 2:
        return FrameVerdict.AFTER_GAP, ahead
    behind = FRAME_COUNT_MODULUS - ahead
    return (FrameVerdict.LATE if behind <= LATE_WINDOW_FRAMES else FrameVerdict.RESTARTED), 0


def _leave_order(channel: _VirtualChannel, verdict: FrameVerdict) -> int:
    """Makes ready for a frame that is not the one due. Returns the bytes of an unfinished packet that are given up."""
    if verdict is FrameVerdict.RESTARTED:
        channel.recent.clear()
    return 0 if verdict in (FrameVerdict.LATE, FrameVerdict.IN_ORDER) else channel.extraction.lose_step()


def _remember(channel: _VirtualChannel, frame_count: int, check_value: bytes) -> None:
    channel.recent[frame_count] = check_value
    if len(channel.recent) > REMEMBERED_FRAMES:
        channel.recent.popitem(last=False)

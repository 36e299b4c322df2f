"""Frames that are heard and are not of the mission: noise, idle frames, and another spacecraft that runs the same software."""

from collections.abc import Sequence
from dataclasses import dataclass

from downlink.express import encode_receipts
from downlink.frame_assembler import FrameAssembler
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import ALERTS_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES, IDLE_VC_ID, TransferFrame
from mission.dice import Dice

THEIR_ALERT = LayerAddress(scene=0x12345678, product=ALERTS_PRODUCT, step=0x56)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A frame that is not of this mission."""

    at_ms: int
    """When it is heard."""
    on_board: bool
    """By the satellite, else by the ground."""
    frame: bytes
    """Noise, an idle frame, or an intact frame of another spacecraft that would do harm if it were believed."""


def stranger(dice: Dice, profile: LinkProfile, *, at_ms: int, express: Sequence[LayerAddress]) -> Stranger:
    """A frame of any kind. `express` are addresses of this mission, which a foreign receipt names too."""
    on_board = dice.chance(0.5)
    frame_bytes = profile.uplink_frame_bytes if on_board else profile.frame_bytes
    kind = dice.pick(("noise", "noise of any length", "idle", "another spacecraft", "another spacecraft"))
    if kind == "noise":
        frame = dice.data(frame_bytes)
    elif kind == "noise of any length":
        frame = dice.data(dice.whole(0, 2 * frame_bytes))
    elif kind == "idle":
        frame = TransferFrame(
            spacecraft_id=profile.spacecraft_id,
            vc_id=IDLE_VC_ID,
            frame_count=dice.whole(0, 1000),
            first_header_pointer=0,
            packet_zone=dice.data(frame_bytes - FRAME_OVERHEAD_BYTES),
        ).encode()
    else:
        other_id = (profile.spacecraft_id + dice.whole(1, 1023)) % 1024
        frame = _receipt(other_id, express, frame_bytes) if on_board else _alert(other_id, frame_bytes)
    return Stranger(at_ms=at_ms, on_board=on_board, frame=frame)


def _receipt(spacecraft_id: int, express: Sequence[LayerAddress], frame_bytes: int) -> bytes:
    """Another ground station acknowledges to its own spacecraft layers that have the numbers of ours."""
    fitting = express[: (frame_bytes - 24) // 7]
    packet = PacketSender().packet(Apid.EXPRESS_RECEIPT, encode_receipts(fitting)[0])
    return _frame(spacecraft_id, VirtualChannel.COMMANDS, frame_bytes, packet)


def _alert(spacecraft_id: int, frame_bytes: int) -> bytes:
    record = Record(kind=RecordKind.LAYER, address=THEIR_ALERT, payload=b"\x12\x34\x56\x78")
    return _frame(
        spacecraft_id, VirtualChannel.EXPRESS, frame_bytes, PacketSender().packet(Apid.EXPRESS, encode_record(record))
    )


def _frame(spacecraft_id: int, vc_id: int, frame_bytes: int, packet: bytes) -> bytes:
    assembler = FrameAssembler(spacecraft_id, vc_id, frame_bytes=frame_bytes)
    assembler.push(packet)
    return assembler.next_frame(flush=True) or b""

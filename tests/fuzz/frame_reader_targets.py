"""Fuzz target of the frame reader: a channel that loses, repeats, reorders and damages, and a sender who lies."""

from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader, FrameVerdict
from downlink.space_packet import SpacePacket
from downlink.transfer_frame import TransferFrame
from tests.fuzz.contract import Target, require, with_crc16
from tests.fuzz.footprint import footprint_bytes
from tests.fuzz.tape import Tape

SPACECRAFT = 0x2A5
FRAME_BYTES = 48
CHANNELS = (0, 1)
STEPS_LIMIT = 600
FOOTPRINT_LIMIT_BYTES = 700_000
"""Two channels with an unfinished packet of 64 KiB each, in a buffer that may be twice as long, and 512 counts."""


def frame_reader(data: bytes) -> None:
    """Never raises; an honest sender's packets come out as they went in, each once; memory is bounded."""
    tape = Tape(data)
    reader = FrameReader(SPACECRAFT, frame_bytes=FRAME_BYTES, vc_ids=CHANNELS)
    if tape.flag():
        _honest(tape, reader)
    else:
        _hostile(tape, reader)
    held = footprint_bytes(reader)
    require(held <= FOOTPRINT_LIMIT_BYTES, f"the reader holds {held} bytes")


def _honest(tape: Tape, reader: FrameReader) -> None:
    assembler = FrameAssembler(SPACECRAFT, 1, frame_bytes=FRAME_BYTES, next_frame_count=tape.pick((0, 0x0FFFFFF8, 77)))
    pushed: dict[bytes, int] = {}
    on_the_way: list[bytes] = []
    heard: list[bytes] = []
    undisturbed = True
    for step in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(8):
            case 0 | 1 | 2:
                data = step.to_bytes(2, "big") * (1 + tape.below(90)) + b"\x5a" * tape.below(2)
                pushed[data] = step
                assembler.push(SpacePacket(apid=0x101, sequence_count=step, data=data).encode())
            case 3 | 4:
                frame = assembler.next_frame(flush=tape.flag())
                on_the_way += [] if frame is None else [frame]
            case 5:
                on_the_way, disturbed = _disturb(tape, on_the_way)
                undisturbed &= not disturbed
            case _:
                for frame in on_the_way:
                    reading = reader.feed(frame)
                    require(not (undisturbed and reading.discarded_bytes), "bytes are given up without a loss")
                    heard += [packet.data for packet in reading.packets]
                on_the_way = []
    require(len(heard) == len(set(heard)), "a packet comes twice")
    require(set(heard) <= set(pushed), "a packet comes that was never sent")
    if undisturbed:
        require(heard == list(pushed)[: len(heard)], "packets come in another order")


def _disturb(tape: Tape, frames: list[bytes]) -> tuple[list[bytes], bool]:
    """Loses, repeats, swaps or damages one of the frames on the way."""
    if not frames:
        return frames, False
    at, how = tape.below(len(frames)), tape.below(4)
    if how == 0:
        return frames[:at] + frames[at + 1 :], True
    if how == 1:
        return [*frames[: at + 1], frames[at], *frames[at + 1 :]], False
    if how == 2:
        return [*frames[:at], *frames[at + 1 :], frames[at]], True
    # One burst of up to 16 bits, which a CRC-16 always sees.
    spot, flip = tape.below(FRAME_BYTES), 1 + tape.below(255)
    damaged = bytearray(frames[at])
    damaged[spot] ^= flip
    return [*frames[:at], bytes(damaged), *frames[at + 1 :]], True


def _hostile(tape: Tape, reader: FrameReader) -> None:
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        kind = tape.byte()
        if kind < 0xC0:
            frame = _frame_from(tape, count=tape.number(1 if kind & 1 else 4) % (1 << 28))
        elif kind < 0xE0:
            frame = with_crc16(tape.take(FRAME_BYTES - 2).ljust(FRAME_BYTES - 2, b"\x00"))
        elif kind < 0xF0:
            frame = tape.chunk(FRAME_BYTES)
        else:
            _flood(tape, reader)
            continue
        reading = reader.feed(frame)
        require(
            reading.verdict is not FrameVerdict.CORRUPT or not reading.packets, "packets come out of a corrupt frame"
        )


def _frame_from(tape: Tape, *, count: int) -> bytes:
    zone = tape.chunk(FRAME_BYTES - 10).ljust(FRAME_BYTES - 10, b"\x01")
    frame = TransferFrame(
        spacecraft_id=SPACECRAFT if tape.below(16) < 15 else 0x155, vc_id=tape.pick((0, 1, 1, 63, 5)), frame_count=count,
        first_header_pointer=tape.pick((0, tape.below(64), 0x7FF, 0x7FE)), packet_zone=zone,
    )  # fmt: skip
    return frame.encode()


def _flood(tape: Tape, reader: FrameReader) -> None:
    """Many frames in a row that say the same at rising counts."""
    start, step = tape.number(4), 1 + tape.below(600)
    template = _frame_from(tape, count=0)
    for n in range(tape.below(700)):
        count = (start + n * step) % (1 << 28)
        signalling = template[5] & 0xF0 | count >> 24
        reader.feed(
            with_crc16(template[:2] + (count & 0xFFFFFF).to_bytes(3, "big") + bytes([signalling]) + template[6:-2])
        )


def _seeds() -> list[bytes]:
    push, long, frame, feed = b"\x00\x05\x01", b"\x01\x40\x00", b"\x03\x01", b"\x06"
    drop, twice, late, damage = b"\x05\x00\x00", b"\x05\x00\x01", b"\x05\x00\x02", b"\x05\x00\x03\x09\x11"
    fill = (push + frame) * 3 + long + frame * 4
    zone = b"\x26" + bytes.fromhex("0101c000000203040508010101c0000009") + bytes(range(21))
    hostile = b"\x00" + b"\x01\x07" + zone + b"\x00\x01\x00\x09" + b"\x01\x08" + zone + b"\x00\x01\x01\x05"
    flood = b"\x00\xff\x00\x00\x00\x05\x00\x01" + zone + b"\x00\x01\x02\x00\x02\xb0"
    return [
        b"\x01\x00" + fill + feed, b"\x01\x01" + fill + drop + feed, b"\x01\x02" + fill + twice + late + feed,
        b"\x01\x00" + fill + damage + feed + fill + feed, hostile, flood, b"\x00\xc0" + bytes(range(46)) + b"\xe1\x05abcde",
    ]  # fmt: skip


TARGETS = {"frame_reader": Target(run=frame_reader, seeds=_seeds, share=2)}
